#include "tokens/function_definitions.hpp"

#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "json/json_members.hpp"

namespace sluice {
namespace {

using members = std::vector<json_member>;

constexpr int deepest = 16;  // deeper nesting becomes `any`

std::string string_of(const members& object, std::string_view key) {
  const json_member* member = find_member(object, key);
  return member == nullptr ? std::string() : json_string(member->value).value_or(std::string());
}

members object_of(const members& object, std::string_view key) {
  const json_member* member = find_member(object, key);
  return member == nullptr ? members() : json_members(member->value).value_or(members());
}

std::vector<std::string_view> list_of(const members& object, std::string_view key) {
  const json_member* member = find_member(object, key);
  using list = std::vector<std::string_view>;
  return member == nullptr ? list() : json_elements(member->value).value_or(list());
}

std::string type_of(const members& schema, int depth);

std::string alternatives(const std::vector<std::string_view>& values) {
  std::string all;
  for (const std::string_view value : values) {
    if (!all.empty()) all += " | ";
    all += value;
  }
  return all;
}

// The properties of an object, one per line, each with its description above it. Nested lines are
// indented.
std::string properties_of(const members& schema, int depth) {
  std::set<std::string> required;
  for (const std::string_view each : list_of(schema, "required")) {
    if (auto name = json_string(each)) required.insert(*std::move(name));
  }
  const std::string indent(static_cast<std::size_t>(depth) * 2, ' ');
  std::string text;
  for (const json_member& property : object_of(schema, "properties")) {
    const members inner = json_members(property.value).value_or(members());
    const std::string name = member_name(property);
    const std::string description = string_of(inner, "description");
    if (!description.empty()) text.append(indent).append("// ").append(description).append("\n");
    text.append(indent).append(name).append(required.contains(name) ? ": " : "?: ");
    text.append(type_of(inner, depth)).append(",\n");
  }
  return text;
}

std::string type_of(const members& schema, int depth) {
  if (depth >= deepest) return "any";
  std::string type = string_of(schema, "type");
  if (const auto values = list_of(schema, "enum"); !values.empty()) return alternatives(values);
  if (type == "integer") return "number";
  if (type == "string" || type == "number" || type == "boolean" || type == "null") return type;
  if (type == "object") return "{\n" + properties_of(schema, depth + 1) + "}";
  if (type != "array") return "any";
  const members items = object_of(schema, "items");
  return (items.empty() ? std::string("any") : type_of(items, depth + 1)) + "[]";
}

}  // namespace

std::string function_definitions(std::string_view functions) {
  std::string text = "namespace functions {\n\n";
  for (const std::string_view element :
       json_elements(functions).value_or(std::vector<std::string_view>())) {
    members function = json_members(element).value_or(members());
    if (find_member(function, "function") != nullptr) function = object_of(function, "function");
    const std::string name = string_of(function, "name");
    if (name.empty()) continue;
    const std::string description = string_of(function, "description");
    if (!description.empty()) text.append("// ").append(description).append("\n");
    const std::string properties = properties_of(object_of(function, "parameters"), 0);
    text.append("type ").append(name).append(" = (");
    if (!properties.empty()) text.append("_: {\n").append(properties).append("}");
    text.append(") => any;\n\n");
  }
  return text += "} // namespace functions";
}

}  // namespace sluice
