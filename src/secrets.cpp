#include "secrets.hpp"

#include <algorithm>
#include <array>
#include <boost/algorithm/string/case_conv.hpp>
#include <boost/algorithm/string/predicate.hpp>
#include <charconv>
#include <utility>

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

/// What a URL has behind its `?`, names and values.
std::vector<std::pair<std::string_view, std::string_view>> parameters(std::string_view url) {
  std::vector<std::pair<std::string_view, std::string_view>> found;
  const std::size_t question = url.find('?');
  if (question == std::string_view::npos) return found;
  std::string_view rest = url.substr(question + 1);
  rest = rest.substr(0, rest.find('#'));
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view one = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t sign = std::min(one.find('='), one.size());
    found.emplace_back(one.substr(0, sign), one.substr(std::min(sign + 1, one.size())));
  }
  return found;
}

/// Whether the rest of a name, in lower case, only begins as a word for a secret does.
bool is_other_word(std::string_view rest) {
  constexpr std::array<std::string_view, 5> others{"author", "keyword", "keyboard", "tokens",
                                                   "tokeniz"};
  return !rest.starts_with("authoriz") && !rest.starts_with("authoris") &&
         std::any_of(others.begin(), others.end(),
                     [&](std::string_view other) { return rest.starts_with(other); });
}

}  // namespace

bool is_secret_name(std::string_view name) {
  constexpr std::array<std::string_view, 6> parts{"auth",   "cookie", "key",
                                                  "secret", "token",  "password"};
  const std::string lower = boost::algorithm::to_lower_copy(std::string(name));
  for (std::size_t at = 0; at < lower.size(); ++at) {
    const std::string_view rest = std::string_view(lower).substr(at);
    const bool begins = std::any_of(parts.begin(), parts.end(),
                                    [&](std::string_view part) { return rest.starts_with(part); });
    if (begins && !is_other_word(rest)) return true;
  }
  return false;
}

bool is_secret_header(std::string_view name, std::string_view value) {
  if (is_secret_name(name)) return true;
  constexpr std::array<std::string_view, 2> schemes{"bearer ", "basic "};
  const bool has_scheme = std::any_of(schemes.begin(), schemes.end(), [&](std::string_view scheme) {
    return boost::algorithm::istarts_with(value, scheme);
  });
  const bool is_key = value.starts_with("sk-") || value.starts_with("eyJ");  // OpenAI's, and a JWT
  const bool is_word = value.find(' ') == std::string_view::npos && value.size() >= shortest_secret;
  return has_scheme || (is_key && is_word);
}

secrets::secrets(const relay_options& relay) {
  words_.push_back(relay.api_key);
  for (const auto& [name, value] : relay.headers) {
    if (boost::algorithm::icontains(name, "cookie")) {
      for (const std::string_view cookie : cookies(value)) words_.emplace_back(cookie);
    } else if (is_secret_header(name, value)) {
      words_.emplace_back(credentials(value));
    }
  }
  for (const auto& [name, value] : parameters(relay.base_url)) {
    if (is_secret_name(name)) words_.emplace_back(value);
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
