#include "json/object.hpp"

#include "json/text.hpp"

namespace sluice {

json_object json_object::parse(std::string_view text) {
  return json_fault(text) ? json_object() : json_object(text);
}

std::string_view json_object::value(std::string_view name) const {
  const json_member* member = find(name);
  return member == nullptr || member->value == "null" ? std::string_view() : member->value;
}

std::optional<std::string> json_object::text(std::string_view name) const {
  return json_string(value(name));
}

std::vector<std::string_view> json_object::list(std::string_view name) const {
  return json_elements(value(name)).value_or(std::vector<std::string_view>());
}

}  // namespace sluice
