#include "secrets.hpp"

#include <algorithm>
#include <array>
#include <boost/algorithm/string/predicate.hpp>
#include <charconv>

namespace sluice {
namespace {

constexpr std::string_view shown = "[key]";
constexpr std::size_t shortest_secret = 16;
/// So much of a secret is no chance.
constexpr std::size_t shortest_rest = 8;

bool is_guessable(std::string_view word) {
  return word.size() < shortest_secret ||
         word.find_first_not_of("0123456789.+-eE") == std::string_view::npos;
}

/// How many bytes of `text` at `at` say `c` inside a JSON string, which includes `c` itself; 0:
/// they say something else.
std::size_t said_at(std::string_view text, std::size_t at, char c) {
  if (at >= text.size()) return 0;
  if (text[at] == c) return 1;
  if (text[at] != '\\' || at + 1 >= text.size()) return 0;
  if (text[at + 1] == c && (c == '/' || c == '"' || c == '\\')) return 2;
  if (text[at + 1] != 'u' || at + 6 > text.size()) return 0;
  unsigned unit = 0;
  const char* const end = text.data() + at + 6;
  const auto read = std::from_chars(text.data() + at + 2, end, unit, 16);
  return read.ptr == end && unit == static_cast<unsigned char>(c) ? 6 : 0;
}

/// How many bytes at `at` say the whole word; 0: they do not.
std::size_t said_at(std::string_view text, std::size_t at, std::string_view word) {
  std::size_t length = 0;
  for (const char c : word) {
    const std::size_t step = said_at(text, at + length, c);
    if (step == 0) return 0;
    length += step;
  }
  return length;
}

/// Whether it may be in there at all: nearly no text is to be looked at more closely.
bool may_hold(std::string_view text, std::string_view word) {
  return text.find(word) != std::string_view::npos ||
         text.find("\\u00") != std::string_view::npos ||
         (word.find_first_of("/\"\\") != std::string_view::npos &&
          text.find('\\') != std::string_view::npos);
}

/// A JSON string stays one: an escape is left whole or goes whole.
void blot_out_whole(std::string& text, std::string_view word) {
  if (!may_hold(text, word)) return;
  constexpr std::string_view escapable = "\"\\/bfnrtu";
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = said_at(text, at, word);
    const bool escape = text[at] == '\\' && at + 1 < text.size() &&
                        escapable.find(text[at + 1]) != std::string_view::npos;
    if (length == 0 && escape) {
      at += 2;
      // A line's end before the word, or its first letter behind a backslash.
      if (text[at - 1] == word.front()) length = said_at(text, at, word.substr(1));
    }
    if (length > 0) {
      text.replace(at, length, shown);
      at += shown.size();
    } else if (!escape) {
      ++at;
    }
  }
}

/// A text that was cut within the word ends with the beginning of it.
void blot_out_rest(std::string& text, std::string_view word) {
  constexpr std::string_view cut = "…";
  if (!text.ends_with(cut)) return;
  const std::string_view kept = std::string_view(text).substr(0, text.size() - cut.size());
  for (std::size_t length = std::min(word.size() - 1, kept.size()); length >= shortest_rest;
       --length) {
    if (!kept.ends_with(word.substr(0, length))) continue;
    text.replace(kept.size() - length, length, shown);
    return;
  }
}

/// Without the scheme before it ("Bearer", "Basic").
std::string_view credentials(std::string_view value) {
  while (value.ends_with(' ')) value.remove_suffix(1);
  const std::size_t space = value.find_last_of(' ');
  return space == std::string_view::npos ? value : value.substr(space + 1);
}

/// The values of cookies ("a=1; b=2"), without their names and quotes.
std::vector<std::string_view> cookies(std::string_view header) {
  std::vector<std::string_view> values;
  while (!header.empty()) {
    const std::size_t end = std::min(header.find(';'), header.size());
    std::string_view value = header.substr(0, end);
    header.remove_prefix(std::min(end + 1, header.size()));
    value.remove_prefix(value.find('=') + 1);  // npos + 1 is none
    value.remove_prefix(std::min(value.find_first_not_of(" \""), value.size()));
    value.remove_suffix(value.size() - (value.find_last_not_of(" \"") + 1));
    values.push_back(value);
  }
  return values;
}

}  // namespace

bool is_secret_header(std::string_view name) {
  constexpr std::array<std::string_view, 6> parts{"auth",   "cookie", "key",
                                                  "secret", "token",  "password"};
  return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) {
    return boost::algorithm::icontains(name, part);
  });
}

secrets::secrets(const relay_options& relay) {
  words_.push_back(relay.api_key);
  for (const auto& [name, value] : relay.headers) {
    if (boost::algorithm::icontains(name, "cookie")) {
      for (const std::string_view cookie : cookies(value)) words_.emplace_back(cookie);
    } else if (is_secret_header(name)) {
      words_.emplace_back(credentials(value));
    }
  }
  std::erase_if(words_, is_guessable);
  // Of two, one of which begins with the other, nothing of the longer one may be left.
  std::sort(words_.begin(), words_.end(),
            [](const auto& a, const auto& b) { return a.size() > b.size(); });
}

void secrets::blot_out(std::string& text) const {
  for (const auto& word : words_) {
    blot_out_whole(text, word);
    blot_out_rest(text, word);
  }
}

}  // namespace sluice
