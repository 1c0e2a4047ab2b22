#include "openai/error_body.hpp"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <utility>

#include "json_text.hpp"
#include "openai/retry_hint.hpp"
#include "shown_text.hpp"
#include "sse_parser.hpp"

namespace sluice::openai {
namespace {

using nlohmann::json;

constexpr std::size_t longest_message = 1000;
constexpr std::size_t longest_excerpt = 200;
/// A refusal is short; of a longer body only the start is looked at.
constexpr std::size_t longest_body = std::size_t{1} << 20;

constexpr std::string_view white_space = " \t\r\n\f\v";

bool is_space(char c) {
  return white_space.find(c) != std::string_view::npos;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(white_space);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(white_space) - begin + 1);
}

/// Where `word`, in lower case, stands in `text`, whatever its case.
std::size_t find_word(std::string_view text, std::string_view word, std::size_t from = 0) {
  const auto found = std::search(
      text.begin() + static_cast<std::ptrdiff_t>(std::min(from, text.size())), text.end(),
      word.begin(), word.end(),
      [](unsigned char a, unsigned char b) { return std::tolower(a) == static_cast<int>(b); });
  return found == text.end() ? std::string_view::npos
                             : static_cast<std::size_t>(found - text.begin());
}

/// The first JSON value of a text: some relays write a second one behind it.
std::optional<json> first_value(std::string_view text) {
  std::istringstream in(without_lone_surrogates(valid_utf8(std::string(text))));
  json value;
  try {
    in >> value;
  } catch (const json::exception&) {
    return std::nullopt;
  }
  return value;
}

/// The text of `object[key]`: a string, or a number as JSON writes it; else empty.
std::string text_of(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  return found->is_number() ? found->dump() : std::string();
}

/// The member at a path of keys; null where there is none.
const json& at(const json& value, std::initializer_list<const char*> path) {
  static const json none;
  const json* place = &value;
  for (const char* key : path) {
    if (!place->is_object() || !place->contains(key)) return none;
    place = &(*place)[key];
  }
  return *place;
}

/// The words of a list of errors, as validators send it: those of its first element.
std::string first_of(const json& list) {
  if (!list.is_array() || list.empty()) return {};
  if (list.front().is_string()) return list.front().get<std::string>();
  std::string words = text_of(list.front(), "msg");
  return words.empty() ? text_of(list.front(), "message") : words;
}

/// The first choice of a completion: some relays put their error there.
const json& first_choice(const json& root) {
  static const json none;
  const json& choices = at(root, {"choices"});
  return choices.is_array() && !choices.empty() ? choices.front() : none;
}

/// The first words in the places where one relay or another puts them.
std::string words_of(const json& root) {
  const std::string candidates[] = {
      text_of(at(root, {"error"}), "message"),
      text_of(root, "error"),
      text_of(root, "message"),
      text_of(root, "msg"),
      text_of(root, "err"),
      text_of(root, "error_msg"),
      text_of(at(root, {"header"}), "message"),
      text_of(at(root, {"response", "error"}), "message"),
      text_of(root, "detail"),
      first_of(at(root, {"detail"})),
      first_of(at(root, {"errors"})),
      text_of(at(first_choice(root), {"error"}), "message"),
      text_of(first_choice(root), "error"),
  };
  for (const std::string& words : candidates) {
    if (!trimmed(words).empty()) return words;
  }
  const std::string type = text_of(at(root, {"error"}), "type");
  return type.empty() ? text_of(at(root, {"error"}), "code") : type;
}

/// A length of time or a moment: text, a number, or the seconds of a Duration of Protocol Buffers.
std::string time_of(const json& object, const char* key) {
  const std::string text = text_of(object, key);
  return text.empty() ? text_of(at(object, {key}), "seconds") : text;
}

/// Adds what one object says of when to try again; what was found before it stands.
void add_hints(const json& object, error_body& read) {
  using names = std::pair<const char*, const char*>;
  // retryDelay: google.rpc.RetryInfo (https://github.com/googleapis/python-genai/issues/1875);
  // resets_*: a spent plan of ChatGPT, as relays pass it on.
  for (const auto& [key, header] :
       {names("retryDelay", "retry-after"), names("retry_delay", "retry-after"),
        names("retry_after", "retry-after"), names("retryAfter", "retry-after"),
        names("retry_after_seconds", "retry-after"), names("retryAfterSeconds", "retry-after"),
        names("resets_in_seconds", "retry-after"), names("resets_at", "retry-after"),
        names("retry_after_ms", "retry-after-ms"), names("retryAfterMs", "retry-after-ms")}) {
    if (const std::string text = time_of(object, key); !text.empty()) {
      read.hints.try_emplace(header, text);
    }
  }
  const json& headers = at(object, {"headers"});
  if (!headers.is_object()) return;
  for (const auto& [name, value] : headers.items()) {
    if (!is_retry_hint(name)) continue;
    std::string lower = name;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    read.hints.try_emplace(std::move(lower), text_of(headers, name.c_str()));
  }
}

/// In all the places where one vendor or another says it.
void find_hints(const json& root, const json& error, error_body& read) {
  for (const json* place : {&error, &root, &at(error, {"metadata"}), &at(root, {"metadata"})}) {
    add_hints(*place, read);
  }
  for (const json* details : {&at(error, {"details"}), &at(root, {"details"})}) {
    add_hints(*details, read);
    if (!details->is_array()) continue;
    for (const json& detail : *details) add_hints(detail, read);
  }
}

/// Some vendors put their envelope into an array.
error_body read_json(const json& value) {
  const json& root = value.is_array() && !value.empty() ? value.front() : value;
  error_body read;
  read.structured = root.is_object();
  read.message =
      one_line(root.is_string() ? root.get<std::string>() : words_of(root), longest_message);
  const json* error = &at(root, {"error"});
  if (!error->is_object()) error = &at(root, {"response", "error"});
  if (!error->is_object()) error = &root;
  read.code = text_of(*error, "code");
  if (read.code.empty()) read.code = text_of(root, "code");
  read.type = text_of(*error, "type");
  read.param = text_of(*error, "param");
  find_hints(root, *error, read);
  return read;
}

/// The title of a page, or else the first of its text.
std::string words_of_page(std::string_view page) {
  const std::size_t title = find_word(page, "<title");
  const std::size_t begin = page.find('>', title == std::string_view::npos ? page.size() : title);
  if (begin != std::string_view::npos) {
    const std::size_t end = find_word(page, "</title", begin);
    const std::string_view words = trimmed(page.substr(begin + 1, end - begin - 1));
    if (!words.empty()) return std::string(words);
  }
  std::string words;
  for (std::size_t i = 0; i < page.size() && words.size() < 2 * longest_excerpt;) {
    if (page[i] != '<') {
      words += page[i++];
      continue;
    }
    words += ' ';
    const std::string_view rest = page.substr(i);
    // What scripts and styles hold is nothing to read.
    const std::string_view last = find_word(rest.substr(0, 7), "<script") == 0  ? "</script"
                                  : find_word(rest.substr(0, 6), "<style") == 0 ? "</style"
                                  : rest.starts_with("<!--")                    ? "-->"
                                                                                : "<";
    const std::size_t close = page.find('>', std::min(find_word(page, last, i), page.size()));
    i = close == std::string_view::npos ? page.size() : close + 1;
  }
  return words;
}

/// JSON, a page or plain text, without space around it.
error_body read_text(std::string_view text) {
  if (text.starts_with('{') || text.starts_with('[') || text.starts_with('"')) {
    if (const auto root = first_value(text)) return read_json(*root);
  }
  error_body read;
  if (text.starts_with('{')) return read;  // JSON gone wrong is nobody's words
  read.page = text.starts_with('<');
  read.message = one_line(read.page ? words_of_page(text) : text, longest_excerpt);
  return read;
}

/// The data of a stream's first event.
std::string first_event(std::string_view body) {
  std::string data;
  sse_parser parser;
  const auto keep = [&](const sse_parser::event& event) {
    data = event.data;
    return data.empty();
  };
  if (parser.feed(body, keep)) parser.finish(keep);
  return data;
}

}  // namespace

error_body read_error_body(std::string_view body) {
  if (body.starts_with("\xEF\xBB\xBF")) body.remove_prefix(3);
  const std::string_view text = trimmed(body.substr(0, longest_body));
  if (text.starts_with("data:") || text.starts_with("event:") || text.starts_with(':')) {
    if (const std::string data = first_event(text); !data.empty()) return read_text(trimmed(data));
  }
  return read_text(text);
}

std::string one_line(std::string_view text, std::size_t limit) {
  std::string line;
  for (const char c : text.substr(0, 4 * limit)) {
    if (!is_space(c)) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  if (line.ends_with(' ')) line.pop_back();
  line = shown_text(line);
  if (line.size() <= limit && text.size() <= 4 * limit) return line;
  return std::string(utf8_prefix(line, limit)) + "…";
}

}  // namespace sluice::openai
