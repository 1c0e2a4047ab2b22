#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "sluice/money.hpp"

namespace sluice {

/// A number that is not negative, as its text says it: digits × 10^exponent. No binary fraction
/// ever stands between the text and the value.
struct decimal {
  usd::units digits = 0;  ///< at most 38 of them
  int exponent = 0;
  bool cut = false;  ///< more digits, not all of them zero, stand behind these
};

/// Reads digits with an optional point, ".5" too; nothing when it is not that. Pure.
std::optional<decimal> parse_decimal(std::string_view text);

/// Reads a number as JSON has it, "2.5e-06" too; nothing when it is negative, none, or of no sane
/// size. Pure.
std::optional<decimal> parse_json_number(std::string_view text);

/// The decimal that was meant where a number has more than 15 significant digits, as binary
/// fractions have when they are printed: 15 for 15.000000000000002. Pure.
decimal without_binary_noise(decimal value);

/// The product of the factors over the divisor, in USD, rounded up to 1e-18 USD: whoever multiplied
/// in binary fractions charged no more than that by any amount that counts, and what is not free is
/// never $0. Nothing when a factor is cut, when the divisor is 0, or when the
/// product is 2^120 units or more. Pure.
std::optional<usd> rounded_up_product(std::span<const decimal> factors, std::uint64_t divisor = 1);

}  // namespace sluice
