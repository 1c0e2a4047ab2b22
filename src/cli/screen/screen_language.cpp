#include "cli/screen/screen_language.hpp"

#include <cstdlib>
#include <string>
#include <string_view>

namespace sluice::cli {
namespace {

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : value;
}

}  // namespace

language language_of_environment() {
  return language_of({.lc_all = variable("LC_ALL"),
                      .lc_messages = variable("LC_MESSAGES"),
                      .lang = variable("LANG")});
}

language language_of_error(const settings& flags) {
  std::string word = flags.line_value("lang");
  for (const auto& [name, value] : flags.given()) {
    if (name == "lang" && word.empty()) word = value;
    if (name == "json-log" && value == "true") return language::english;
  }
  if (word == "en") return language::english;
  return word == "zh" ? language::chinese : language_of_environment();
}

}  // namespace sluice::cli
