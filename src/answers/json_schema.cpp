#include "answers/json_schema.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <utility>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/constraint_builder.hpp>
#include <valijson/constraints/concrete_constraints.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>
#include <vector>

#include "answers/schema_survey.hpp"
#include "json/text.hpp"

namespace sluice::answers {
namespace {

using nlohmann::json;
using adapter = valijson::adapters::NlohmannJsonAdapter;

constexpr std::size_t deepest_answer = 200;
constexpr std::size_t longest_shown = 160;  // bytes of a pointer, a name or a description

std::shared_ptr<const re2::RE2> compiled_pattern(const std::string& pattern) {
  auto compiled = std::make_shared<const re2::RE2>(pattern, re2::RE2::Quiet);
  if (!compiled->ok())
    throw std::runtime_error(fmt::format("has a pattern that is not understood: {}",
                                         utf8_prefix(compiled->error(), longest_shown)));
  return compiled;
}

// A constraint on strings that RE2 matches.
class string_constraint final : public valijson::constraints::PolyConstraint {
 public:
  string_constraint(std::shared_ptr<const re2::RE2> pattern, std::string fault)
      : pattern_(std::move(pattern)), fault_(std::move(fault)) {}

  bool validate(const valijson::adapters::Adapter& target, const std::vector<std::string>& context,
                valijson::ValidationResults* results) const override {
    if (!target.isString()) return true;
    std::string text;
    if (!target.asString(text)) return true;
    if (re2::RE2::PartialMatch(text, *pattern_)) return true;
    if (results != nullptr) results->pushError(context, fault_);
    return false;
  }

 private:
  Constraint* cloneInto(void* place) const override { return new (place) string_constraint(*this); }
  std::size_t sizeOf() const override { return sizeof(string_constraint); }

  std::shared_ptr<const re2::RE2> pattern_;
  std::string fault_;
};

class pattern_builder final : public valijson::ConstraintBuilder {
 public:
  valijson::constraints::Constraint* make(const valijson::adapters::Adapter& value) const override {
    const std::string pattern = value.asString();
    return new string_constraint(
        compiled_pattern(pattern),
        fmt::format("does not match the pattern {}", utf8_prefix(pattern, longest_shown)));
  }
};

struct known_format {
  std::string_view name;
  const char* pattern;
};
// These follow RFC 3339 and RFC 4122. Other formats are not checked, as JSON Schema allows.
constexpr std::array formats = {
    known_format{"date", R"(^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$)"},
    known_format{
        "time",
        R"(^([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)?$)"},
    known_format{"date-time",
                 R"(^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ]([01]\d|2[0-3]):[0-5]\d:)"
                 R"(([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$)"},
    known_format{"uuid", R"(^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$)"},
};

class format_builder final : public valijson::ConstraintBuilder {
 public:
  valijson::constraints::Constraint* make(const valijson::adapters::Adapter& value) const override {
    const std::string name = value.isString() ? value.asString() : std::string();
    for (const known_format& one : formats) {
      if (one.name == name)
        return new string_constraint(compiled_pattern(one.pattern),
                                     fmt::format("is not a {}", name));
    }
    return new string_constraint(compiled_pattern(""), {});
  }
};

void append_pointer_token(std::string& pointer, std::string_view name) {
  pointer += '/';
  for (const char byte : name) {
    if (byte == '~') {
      pointer += "~0";
    } else if (byte == '/') {
      pointer += "~1";
    } else {
      pointer += byte;
    }
  }
}

// The JSON pointer for a path of valijson, which is "<root>" and then `[name]` for each step.
std::string pointer_of(const std::vector<std::string>& context) {
  std::string pointer;
  for (std::size_t i = 1; i < context.size(); ++i) {
    std::string_view step = context[i];
    if (step.size() >= 2 && step.front() == '[' && step.back() == ']')
      step = step.substr(1, step.size() - 2);
    if (step.size() >= 2 && step.front() == '"' && step.back() == '"')
      step = step.substr(1, step.size() - 2);
    append_pointer_token(pointer, step);
  }
  return pointer;
}

// Shortens a description of valijson, and turns it from a sentence into a clause.
std::string shortened(std::string description) {
  if (!description.empty() && description.back() == '.') description.pop_back();
  description = utf8_prefix(description, longest_shown);
  if (!description.empty())
    description[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(description[0])));
  return description;
}

// The description of a value with a wrong type. valijson's description does not name the type.
std::string wrong_type(const json& document, const std::string& pointer) {
  try {
    return fmt::format("a value of type {} may not stand here",
                       document.at(json::json_pointer(pointer)).type_name());
  } catch (const json::exception&) {
    return "a value of this type may not stand here";
  }
}

// valijson reports the innermost error first; the errors after it follow from it.
std::string fault_in(const valijson::ValidationResults& results, const json& document) {
  if (results.begin() == results.end()) return "does not fit the schema";
  const auto& first = *results.begin();
  const std::string pointer = pointer_of(first.context);
  const bool of_type = first.description.find("'type' constraint") != std::string::npos;
  return fmt::format(
      "does not fit the schema: {}: {}",
      pointer.empty() ? "at the top" : fmt::format("at {}", utf8_prefix(pointer, longest_shown)),
      of_type ? wrong_type(document, pointer) : shortened(first.description));
}

}  // namespace

std::optional<std::string> json_answer_fault(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) return "is empty";
  const auto fault = json_fault(text);
  if (!fault) {
    if (is_nested_deeper(text, deepest_answer))
      return fmt::format("is JSON that is nested deeper than {} levels", deepest_answer);
    return std::nullopt;
  }
  if (text.substr(start).starts_with("```")) return "wraps its JSON in a Markdown fence (```)";
  return fmt::format("is not JSON: {}", *fault);
}

struct json_schema::compiled {
  valijson::Schema schema;
};

json_schema::json_schema() : compiled_(std::make_unique<compiled>()) {}
json_schema::~json_schema() = default;

boost::system::result<std::shared_ptr<const json_schema>, std::string> json_schema::compile(
    std::string_view text) {
  if (const auto fault = json_fault(text)) return fmt::format("is not JSON: {}", *fault);
  if (is_nested_deeper(text, deepest_answer)) return std::string("is nested too deeply");
  json document = json::parse(without_lone_surrogates(std::string(text)), nullptr, false);
  if (auto fault = prepare_schema(document)) return *std::move(fault);
  const std::shared_ptr<json_schema> made(new json_schema);
  try {
    valijson::SchemaParser parser;  // owns the builders that are added
    parser.addConstraintBuilder(own_pattern, new pattern_builder);
    parser.addConstraintBuilder(own_format, new format_builder);
    parser.populateSchema(adapter(document), made->compiled_->schema);
  } catch (const std::exception& error) {
    return shortened(error.what());
  }
  return std::shared_ptr<const json_schema>(made);
}

std::optional<std::string> json_schema::fault_of(std::string_view text) const {
  if (auto fault = json_answer_fault(text)) return fault;
  const json document = json::parse(without_lone_surrogates(std::string(text)), nullptr, false);
  valijson::Validator validator;
  valijson::ValidationResults results;
  if (validator.validate(compiled_->schema, adapter(document), &results)) return std::nullopt;
  return fault_in(results, document);
}

}  // namespace sluice::answers
