#include "views/shown_command.hpp"

#include <algorithm>
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

// Name and value of a header, from the text after the flag.
std::pair<std::string, std::string> split_header(std::string_view text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  std::string_view value = text.substr(std::min(colon + 1, text.size()));
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return {std::string(text.substr(0, colon)), std::string(value)};
}

}  // namespace

shown_command without_secrets(const std::vector<std::string>& command_line,
                              const std::vector<relay_member>& relays) {
  shown_command shown;
  constexpr std::string_view header = "--header";
  // its value may be a secret: the address of a chat robot
  constexpr std::string_view notify = "--notify";
  for (std::size_t i = 0; i < command_line.size(); ++i) {
    std::string word = command_line[i];
    const std::string in_flag = std::string(header) + "=";
    const std::size_t begin = word.starts_with(in_flag) ? in_flag.size() : 0;
    const bool is_header = begin > 0 || (i > 0 && command_line[i - 1] == header);
    std::vector<wording> hidden;
    const std::string in_notify = std::string(notify) + "=";
    const std::size_t at_address = word.starts_with(in_notify) ? in_notify.size() : 0;
    if (at_address > 0 || (i > 0 && command_line[i - 1] == notify)) {
      word.replace(at_address, word.size(), redacted_value);
      hidden.push_back(worded("the address of --notify"));
    } else if (is_header) {
      const auto [name, value] = split_header(std::string_view(word).substr(begin));
      std::string known = value;
      for (const auto& member : relays) secrets(member.relay).redact(known);
      if (is_secret_header(name, value)) known = redacted_value;
      if (known != value) hidden.push_back(worded("the value of {}", name));
      if (known != value) word.replace(begin, word.size(), name).append(": ").append(known);
    } else {
      hidden = hide_parameters(word);
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
