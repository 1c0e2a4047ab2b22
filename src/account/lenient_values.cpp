#include "account/lenient_values.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "base/ascii.hpp"

namespace sluice::account {
namespace {

constexpr usd::units one = 1'000'000'000'000'000'000;

std::optional<std::int64_t> nearest_integer(usd number) {
  const usd::units rounded = (number.count() + (number.count() < 0 ? -one / 2 : one / 2)) / one;
  if (rounded > std::numeric_limits<std::int64_t>::max() ||
      rounded < std::numeric_limits<std::int64_t>::min()) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(rounded);
}

}  // namespace

std::optional<usd> amount_of(const json_object& answer, std::string_view name) {
  const std::string_view json = answer.value(name);
  const auto quoted = json_string(json);
  std::string_view number = quoted ? trimmed(*quoted) : json;
  const bool negative = number.starts_with('-');
  if (negative) number.remove_prefix(1);
  const auto size = usd::nearest(number);
  if (!size || !negative) return size;
  return usd::from_units(-size->count());
}

std::optional<std::int64_t> integer_of(const json_object& answer, std::string_view name) {
  const auto number = amount_of(answer, name);
  return number ? nearest_integer(*number) : std::nullopt;
}

std::optional<bool> flag_of(const json_object& answer, std::string_view name) {
  const std::string_view json = answer.value(name);
  if (json == "true" || json == "1" || json == "\"true\"") return true;
  if (json == "false" || json == "0" || json == "\"false\"") return false;
  return std::nullopt;
}

bool is_refusal(const json_object& answer) {
  const std::string_view error = answer.value("error");
  const bool told = !error.empty() && error != "false" && error != "\"\"" && error != "0" &&
                    error != "{}" && error != "[]";
  return told || answer.value("success") == "false" || answer.value("code") == "false";
}

}  // namespace sluice::account
