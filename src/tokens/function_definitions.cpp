#include "tokens/function_definitions.hpp"

#include <set>
#include <utility>
#include <vector>

#include "json/object.hpp"

namespace sluice {
namespace {

constexpr int deepest = 16;  // deeper nesting becomes `any`

std::string type_of(const json_object& schema, int depth);

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
std::string properties_of(const json_object& schema, int depth) {
  std::set<std::string> required;
  for (const std::string_view each : schema.list("required")) {
    if (auto name = json_string(each)) required.insert(*std::move(name));
  }
  const std::string indent(static_cast<std::size_t>(depth) * 2, ' ');
  std::string text;
  for (const json_member& property : schema.object("properties")) {
    const json_object inner(property.value);
    const std::string name = member_name(property);
    const std::string description = inner.text("description").value_or("");
    if (!description.empty()) text.append(indent).append("// ").append(description).append("\n");
    text.append(indent).append(name).append(required.contains(name) ? ": " : "?: ");
    text.append(type_of(inner, depth)).append(",\n");
  }
  return text;
}

std::string type_of(const json_object& schema, int depth) {
  if (depth >= deepest) return "any";
  std::string type = schema.text("type").value_or("");
  if (const auto values = schema.list("enum"); !values.empty()) return alternatives(values);
  if (type == "integer") return "number";
  if (type == "string" || type == "number" || type == "boolean" || type == "null") return type;
  if (type == "object") return "{\n" + properties_of(schema, depth + 1) + "}";
  if (type != "array") return "any";
  const json_object items = schema.object("items");
  return (items.empty() ? std::string("any") : type_of(items, depth + 1)) + "[]";
}

}  // namespace

std::string function_definitions(std::string_view functions) {
  std::string text = "namespace functions {\n\n";
  for (const std::string_view element :
       json_elements(functions).value_or(std::vector<std::string_view>())) {
    json_object function(element);
    if (function.has("function")) function = function.object("function");
    const std::string name = function.text("name").value_or("");
    if (name.empty()) continue;
    const std::string description = function.text("description").value_or("");
    if (!description.empty()) text.append("// ").append(description).append("\n");
    const std::string properties = properties_of(function.object("parameters"), 0);
    text.append("type ").append(name).append(" = (");
    if (!properties.empty()) text.append("_: {\n").append(properties).append("}");
    text.append(") => any;\n\n");
  }
  return text += "} // namespace functions";
}

}  // namespace sluice
