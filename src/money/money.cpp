#include "sluice/money.hpp"

#include <fmt/format.h>

#include "money/decimal.hpp"

namespace sluice {
namespace {

constexpr usd::units too_many = usd::units{1} << 120;

std::optional<usd> checked(usd::units units) {
  if (units >= too_many) return std::nullopt;
  return usd::from_units(units);
}

// Value × 10^places; nothing if the result is too large.
std::optional<usd> scaled_up(usd::units value, int places) {
  for (; places > 0; --places) {
    if (value >= too_many / 10) return std::nullopt;
    value *= 10;
  }
  return checked(value);
}

}  // namespace

std::optional<usd> usd::parse(std::string_view text) {
  const auto value = parse_decimal(text);
  if (!value || value->cut || value->exponent < -decimals) return std::nullopt;
  return scaled_up(value->digits, decimals + value->exponent);
}

std::optional<usd> usd::nearest(std::string_view json_number) {
  const auto value = parse_json_number(json_number);
  if (!value) return std::nullopt;
  int down = -decimals - value->exponent;
  if (down <= 0) return scaled_up(value->digits, -down);
  units rounded = value->digits;  // digits that were cut off are too small to matter
  for (; down > 1 && rounded > 0; --down) rounded /= 10;
  return checked((rounded + 5) / 10);
}

std::string usd::to_string() const {
  constexpr std::uint64_t one = 1'000'000'000'000'000'000U;  // dollar
  const units size = value_ < 0 ? -value_ : value_;
  const auto dollars = static_cast<std::uint64_t>(size / one);
  const auto fraction = static_cast<std::uint64_t>(size % one);
  std::string text;
  if (value_ < 0) text += '-';
  const fmt::format_int whole(dollars);
  text.append(whole.data(), whole.size());
  if (fraction == 0) return text;
  const fmt::format_int padded(fraction + one);  // a one in front keeps the zeros
  std::string_view digits(padded.data() + 1, padded.size() - 1);
  digits = digits.substr(0, digits.find_last_not_of('0') + 1);
  text += '.';
  return text.append(digits);
}

}  // namespace sluice
