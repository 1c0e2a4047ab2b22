#include "views/shown_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "upstream/secrets.hpp"

namespace sluice::cli {
namespace {

constexpr std::string_view redacted_value = "[key]";

// Replaces the values of secret parameters in a URL by "[key]"; returns their names.
std::vector<wording> hide_parameters(std::string& url) {
  std::vector<wording> hidden;
  std::size_t at = url.find("://") == std::string::npos ? std::string::npos : url.find('?');
  while (at != std::string::npos && at < url.size()) {
    const std::size_t begin = at + 1;
    const std::size_t end = std::min(url.find_first_of("&#", begin), url.size());
    const std::size_t sign = url.find('=', begin);
    at = end < url.size() && url[end] == '&' ? end : std::string::npos;
    if (sign >= end) continue;
    const std::string name = url.substr(begin, sign - begin);
    if (!is_secret_name(name)) continue;
    url.replace(sign + 1, end - sign - 1, redacted_value);
    if (at != std::string::npos) at = sign + 1 + redacted_value.size();
    hidden.push_back(worded("the value of {}", name));
  }
  return hidden;
}

// Replaces the password in the user part of a URL; false: it has none.
bool hide_password(std::string& url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return false;
  const std::size_t authority = scheme + 3;
  const std::size_t end = std::min(url.find_first_of("/?# \t\n", authority), url.size());
  const std::size_t at = std::string_view(url).substr(0, end).rfind('@');
  const std::size_t colon = url.find(':', authority);
  if (at == std::string::npos || at < authority || colon >= at) return false;
  url.replace(colon + 1, at - colon - 1, redacted_value);
  return true;
}

bool is_database(std::string_view value) {
  return value.starts_with("postgresql://") || value.starts_with("postgres://");
}

// Where the value of this flag begins in the word; nullopt: the word has none.
std::optional<std::size_t> value_of(std::string_view flag, std::string_view word,
                                    std::string_view before) {
  if (before == flag) return 0;
  const bool has_both =
      word.size() > flag.size() && word.starts_with(flag) && word[flag.size()] == '=';
  return has_both ? std::optional(flag.size() + 1) : std::nullopt;
}

// Name and value of a header, from the text after the flag.
std::pair<std::string, std::string> split_header(std::string_view text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  std::string_view value = text.substr(std::min(colon + 1, text.size()));
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return {std::string(text.substr(0, colon)), std::string(value)};
}

}  // namespace

shown_command without_secrets(const std::vector<std::string>& command_line,
                              const std::vector<relay_member>& relays,
                              const std::vector<std::string>& secret_flags) {
  shown_command shown;
  for (std::size_t i = 0; i < command_line.size(); ++i) {
    std::string word = command_line[i];
    const std::string before_it = i > 0 ? command_line[i - 1] : std::string();
    std::vector<wording> hidden;
    if (const auto begin = value_of("--header", word, before_it)) {
      const auto [name, value] = split_header(std::string_view(word).substr(*begin));
      std::string known = value;
      for (const auto& member : relays) secrets(member.relay).redact(known);
      if (is_secret_header(name, value)) known = redacted_value;
      if (known != value) hidden.push_back(worded("the value of {}", name));
      if (known != value) word.replace(*begin, word.size(), name).append(": ").append(known);
    } else {
      if (hide_password(word)) hidden.push_back(worded("the value of {}", "password"));
      for (wording& one : hide_parameters(word)) hidden.push_back(std::move(one));
      for (const std::string& name : secret_flags) {
        const std::string flag = fmt::format("--{}", name);
        const auto at = value_of(flag, word, before_it);
        if (!at || is_database(std::string_view(word).substr(*at))) continue;
        word.replace(*at, word.size(), redacted_value);
        hidden = {name == "notify" ? worded("the address of --notify")
                                   : worded("the value of {}", flag)};
      }
    }
    const std::string before = word;
    for (const auto& member : relays) secrets(member.relay).redact(word);
    if (word != before) hidden.push_back(worded("the key"));
    for (auto& one : hidden) {
      if (std::find(shown.hidden.begin(), shown.hidden.end(), one) == shown.hidden.end()) {
        shown.hidden.push_back(std::move(one));
      }
    }
    shown.words.push_back(std::move(word));
  }
  return shown;
}

std::string quoted(const std::string& word) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::string again(const shown_command& command, std::string_view extra, language spoken) {
  // A flag in `extra` replaces the same flag of the command.
  const std::size_t name = std::min(extra.find('-'), extra.size());
  const std::size_t end = std::min(extra.find(' ', name), extra.size());
  const std::string_view flag = extra.substr(name, end - name);
  const bool has_value = end < extra.size();
  std::string text;
  for (std::size_t i = 0; i < command.words.size(); ++i) {
    const std::string& word = command.words[i];
    if (word == "--fresh" || (!extra.empty() && word == "--retry-failed")) continue;
    if (has_value && word == flag) {
      ++i;
      continue;
    }
    if (has_value && word.starts_with(std::string(flag) + "=")) continue;
    if (!text.empty()) text += ' ';
    text += quoted(word);
  }
  text += extra;
  if (command.hidden.empty()) return text;
  std::string hidden;
  for (const wording& one : command.hidden) {
    if (!hidden.empty()) hidden += say(spoken, ", then ");
    hidden += one.in(spoken);
  }
  return text + say(spoken, "\n          with {} in the place of {}", hidden, redacted_value);
}

}  // namespace sluice::cli
