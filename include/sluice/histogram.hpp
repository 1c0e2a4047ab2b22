#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace sluice {

/// Counts any number of values (durations in ms, rates) in a few kilobytes. Not thread safe.
/// Quantiles are exact to 1 %, or to 0.001, up to 10^9: each power of two is divided into 64 equal
/// steps, as in Gil Tene's HdrHistogram at two significant digits. Mean and maximum are exact.
class histogram {
 public:
  histogram();
  /// A negative value counts as zero.
  void add(double value);

  std::uint64_t count() const noexcept { return total_; }
  // These three return nothing while the histogram is empty.
  std::optional<double> mean() const;
  std::optional<double> greatest() const;
  /// The smallest value that is not less than the share `q` (0 to 1) of all values.
  std::optional<double> quantile(double q) const;
  /// The steps that are not empty, in ascending order: the middle of each, and its count.
  std::vector<std::pair<double, std::uint64_t>> steps() const;

 private:
  std::vector<std::uint32_t> counts_;
  std::uint64_t total_ = 0;
  double sum_ = 0;
  double greatest_ = 0;
};

}  // namespace sluice
