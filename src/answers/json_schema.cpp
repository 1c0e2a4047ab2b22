#include "answers/json_schema.hpp"

#include <fmt/format.h>

#include <cctype>
#include <nlohmann/json.hpp>
#include <utility>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>
#include <vector>

#include "answers/exact_json.hpp"
#include "answers/schema_adapter.hpp"
#include "answers/schema_keywords.hpp"
#include "answers/schema_survey.hpp"
#include "json/text.hpp"

namespace sluice::answers {
namespace {

using nlohmann::json;

constexpr std::size_t deepest_answer = 200;

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

// valijson reports the innermost error first; the errors after it follow from it.
std::string fault_in(const valijson::ValidationResults& results) {
  if (results.begin() == results.end()) return "does not fit the schema";
  const auto& first = *results.begin();
  const std::string pointer = pointer_of(first.context);
  return fmt::format(
      "does not fit the schema: {}: {}",
      pointer.empty() ? "at the top" : fmt::format("at {}", utf8_prefix(pointer, longest_shown)),
      shortened(first.description));
}

constexpr const char* too_large = "has a number that is too large";

// `text` must be JSON.
std::optional<json> read(std::string_view text, integers rule) {
  return read_exact_json(without_lone_surrogates(std::string(text)), rule);
}

integers rule_of(const json& schema) {
  const auto draft = schema.is_object() ? schema.find("$schema") : schema.end();
  const auto* const name = draft == schema.end() ? nullptr : draft->get_ptr<const std::string*>();
  const bool old =
      name != nullptr && (name->find("json-schema.org/draft-03/") != std::string::npos ||
                          name->find("json-schema.org/draft-04/") != std::string::npos);
  return old ? integers::by_form : integers::by_value;
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
  integers rule = integers::by_value;
};

json_schema::json_schema() : compiled_(std::make_unique<compiled>()) {}
json_schema::~json_schema() = default;

boost::system::result<std::shared_ptr<const json_schema>, std::string> json_schema::compile(
    std::string_view text) {
  if (const auto fault = json_fault(text)) return fmt::format("is not JSON: {}", *fault);
  if (is_nested_deeper(text, deepest_answer)) return std::string("is nested too deeply");
  auto document = read(text, integers::by_value);
  if (!document) return std::string(too_large);
  const integers rule = rule_of(*document);
  if (auto fault = prepare_schema(*document)) return *std::move(fault);
  const std::shared_ptr<json_schema> made(new json_schema);
  made->compiled_->rule = rule;
  try {
    valijson::SchemaParser parser;  // owns the builders that are added
    add_own_keywords(parser);
    parser.populateSchema(schema_adapter(*document), made->compiled_->schema);
  } catch (const std::exception& error) {
    return shortened(error.what());
  }
  return std::shared_ptr<const json_schema>(made);
}

std::optional<std::string> json_schema::fault_of(std::string_view text) const {
  if (auto fault = json_answer_fault(text)) return fault;
  const auto document = read(text, compiled_->rule);
  if (!document) return too_large;
  valijson::Validator validator;
  valijson::schema_walk::check check;
  if (validator.validate(compiled_->schema, schema_adapter(*document), nullptr))
    return std::nullopt;
  check.look_for_reason();
  valijson::ValidationResults results;
  validator.validate(compiled_->schema, schema_adapter(*document), &results);
  return fault_in(results);
}

}  // namespace sluice::answers
