#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::answers {

/// A number exactly as its text says: digits × 10^exponent, without a rounding to binary fractions.
struct exact_number {
  bool negative = false;
  std::string digits;         ///< without zeros at either end; empty for 0
  std::int64_t exponent = 0;  ///< of the last digit; beyond ±10^12 it is cut

  bool is_whole() const { return exponent >= 0; }
};

/// `text` must be a number in JSON form.
exact_number read_exact(std::string_view text);

std::strong_ordering operator<=>(const exact_number& left, const exact_number& right);
inline bool operator==(const exact_number& left, const exact_number& right) {
  return (left <=> right) == std::strong_ordering::equal;
}

/// The most digits that a divisor may have.
constexpr std::size_t longest_divisor = 36;
/// Whether `value` is a whole number of times the divisor, which must be above 0.
bool is_multiple(const exact_number& value, const exact_number& divisor);

}  // namespace sluice::answers
