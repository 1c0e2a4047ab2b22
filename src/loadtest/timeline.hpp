#pragma once

#include <cstddef>
#include <vector>

namespace sluice::bench {

/// Amounts over time, in steps of a second and of 2, 4, 8 … where there would be more than 600:
/// flat memory, however long it goes on. Not thread safe.
class timeline {
 public:
  static constexpr std::size_t most_steps = 600;

  /// So many amounts beside each other.
  explicit timeline(std::size_t series) : series_(series) {}

  /// At a moment, in seconds from the begin.
  void add(std::size_t series, double at_s, double amount = 1);
  /// Evenly from one moment to another.
  void spread(std::size_t series, double from_s, double to_s, double amount);

  double step_s() const noexcept { return step_s_; }
  /// Amounts by step; all series are as long as the longest.
  std::vector<double> amounts(std::size_t series) const;

 private:
  std::size_t step_at(double at_s);

  double step_s_ = 1;
  std::vector<std::vector<double>> series_;
  std::size_t length_ = 0;
};

}  // namespace sluice::bench
