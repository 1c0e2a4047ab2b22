#include "account/answer_object.hpp"

#include <algorithm>
#include <limits>

#include "json/json_text.hpp"

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

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

}  // namespace

std::optional<usd> read_amount(std::string_view json) {
  const auto quoted = json_string(json);
  std::string_view number = quoted ? trimmed(*quoted) : json;
  const bool negative = number.starts_with('-');
  if (negative) number.remove_prefix(1);
  const auto size = usd::nearest(number);
  if (!size || !negative) return size;
  return usd::from_units(-size->count());
}

std::optional<answer_object> answer_object::parse(std::string_view text) {
  if (json_fault(text)) return std::nullopt;
  return of_value(text);
}

std::optional<answer_object> answer_object::of_value(std::string_view value) {
  auto members = json_members(value);
  if (!members) return std::nullopt;
  return answer_object(std::move(*members));
}

std::optional<std::string_view> answer_object::value(std::string_view name) const {
  const json_member* member = find_member(members_, name);
  if (member == nullptr || member->value == "null") return std::nullopt;
  return member->value;
}

std::optional<std::string> answer_object::text(std::string_view name) const {
  const auto found = value(name);
  return found ? json_string(*found) : std::nullopt;
}

std::optional<usd> answer_object::amount(std::string_view name) const {
  const auto found = value(name);
  return found ? read_amount(*found) : std::nullopt;
}

std::optional<std::int64_t> answer_object::integer(std::string_view name) const {
  const auto number = amount(name);
  return number ? nearest_integer(*number) : std::nullopt;
}

std::optional<bool> answer_object::flag(std::string_view name) const {
  const auto found = value(name);
  if (!found) return std::nullopt;
  if (*found == "true" || *found == "1" || *found == "\"true\"") return true;
  if (*found == "false" || *found == "0" || *found == "\"false\"") return false;
  return std::nullopt;
}

std::optional<answer_object> answer_object::object(std::string_view name) const {
  const auto found = value(name);
  return found ? of_value(*found) : std::nullopt;
}

std::optional<std::vector<std::string_view>> answer_object::list(std::string_view name) const {
  const auto found = value(name);
  return found ? json_elements(*found) : std::nullopt;
}

bool is_refusal(const answer_object& answer) {
  const auto error = answer.value("error");
  const bool told = error && *error != "false" && *error != "\"\"" && *error != "0" &&
                    *error != "{}" && *error != "[]";
  return told || answer.value("success") == "false" || answer.value("code") == "false";
}

}  // namespace sluice::account
