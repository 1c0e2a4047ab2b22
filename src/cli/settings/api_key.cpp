#include "cli/settings/api_key.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

#include "base/ascii.hpp"
#include "settings/setting.hpp"

namespace sluice::cli {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

// Removes a word at the start of the text, ignoring case.
void drop_word(std::string_view& text, std::string_view word) {
  const bool there = text.size() > word.size() &&
                     std::equal(word.begin(), word.end(), text.begin(), [](char a, char b) {
                       return a == std::tolower(static_cast<unsigned char>(b));
                     });
  if (there) text = trimmed(text.substr(word.size()));
}

void drop_quotes(std::string_view& text) {
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
                      text.back() == text.front();
  if (quoted) text = trimmed(text.substr(1, text.size() - 2));
}

struct assignment {
  std::string_view name;
  std::string_view value;
};

// `NAME=value`, perhaps after `export`. A name has no lower case letters, so a base64 key that ends
// with = is not taken for an assignment.
std::optional<assignment> assignment_in(std::string_view text) {
  drop_word(text, "export ");
  const std::size_t sign = text.find('=');
  if (sign == std::string_view::npos || sign == 0) return std::nullopt;
  const std::string_view name = trimmed(text.substr(0, sign));
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
  if (name.find_first_not_of(letters) != std::string_view::npos) return std::nullopt;
  return assignment{name, trimmed(text.substr(sign + 1))};
}

bool names_a_key(std::string_view name) {
  constexpr std::array<std::string_view, 2> words{"KEY", "TOKEN"};
  return std::any_of(words.begin(), words.end(), [name](std::string_view word) {
    return name.find(word) != std::string_view::npos;
  });
}

}  // namespace

std::string key_in(std::string_view text) {
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  text = trimmed(text);
  if (const auto set = assignment_in(text); set && names_a_key(set->name)) text = set->value;
  drop_quotes(text);
  drop_word(text, "authorization:");
  drop_word(text, "bearer ");
  drop_quotes(text);
  return std::string(text);
}

std::string key_in_file(std::string_view content) {
  if (content.starts_with(byte_order_mark)) content.remove_prefix(byte_order_mark.size());
  std::string_view other;  // the name of a setting that is not a key
  for (bool first = true; !content.empty(); first = false) {
    const std::size_t end = std::min(content.find('\n'), content.size());
    const std::string_view line = trimmed(content.substr(0, end));
    content.remove_prefix(std::min(end + 1, content.size()));
    const auto set = assignment_in(line);
    if (set && !names_a_key(set->name)) {
      other = set->name;
    } else if (set || (first && !line.starts_with('#'))) {
      std::string key = key_in(line);
      if (!key.empty()) return key;
    }
  }
  if (!other.empty()) {
    throw bad_setting(fmt::format(
        "sets {}, and no name with KEY in it; write the key alone into its first line", other));
  }
  throw bad_setting("has no key in its first line; write the key there");
}

}  // namespace sluice::cli
