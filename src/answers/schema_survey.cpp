#include "answers/schema_survey.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <vector>

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

constexpr std::size_t deepest_schema = 100;

class surveyor {
 public:
  explicit surveyor(json& root) : root_(root) {}

  std::optional<std::string> run() {
    visit(root_, 0);
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
    all_.push_back(&schema);
    for (const std::string_view name : unknown) {
      if (schema.contains(name)) return refuse(fmt::format("uses {}, which is not checked", name));
    }
    schema.erase("$schema");
    rename(schema, "pattern", own_pattern);
    rename(schema, "format", own_format);
    for (const keyword& one : keywords) {
      const auto found = schema.find(one.name);
      if (found != schema.end())
        each(*found, one.what, [&](json& inner) { visit(inner, depth + 1); });
    }
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

  const json* target_of(const json& reference) {
    const auto* const text = reference.get_ptr<const std::string*>();
    if (text == nullptr || !text->starts_with('#')) {
      refuse("refers to another document with $ref; put what it refers to under $defs");
      return nullptr;
    }
    try {
      const json::json_pointer place(text->substr(1));
      if (root_.contains(place)) return &std::as_const(root_).at(place);
    } catch (const json::exception&) {
    }
    refuse(fmt::format("has a $ref to {}, which is not in it", text->substr(0, 80)));
    return nullptr;
  }

  json& root_;
  std::string fault_;
  std::vector<const json*> all_;
  std::set<const json*> open_;
  std::set<const json*> done_;
};

}  // namespace

std::optional<std::string> prepare_schema(json& schema) {
  if (!schema.is_object()) return "is not a JSON object";
  return surveyor(schema).run();
}

}  // namespace sluice::answers
