#include "answers/schema_survey.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <vector>

#include "answers/schema_keywords.hpp"
#include "json/text.hpp"

namespace sluice::answers {
namespace {

using nlohmann::json;

// The value to which a part of a schema applies: the same value as the schema itself, or a value
// inside it.
enum class applies_to { same, inner };
enum class holds { schema, list, map, schema_or_list };
struct keyword {
  std::string_view name;
  holds what;
  applies_to value;
};
constexpr std::array keywords = {
    keyword{"allOf", holds::list, applies_to::same},
    keyword{"anyOf", holds::list, applies_to::same},
    keyword{"oneOf", holds::list, applies_to::same},
    keyword{"not", holds::schema, applies_to::same},
    keyword{"if", holds::schema, applies_to::same},
    keyword{"then", holds::schema, applies_to::same},
    keyword{"else", holds::schema, applies_to::same},
    keyword{"dependencies", holds::map, applies_to::same},
    keyword{"properties", holds::map, applies_to::inner},
    keyword{"additionalProperties", holds::schema, applies_to::inner},
    keyword{"propertyNames", holds::schema, applies_to::inner},
    keyword{"items", holds::schema_or_list, applies_to::inner},
    keyword{"additionalItems", holds::schema, applies_to::inner},
    keyword{"contains", holds::schema, applies_to::inner},
    keyword{"definitions", holds::map, applies_to::inner},
    keyword{"$defs", holds::map, applies_to::inner},
};

// Keywords that restrict answers, but that valijson 1.0 does not know or matches with std::regex.
constexpr std::array<std::string_view, 11> unknown = {"patternProperties",
                                                      "prefixItems",
                                                      "dependentRequired",
                                                      "dependentSchemas",
                                                      "minContains",
                                                      "maxContains",
                                                      "unevaluatedItems",
                                                      "unevaluatedProperties",
                                                      "$dynamicRef",
                                                      "$recursiveRef",
                                                      "$anchor"};

// Members that may stand beside a reference without a check.
constexpr std::array<std::string_view, 13> notes = {
    "$ref",    "$defs",       "definitions", "$id",        "id",       "$comment", "title",
    "default", "description", "examples",    "deprecated", "readOnly", "writeOnly"};

constexpr std::size_t deepest_schema = 100;

class surveyor {
 public:
  explicit surveyor(json& root) : root_(root) {}

  std::optional<std::string> run() {
    visit(root_, 0);
    visit_targets();
    if (fault_.empty()) find_loops();
    return fault_.empty() ? std::nullopt : std::optional(fault_);
  }

 private:
  void refuse(std::string why) {
    if (fault_.empty()) fault_ = std::move(why);
  }

  void visit(json& schema, std::size_t depth) {
    if (!fault_.empty() || !schema.is_object()) return;
    if (depth > deepest_schema)
      return refuse(fmt::format("is nested deeper than {} levels", deepest_schema));
    if (!visited_.insert(&schema).second) return;
    all_.push_back(&schema);
    for (const std::string_view name : unknown) {
      if (schema.contains(name)) return refuse(fmt::format("uses {}, which is not checked", name));
    }
    // The second is the name in draft 3.
    for (const char* name : {"multipleOf", "divisibleBy"}) {
      const auto found = schema.find(name);
      if (found == schema.end()) continue;
      if (const auto fault = divisor_fault(*found))
        return refuse(fmt::format("has a {} {}", name, *fault));
    }
    schema.erase("$schema");
    rename(schema, "pattern", own_pattern);
    rename(schema, "format", own_format);
    rename(schema, "uniqueItems", own_unique_items);
    rename(schema, "multipleOf", own_multiple_of);
    resolve_flag(schema, "exclusiveMinimum", "minimum");
    resolve_flag(schema, "exclusiveMaximum", "maximum");
    rename(schema, "minimum", own_minimum);
    rename(schema, "maximum", own_maximum);
    rename(schema, "exclusiveMinimum", own_exclusive_minimum);
    rename(schema, "exclusiveMaximum", own_exclusive_maximum);
    part_from_reference(schema);
    for (const keyword& one : keywords) {
      const auto found = schema.find(one.name);
      if (found != schema.end())
        each(*found, one.what, [&](json& inner) { visit(inner, depth + 1); });
    }
  }

  // valijson checks nothing beside a $ref, as draft 7 says, but later drafts and those who write
  // schemas for models mean it. A list with the reference alone says the same in each of these
  // keywords. All other members keep their places, because references may lead to them.
  void part_from_reference(json& schema) {
    const auto reference = schema.find("$ref");
    if (reference == schema.end()) return;
    const bool alone =
        std::all_of(schema.items().begin(), schema.items().end(), [](const auto& one) {
          return std::find(notes.begin(), notes.end(), one.key()) != notes.end();
        });
    if (alone) return;
    for (const char* free : {"allOf", "anyOf", "oneOf"}) {
      if (schema.contains(free)) continue;
      json part = json::object();
      part["$ref"] = std::move(*reference);
      schema.erase(reference);
      schema[free] = json::array({std::move(part)});
      return;
    }
    refuse("has a $ref beside allOf, anyOf and oneOf; put the $ref into the allOf");
  }

  // A reference may lead to a place that no keyword names. Only `all_` grows here: the places of
  // schemas that were visited do not move.
  void visit_targets() {
    for (std::size_t i = 0; i < all_.size() && fault_.empty(); ++i) {
      const auto reference = all_[i]->find("$ref");
      if (reference == all_[i]->end()) continue;
      json* const target = target_of(*reference);
      if (target == nullptr || visited_.contains(target)) continue;
      const auto& text = reference->get_ref<const std::string&>();
      if (lies_in_a_value(text))
        return refuse(
            fmt::format("has a $ref to {}, which is a value and not a schema", shown(text)));
      visit(*target, 0);
    }
  }

  // A value must stay as it is, so it cannot be prepared as a schema.
  static bool lies_in_a_value(const std::string& reference) {
    for (json::json_pointer place(reference.substr(1)); !place.empty(); place.pop_back()) {
      if (place.back() == "const" || place.back() == "enum") return true;
    }
    return false;
  }

  static std::string_view shown(const std::string& reference) { return utf8_prefix(reference, 80); }

  // In draft 4, an exclusive bound is a flag beside the bound.
  void resolve_flag(json& schema, const char* flag, const char* bound) {
    const auto found = schema.find(flag);
    if (found == schema.end() || !found->is_boolean()) return;
    const bool exclusive = found->get<bool>();
    schema.erase(found);
    if (!exclusive) return;
    if (!schema.contains(bound)) return refuse(fmt::format("has an {} without a {}", flag, bound));
    rename(schema, bound, flag);
  }

  static void rename(json& schema, const char* from, const char* to) {
    const auto found = schema.find(from);
    if (found == schema.end()) return;
    json value = std::move(*found);
    schema.erase(found);
    schema[to] = std::move(value);
  }

  template <typename Json, typename Visit>
  static void each(Json& value, holds what, const Visit& visit) {
    if (value.is_array() && (what == holds::list || what == holds::schema_or_list)) {
      for (auto& element : value) visit(element);
    } else if (value.is_object() && what == holds::map) {
      for (auto& [name, element] : value.items()) visit(element);
    } else if (value.is_object() && what != holds::list) {
      visit(value);
    }
  }

  // A schema that refers back to itself for the same value would be followed forever.
  void find_loops() {
    for (const json* schema : all_) follow(*schema);
  }

  void follow(const json& schema) {
    if (!fault_.empty() || !schema.is_object() || done_.contains(&schema)) return;
    if (!open_.insert(&schema).second) return refuse("refers to itself without an end");
    if (open_.size() > deepest_schema)
      return refuse(fmt::format("has more than {} references in a row", deepest_schema));
    if (const auto reference = schema.find("$ref"); reference != schema.end()) {
      if (const json* target = target_of(*reference)) follow(*target);
    }
    for (const keyword& one : keywords) {
      if (one.value != applies_to::same) continue;
      const auto found = schema.find(one.name);
      if (found != schema.end()) each(*found, one.what, [&](const json& inner) { follow(inner); });
    }
    open_.erase(&schema);
    done_.insert(&schema);
  }

  json* target_of(const json& reference) {
    const auto* const text = reference.get_ptr<const std::string*>();
    if (text == nullptr || !text->starts_with('#')) {
      refuse("refers to another document with $ref; put what it refers to under $defs");
      return nullptr;
    }
    try {
      const json::json_pointer place(text->substr(1));
      if (root_.contains(place)) return &root_.at(place);
    } catch (const json::exception&) {
    }
    refuse(fmt::format("has a $ref to {}, which is not in it", shown(*text)));
    return nullptr;
  }

  json& root_;
  std::string fault_;
  std::vector<json*> all_;
  std::set<const json*> visited_;
  std::set<const json*> open_;
  std::set<const json*> done_;
};

}  // namespace

std::optional<std::string> prepare_schema(json& schema) {
  if (!schema.is_object()) return "is not a JSON object";
  return surveyor(schema).run();
}

}  // namespace sluice::answers
