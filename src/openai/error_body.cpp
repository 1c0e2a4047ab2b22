#include "openai/error_body.hpp"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <utility>

#include "base/ascii.hpp"
#include "base/printable.hpp"
#include "json/text.hpp"
#include "openai/retry_hint.hpp"
#include "openai/sse_parser.hpp"

namespace sluice::openai {
namespace {

using nlohmann::json;

constexpr std::size_t longest_message = 1000;
constexpr std::size_t longest_excerpt = 200;
/// Error bodies are short. Of a longer body, only the beginning is read.
constexpr std::size_t longest_body = std::size_t{1} << 20;

bool is_space(char c) {
  return ascii_white_space.find(c) != std::string_view::npos;
}

/// The position of `word`, which is in lower case, in `text`, ignoring case.
std::size_t find_word(std::string_view text, std::string_view word, std::size_t from = 0) {
  const auto found = std::search(
      text.begin() + static_cast<std::ptrdiff_t>(std::min(from, text.size())), text.end(),
      word.begin(), word.end(),
      [](unsigned char a, unsigned char b) { return std::tolower(a) == static_cast<int>(b); });
  return found == text.end() ? std::string_view::npos
                             : static_cast<std::size_t>(found - text.begin());
}

/// The first JSON value of a text. Some relays send a second one after it.
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

/// The text of `object[key]`: a string, or a number as written in JSON; otherwise empty.
std::string text_of(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  return found->is_number() ? found->dump() : std::string();
}

/// The member at a path of keys; null if there is none.
const json& at(const json& value, std::initializer_list<const char*> path) {
  static const json none;
  const json* place = &value;
  for (const char* key : path) {
    if (!place->is_object() || !place->contains(key)) return none;
    place = &(*place)[key];
  }
  return *place;
}

/// The message of the first element in a list of errors, as validators send it.
std::string first_of(const json& list) {
  if (!list.is_array() || list.empty()) return {};
  if (list.front().is_string()) return list.front().get<std::string>();
  std::string words = text_of(list.front(), "msg");
  return words.empty() ? text_of(list.front(), "message") : words;
}

/// The first choice of a completion. Some relays put their error there.
const json& first_choice(const json& root) {
  static const json none;
  const json& choices = at(root, {"choices"});
  return choices.is_array() && !choices.empty() ? choices.front() : none;
}

/// MiniMax's status code; empty: none. Its successful replies also have a status, which is 0.
/// https://platform.minimax.io/docs/api-reference/errorcode.md
std::string mini_max_code(const json& root) {
  const std::string number = text_of(at(root, {"base_resp"}), "status_code");
  return number == "0" ? std::string() : number;
}

/// The first message that is found, in all the places where relays put one.
std::string words_of(const json& root) {
  const std::string candidates[] = {
      text_of(at(root, {"error"}), "message"),
      text_of(root, "error"),
      text_of(root, "message"),
      text_of(root, "msg"),
      text_of(root, "err"),
      text_of(root, "error_msg"),
      text_of(root, "error_message"),
      text_of(at(root, {"error", "error"}), "message"),
      text_of(at(root, {"header"}), "message"),
      text_of(at(root, {"response", "error"}), "message"),
      text_of(root, "detail"),
      text_of(at(root, {"detail"}), "message"),
      text_of(at(root, {"detail", "error"}), "message"),
      first_of(at(root, {"detail"})),
      first_of(at(root, {"errors"})),
      text_of(at(first_choice(root), {"error"}), "message"),
      text_of(first_choice(root), "error"),
      mini_max_code(root).empty() ? "" : text_of(at(root, {"base_resp"}), "status_msg"),
  };
  for (const std::string& words : candidates) {
    if (!trimmed(words).empty()) return words;
  }
  const std::string type = text_of(at(root, {"error"}), "type");
  return type.empty() ? text_of(at(root, {"error"}), "code") : type;
}

/// A duration or a time: text, a number, or the seconds of a Duration of Protocol Buffers.
std::string time_of(const json& object, const char* key) {
  const std::string text = text_of(object, key);
  return text.empty() ? text_of(at(object, {key}), "seconds") : text;
}

/// Adds the retry times in one object. Those that were found before are not replaced.
void add_hints(const json& object, error_body& read) {
  using names = std::pair<const char*, const char*>;
  // retryDelay: google.rpc.RetryInfo (https://github.com/googleapis/python-genai/issues/1875);
  // resets_*: sent by relays when a ChatGPT plan is used up.
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

/// Reads the retry times in all the places where vendors put them.
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

/// Converts a dict as Python prints it to JSON: single quotes, None, True and False. Other parts of
/// Python's syntax are not converted.
std::string json_of_python(std::string_view text) {
  std::string out;
  char quote = 0;  // the quote of the current string; 0: outside a string
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == quote) {
        out += '"';
        quote = 0;
      } else if (c == '\\' && i + 1 < text.size()) {
        if (text[++i] != '\'') out += '\\';
        out += text[i];
      } else {
        if (c == '"') out += '\\';
        out += c;
      }
    } else if (c == '\'' || c == '"') {
      out += '"';
      quote = c;
    } else {
      constexpr std::pair<std::string_view, std::string_view> names[] = {
          {"None", "null"}, {"True", "true"}, {"False", "false"}};
      const auto* const name = std::find_if(std::begin(names), std::end(names), [&](const auto& n) {
        return text.substr(i).starts_with(n.first);
      });
      if (name == std::end(names)) {
        out += c;
      } else {
        out += name->second;
        i += name->first.size() - 1;
      }
    }
  }
  return out;
}

/// The upstream's error inside a message: a JSON object, or a dict as Python prints it. It must be
/// the whole message, or follow a gateway's prefix, as in "litellm.BadRequestError:
/// AnthropicException - {…}" or "Error code: 402 - {…}". An object in another place may be a
/// quotation of the user's text.
std::optional<json> passed_on(std::string_view message) {
  const std::size_t begin = message.find('{');
  if (begin == std::string_view::npos || begin > 200) return std::nullopt;
  const std::string_view before = trimmed(message.substr(0, begin));
  const bool wrapped =
      before.empty() ||
      (before.ends_with('-') && (find_word(before, "exception") != std::string_view::npos ||
                                 find_word(before, "error code: ") != std::string_view::npos)) ||
      before.ends_with("failed:") ||
      (before.ends_with(':') && find_word(before, "status code") != std::string_view::npos);
  if (!wrapped || before.find_first_of("'\"`") != std::string_view::npos) return std::nullopt;
  const std::string_view rest = message.substr(begin);
  if (auto value = first_value(rest); value && value->is_object()) return value;
  if (auto value = first_value(json_of_python(rest)); value && value->is_object()) return value;
  return std::nullopt;
}

void add(std::vector<std::string>& texts, std::string text) {
  constexpr std::size_t most = 64;
  if (texts.size() < most && !text.empty() &&
      std::find(texts.begin(), texts.end(), text) == texts.end()) {
    texts.push_back(std::move(text));
  }
}

/// Whether a text is an identifier for programs, not a sentence.
bool is_name(std::string_view text) {
  return text.size() <= 64 && text.find_first_of(" \t\r\n") == std::string_view::npos;
}

/// Adds the codes of one error object.
void add_codes(std::vector<std::string>& codes, const json& object) {
  for (const char* key : {"code", "type", "status", "error_code", "errorCode", "Code", "err_code",
                          "error_type", "reason"}) {
    add(codes, text_of(object, key));
  }
  // For example {"error":"url.not_found","message":"…"}.
  if (std::string name = text_of(object, "error"); is_name(name)) add(codes, std::move(name));
  add(codes, text_of(at(object, {"innererror"}), "code"));  // Azure
  if (std::string number = mini_max_code(object); !number.empty()) {
    add(codes, "base_resp " + number);
  }
  // google.rpc.ErrorInfo and google.rpc.QuotaFailure: https://google.aip.dev/193
  if (const json& details = at(object, {"details"}); details.is_array()) {
    for (const json& detail : details) {
      add(codes, text_of(detail, "reason"));
      if (const json& violations = at(detail, {"violations"}); violations.is_array()) {
        for (const json& violation : violations) add(codes, text_of(violation, "quotaId"));
      }
    }
  }
}

/// The maximum depth of errors inside errors.
constexpr int deepest = 4;

/// Collects codes and upstream messages from an error and from the errors nested in it.
void gather(const json& value, error_body& read, int depth = 0) {
  const json& root = value.is_array() && !value.empty() ? value.front() : value;
  if (!root.is_object() || depth == deepest) return;
  const auto pass_on = [&](const std::string& message) {
    if (const auto inner = passed_on(message)) {
      add(read.upstream, one_line(words_of(*inner), longest_message));
      gather(*inner, read, depth + 1);
    }
  };
  for (const json* object :
       {&at(root, {"error"}), &at(root, {"response", "error"}), &at(first_choice(root), {"error"}),
        &at(root, {"detail"}), &at(root, {"header"}), &at(root, {"errors"})}) {
    if (!object->is_null() && !object->is_string()) gather(*object, read, depth + 1);
  }
  add_codes(read.codes, root);
  find_hints(root, root, read);
  // OpenRouter passes on its upstream's answer, usually as a string that contains JSON:
  // https://openrouter.ai/docs/api-reference/errors
  const json& raw = at(root, {"metadata", "raw"});
  if (raw.is_string()) {
    const std::string& text = raw.get_ref<const std::string&>();
    const auto inner = first_value(text);
    add(read.upstream,
        one_line(inner && inner->is_object() ? words_of(*inner) : text, longest_message));
    if (inner) gather(*inner, read, depth + 1);
  } else if (raw.is_object()) {
    add(read.upstream, one_line(words_of(raw), longest_message));
    gather(raw, read, depth + 1);
  }
  for (const char* key : {"message", "error", "msg", "detail"}) pass_on(text_of(root, key));
}

/// Reads a JSON error. Some vendors send it inside an array.
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
  gather(root, read);
  return read;
}

/// The title of a web page; if it has none, the beginning of its text.
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
    // The content of scripts and styles is not readable text.
    const std::string_view last = find_word(rest.substr(0, 7), "<script") == 0  ? "</script"
                                  : find_word(rest.substr(0, 6), "<style") == 0 ? "</style"
                                  : rest.starts_with("<!--")                    ? "-->"
                                                                                : "<";
    const std::size_t close = page.find('>', std::min(find_word(page, last, i), page.size()));
    i = close == std::string_view::npos ? page.size() : close + 1;
  }
  return words;
}

/// Reads JSON, a web page or plain text. `text` has no white space around it.
error_body read_text(std::string_view text) {
  if (text.starts_with('{') || text.starts_with('[') || text.starts_with('"')) {
    if (const auto root = first_value(text)) return read_json(*root);
  }
  error_body read;
  if (text.starts_with('{')) return read;  // broken JSON is not a message
  read.page = text.starts_with('<');
  read.message = one_line(read.page ? words_of_page(text) : text, longest_excerpt);
  return read;
}

/// The data of the first event in a stream.
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
  line = printable_text(line);
  if (line.size() <= limit && text.size() <= 4 * limit) return line;
  return std::string(utf8_prefix(line, limit)) + "…";
}

}  // namespace sluice::openai
