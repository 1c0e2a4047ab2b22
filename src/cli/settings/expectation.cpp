#include "cli/settings/expectation.hpp"

#include <fmt/format.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "answers/answer_check.hpp"
#include "json/object.hpp"
#include "settings/setting.hpp"

namespace sluice::cli {
namespace {

std::string read_schema_file(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file || content.bad())
    throw bad_setting(fmt::format("{}: cannot be read; give a file with a JSON Schema", path));
  return content.str();
}

// The file may contain the schema inside `response_format` or `json_schema`, as in a request.
std::string schema_in(const std::string& text) {
  json_object whole = json_object::parse(text);
  if (whole.object("json_schema").is_object()) whole = whole.object("json_schema");
  const bool is_wrapped = whole.object("schema").is_object() && whole.has("name");
  return is_wrapped ? std::string(whole.value("schema")) : text;
}

}  // namespace

std::shared_ptr<const reply_check> parse_expectation(const std::string& given) {
  constexpr std::string_view schema = "schema=";
  constexpr std::string_view regex = "regex=";
  if (given == "json") return answers::expect_json();
  if (given == "schema") return answers::expect_own_schema();
  if (given.starts_with(schema) && given.size() > schema.size()) {
    const std::string path = given.substr(schema.size());
    try {
      return answers::expect_schema(schema_in(read_schema_file(path)));
    } catch (const std::invalid_argument& fault) {
      throw bad_setting(fmt::format("the schema in {} {}; correct it", path, fault.what()));
    }
  }
  if (given.starts_with(regex) && given.size() > regex.size()) {
    try {
      return answers::expect_match(given.substr(regex.size()));
    } catch (const std::invalid_argument& fault) {
      throw bad_setting(
          fmt::format("the pattern is not understood: {}; write it in RE2's syntax "
                      "(no look-ahead, no back-references)",
                      fault.what()));
    }
  }
  throw bad_setting(fmt::format(
      "'{}' is not json, schema, schema=FILE or regex=PATTERN; use one of them", given));
}

}  // namespace sluice::cli
