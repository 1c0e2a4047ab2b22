#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace sluice {

/// Counts values (durations in ms, rates) in a few kilobytes, whatever their number. Each is told
/// again to within 1 %, or a thousandth, up to 10^9: powers of two cut into 64 equal steps each,
/// the layout of Gil Tene's HdrHistogram at two significant digits. Mean and greatest are exact.
/// Not thread safe.
class histogram {
 public:
  histogram();
  /// Less than zero counts as zero.
  void add(double value);

  std::uint64_t count() const noexcept { return total_; }
  /// Of these nothing where nothing was counted.
  std::optional<double> mean() const;
  std::optional<double> greatest() const;
  /// The value that the share `q` (0 to 1) of all does not pass.
  std::optional<double> quantile(double q) const;
  /// The steps that hold any, upwards: the middle of each, and how many.
  std::vector<std::pair<double, std::uint64_t>> steps() const;

 private:
  std::vector<std::uint32_t> counts_;
  std::uint64_t total_ = 0;
  double sum_ = 0;
  double greatest_ = 0;
};

}  // namespace sluice
