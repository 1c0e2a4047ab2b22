#include "sluice/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sluice {
namespace {

// Values are counted in whole thousandths. Each power of two is divided into 64 steps, so the
// middle of a step differs from its ends by at most 1/128 of the value.
constexpr unsigned step_bits = 6;
constexpr unsigned powers = 40;

std::size_t step_of(std::uint64_t thousandths) {
  if (thousandths < (1U << step_bits)) return thousandths;
  const unsigned power = static_cast<unsigned>(std::bit_width(thousandths)) - 1;
  const std::uint64_t step = (thousandths >> (power - step_bits)) & ((1U << step_bits) - 1);
  return ((power - step_bits + 1) << step_bits) + step;
}

// The middle of the whole numbers in a step.
double middle_of(std::size_t step) {
  const std::uint64_t block = step >> step_bits;
  if (block == 0) return static_cast<double>(step);
  const std::uint64_t within = (step & ((1U << step_bits) - 1)) | (1U << step_bits);
  const double width = std::exp2(static_cast<double>(block) - 1);
  return static_cast<double>(within) * width + (width - 1) / 2;
}

}  // namespace

histogram::histogram() : counts_((powers + 1) << step_bits, 0) {}

void histogram::add(double value) {
  value = std::max(0.0, value);
  const auto thousandths = static_cast<std::uint64_t>(std::llround(std::min(value, 1e12) * 1000));
  ++counts_[std::min(step_of(thousandths), counts_.size() - 1)];
  ++total_;
  sum_ += value;
  greatest_ = std::max(greatest_, value);
}

std::optional<double> histogram::mean() const {
  if (total_ == 0) return std::nullopt;
  return sum_ / static_cast<double>(total_);
}

std::optional<double> histogram::greatest() const {
  return total_ == 0 ? std::nullopt : std::optional(greatest_);
}

std::optional<double> histogram::quantile(double q) const {
  if (total_ == 0) return std::nullopt;
  const auto rank = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(total_)));
  std::uint64_t counted = 0;
  for (std::size_t step = 0; step < counts_.size(); ++step) {
    counted += counts_[step];
    if (counted >= std::max<std::uint64_t>(rank, 1))
      return std::min(middle_of(step) / 1000, greatest_);
  }
  return std::nullopt;
}

std::vector<std::pair<double, std::uint64_t>> histogram::steps() const {
  std::vector<std::pair<double, std::uint64_t>> filled;
  for (std::size_t step = 0; step < counts_.size(); ++step) {
    if (counts_[step] != 0) filled.emplace_back(middle_of(step) / 1000, counts_[step]);
  }
  return filled;
}

}  // namespace sluice
