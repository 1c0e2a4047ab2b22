#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "sluice/money.hpp"

namespace sluice {

/// A number that is not negative, exactly as its text says: digits × 10^exponent. It is never
/// converted to a binary fraction.
struct decimal {
  usd::units digits = 0;  ///< at most 38 digits
  int exponent = 0;
  bool cut = false;  ///< more digits follow, and not all of them are zero
};

/// Reads digits with an optional decimal point, also ".5"; nothing for any other text. Pure.
std::optional<decimal> parse_decimal(std::string_view text);

/// Reads a number in JSON form, also "2.5e-06"; nothing if it is negative, not a number, or has an
/// extreme exponent. Pure.
std::optional<decimal> parse_json_number(std::string_view text);

/// If a number has more than 15 significant digits, as printed binary fractions have, rounds it to
/// the decimal that was meant: 15.000000000000002 becomes 15. Pure.
decimal without_binary_noise(decimal value);

/// The product of the factors divided by the divisor, in USD, rounded up to 1e-18 USD. A program
/// that multiplied in binary fractions charged no significant amount more than that, and a price
/// that is not zero never becomes $0. Nothing if a factor is cut, the divisor is 0, or the product
/// is 2^120 units or more. Pure.
std::optional<usd> rounded_up_product(std::span<const decimal> factors, std::uint64_t divisor = 1);

}  // namespace sluice
