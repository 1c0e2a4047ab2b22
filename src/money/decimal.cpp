#include "money/decimal.hpp"

#include <algorithm>
#include <boost/multiprecision/cpp_int.hpp>
#include <charconv>
#include <cstdlib>
#include <system_error>

namespace sluice {
namespace {

using boost::multiprecision::cpp_int;

// No price has a larger exponent. The limit also keeps the powers of ten small.
constexpr int sane_exponent = 1000;

cpp_int power_of_ten(int exponent) {
  cpp_int power = 1;
  for (cpp_int base = 10; exponent > 0; exponent /= 2, base *= base) {
    if (exponent % 2 == 1) power *= base;
  }
  return power;
}

}  // namespace

std::optional<decimal> parse_decimal(std::string_view text) {
  constexpr usd::units room = usd::units{1} << 123;  // leaves room for one more digit
  decimal value;
  bool point = false;
  bool any = false;
  for (const char c : text) {
    if (c == '.' && !point) {
      point = true;
      continue;
    }
    if (c < '0' || c > '9') return std::nullopt;
    any = true;
    if (value.digits < room && !value.cut) {
      value.digits = value.digits * 10 + (c - '0');
      value.exponent -= point ? 1 : 0;
    } else {
      value.cut = value.cut || c != '0';
      value.exponent += point ? 0 : 1;
    }
    if (std::abs(value.exponent) > sane_exponent) return std::nullopt;
  }
  if (!any || text.back() == '.') return std::nullopt;
  while (value.exponent < 0 && value.digits % 10 == 0 && !value.cut) {
    value.digits /= 10;
    ++value.exponent;
  }
  return value;
}

std::optional<decimal> parse_json_number(std::string_view text) {
  const std::size_t e = std::min(text.find_first_of("eE"), text.size());
  int exponent = 0;
  if (e < text.size()) {
    std::string_view written = text.substr(e + 1);
    if (written.starts_with('+') && !written.starts_with("+-")) written.remove_prefix(1);
    const char* const end = written.data() + written.size();
    const auto [stop, error] = std::from_chars(written.data(), end, exponent);
    if (error != std::errc{} || stop != end || std::abs(exponent) > sane_exponent)
      return std::nullopt;
  }
  auto value = parse_decimal(text.substr(0, e));
  if (value) value->exponent += exponent;
  return value;
}

decimal without_binary_noise(decimal value) {
  constexpr usd::units most = 1'000'000'000'000'000;  // fifteen digits, the precision of a double
  int dropped = 0;
  usd::units rounded = value.digits;
  for (; rounded >= most; rounded /= 10) ++dropped;
  if (dropped == 0) return value;
  usd::units half = 5;
  for (int i = 1; i < dropped; ++i) half *= 10;
  value.digits += half;
  for (; dropped > 0; --dropped, ++value.exponent) value.digits /= 10;
  value.cut = false;
  while (value.digits != 0 && value.digits % 10 == 0) {
    value.digits /= 10;
    ++value.exponent;
  }
  return value;
}

std::optional<usd> rounded_up_product(std::span<const decimal> factors, std::uint64_t divisor) {
  if (divisor == 0) return std::nullopt;
  cpp_int product = 1;
  int exponent = usd::decimals;
  for (const decimal& factor : factors) {
    if (factor.cut) return std::nullopt;
    product *= cpp_int(factor.digits);
    exponent += factor.exponent;
  }
  cpp_int whole = divisor;
  if (exponent > 0) product *= power_of_ten(exponent);
  if (exponent < 0) whole *= power_of_ten(-exponent);
  const cpp_int units = (product + whole - 1) / whole;
  if (units >= cpp_int(1) << 120) return std::nullopt;
  return usd::from_units(static_cast<usd::units>(units));
}

}  // namespace sluice
