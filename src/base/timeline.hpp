#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace sluice {

/// Amounts over time, in equal steps: whenever there would be more than 600, neighbours become one
/// step of twice the length. So any span of time takes a few kilobytes. Moments may come in any
/// order. Not thread safe.
class timeline {
 public:
  static constexpr std::size_t most_steps = 600;

  struct options {
    /// How many amounts are kept beside each other.
    std::size_t series = 1;
    double shortest_step_s = 1;
    /// Where the line begins: what happens earlier counts as happening then. Nothing: with the
    /// earliest moment.
    std::optional<double> begin_s{};
  };

  explicit timeline(const options& chosen);

  /// Adds to the step that holds the moment, in seconds.
  void add(std::size_t series, double at_s, double amount = 1);
  /// Adds evenly from one moment to another.
  void spread(std::size_t series, double from_s, double to_s, double amount);

  /// When the first step begins.
  double started_at() const noexcept { return static_cast<double>(first_) * step_s_; }
  double step_s() const noexcept { return step_s_; }
  /// Amounts by step; all series are as long as the longest.
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
