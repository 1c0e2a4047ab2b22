#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace sluice {

/// Amounts over time, in steps of equal length. If there would be more than 600 steps, each two
/// neighbours are merged into one step of twice the length, so any span of time takes only a few
/// kilobytes. Moments may come in any order. Not thread safe.
class timeline {
 public:
  static constexpr std::size_t most_steps = 600;

  struct options {
    /// Number of amounts that are kept for each step.
    std::size_t series = 1;
    double shortest_step_s = 1;
    /// The beginning of the line; earlier moments count as this one. Nothing: it begins with the
    /// earliest moment.
    std::optional<double> begin_s{};
  };

  explicit timeline(const options& chosen);

  /// Adds to the step that contains the moment, in seconds.
  void add(std::size_t series, double at_s, double amount = 1);
  /// Spreads the amount evenly from one moment to another.
  void spread(std::size_t series, double from_s, double to_s, double amount);

  /// The beginning of the first step.
  double started_at() const noexcept { return static_cast<double>(first_) * step_s_; }
  double step_s() const noexcept { return step_s_; }
  /// Amounts by step; all series have the same length.
  const std::vector<double>& amounts(std::size_t series) const { return series_[series]; }

 private:
  std::int64_t number_of(double at_s) const;
  std::size_t step_at(double at_s);
  void merge_neighbours();

  double step_s_;
  std::optional<double> begin_s_;
  std::int64_t first_ = 0;  ///< the number of the first step, counted from second 0
  std::size_t length_ = 0;
  std::vector<std::vector<double>> series_;
};

}  // namespace sluice
