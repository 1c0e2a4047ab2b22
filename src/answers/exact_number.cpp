#include "answers/exact_number.hpp"

#include <algorithm>

namespace sluice::answers {
namespace {

__extension__ typedef unsigned __int128 uint128;

constexpr std::int64_t largest_exponent = 1'000'000'000'000;

bool is_digit(char byte) {
  return byte >= '0' && byte <= '9';
}

// The number behind the "e", which may have any number of digits.
std::int64_t read_exponent(std::string_view text) {
  const bool negative = text.starts_with('-');
  std::int64_t value = 0;
  for (const char byte : text) {
    if (is_digit(byte)) value = std::min(largest_exponent, value * 10 + (byte - '0'));
  }
  return negative ? -value : value;
}

std::strong_ordering order_of_sizes(const exact_number& left, const exact_number& right) {
  if (left.digits.empty() || right.digits.empty())
    return !left.digits.empty() <=> !right.digits.empty();
  const auto magnitude = [](const exact_number& number) {
    return number.exponent + static_cast<std::int64_t>(number.digits.size());
  };
  if (const auto order = magnitude(left) <=> magnitude(right); std::is_neq(order)) return order;
  return left.digits.compare(right.digits) <=> 0;
}

}  // namespace

exact_number read_exact(std::string_view text) {
  exact_number number;
  number.negative = text.starts_with('-');
  std::int64_t fraction = 0;  // digits after the point
  bool in_fraction = false;
  std::size_t i = number.negative ? 1 : 0;
  for (; i < text.size() && text[i] != 'e' && text[i] != 'E'; ++i) {
    if (!is_digit(text[i])) {
      in_fraction = true;
      continue;
    }
    if (in_fraction) ++fraction;
    if (!number.digits.empty() || text[i] != '0') number.digits += text[i];
  }
  if (number.digits.empty()) return {};
  if (i < text.size()) number.exponent = read_exponent(text.substr(i + 1));
  number.exponent -= fraction;
  const std::size_t last = number.digits.find_last_not_of('0');
  number.exponent += static_cast<std::int64_t>(number.digits.size() - 1 - last);
  number.digits.resize(last + 1);
  return number;
}

std::strong_ordering operator<=>(const exact_number& left, const exact_number& right) {
  if (left.negative != right.negative)
    return left.negative ? std::strong_ordering::less : std::strong_ordering::greater;
  return left.negative ? order_of_sizes(right, left) : order_of_sizes(left, right);
}

bool is_multiple(const exact_number& value, const exact_number& divisor) {
  if (value.digits.empty()) return true;
  if (divisor.digits.size() > longest_divisor) return false;
  // The last digit of the value is not 0, so no multiple of a larger power of ten can be equal.
  if (value.exponent < divisor.exponent) return false;
  uint128 modulus = 0;
  for (const char digit : divisor.digits)
    modulus = modulus * 10 + static_cast<unsigned>(digit - '0');
  if (modulus == 0) return false;
  uint128 rest = 0;
  for (const char digit : value.digits)
    rest = (rest * 10 + static_cast<unsigned>(digit - '0')) % modulus;
  // The modulus has fewer than 120 factors 2 or 5, so more powers of ten change nothing.
  const std::int64_t shift = std::min<std::int64_t>(value.exponent - divisor.exponent, 120);
  for (std::int64_t i = 0; i < shift && rest != 0; ++i) rest = rest * 10 % modulus;
  return rest == 0;
}

}  // namespace sluice::answers
