#include "dataset/answer_path.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/ascii.hpp"
#include "base/printable.hpp"
#include "json/members.hpp"
#include "json/object.hpp"
#include "json/text.hpp"

namespace sluice::dataset {
namespace {

// Models often put JSON into a block of Markdown.
std::string_view without_fence(std::string_view text) {
  constexpr std::string_view fence = "```";
  text = trimmed(text);
  if (!text.starts_with(fence) || !text.ends_with(fence) || text.size() < 2 * fence.size())
    return text;
  const std::size_t line_end = text.find('\n');
  if (line_end == std::string_view::npos) return text;
  return trimmed(text.substr(line_end + 1, text.size() - fence.size() - line_end - 1));
}

// Joins the parts of a list that have this type.
std::optional<std::string> joined_parts(std::string_view list, std::string_view type) {
  const auto parts = json_elements(list);
  if (!parts) return std::nullopt;
  std::optional<std::string> text;
  for (const std::string_view each : *parts) {
    const json_object part(each);
    if (part.text("type") != type) continue;
    text = text.value_or(std::string()) + part.text("text").value_or(std::string());
  }
  return text;
}

std::optional<std::string> first_choice_text(const json_object& choice) {
  const json_object message = choice.object("message");
  const std::string_view content = message.value("content");
  if (content.empty()) return choice.text("text");
  if (content.front() == '[') return joined_parts(content, "text");
  return json_string(content);
}

std::optional<std::string> responses_text(const json_object& body) {
  std::optional<std::string> text;
  for (const std::string_view each : body.list("output")) {
    const auto part = joined_parts(json_object(each).value("content"), "output_text");
    if (part) text = text.value_or(std::string()) + *part;
  }
  return text;
}

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || static_cast<unsigned char>(c) >= 0x80;
}

// Removes a member's name from the front of the text, either plain or as a JSON string.
std::optional<std::string> take_name(std::string_view& text) {
  if (text.starts_with('"')) {
    std::size_t end = 1;
    while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
    if (end >= text.size()) return std::nullopt;
    auto name = json_unescaped(text.substr(1, end - 1), false);
    text.remove_prefix(end + 1);
    return name;
  }
  const auto end =
      static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_name) - text.begin());
  if (end == 0) return std::nullopt;
  std::string name(text.substr(0, end));
  text.remove_prefix(end);
  return name;
}

found_value as_json(std::string_view value) {
  if (value.empty() || value == "null") return {};
  return {found_value::kind::json, std::string(value), {}};
}

}  // namespace

std::string found_value::text() const {
  if (is == kind::json && content.front() == '"') return json_string(content).value_or("");
  return content;
}

std::string found_value::json() const {
  if (is == kind::nothing) return "null";
  return is == kind::json ? content : json_quote(content);
}

std::optional<answer_path> answer_path::parse(std::string_view text) {
  answer_path path;
  path.text_ = text;
  if (!text.starts_with('.') || valid_utf8(path.text_) != text) return std::nullopt;
  bool is_first = true;
  while (!text.empty()) {
    if (text.front() == '.') {
      text.remove_prefix(1);
      if (!text.starts_with('[')) {
        const bool quoted = text.starts_with('"');
        auto name = take_name(text);
        if (!name) return std::nullopt;
        const auto is_word = [&](std::string_view word) {
          return is_first && !quoted && *name == word;
        };
        if (is_word("content") && text.empty()) {
          path.start_ = start::content;
        } else if (is_word("error") && text.empty()) {
          path.start_ = start::error;
        } else if (is_word("json")) {
          path.start_ = start::json;
        } else {
          path.steps_.emplace_back(*std::move(name));
        }
        is_first = false;
        continue;
      }
    }
    if (text.front() != '[') return std::nullopt;
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    std::size_t index = 0;
    const char* const end = text.data() + close;
    const auto read = std::from_chars(text.data() + 1, end, index);
    if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
    path.steps_.emplace_back(index);
    text.remove_prefix(close + 1);
    is_first = false;
  }
  return path;
}

found_value answer_path::find(std::string_view body) const {
  std::optional<std::string> text;
  std::string_view value = body;
  if (start_ == start::content || start_ == start::json) {
    text = answer_text(body);
    if (!text) return {found_value::kind::nothing, {}, "the answer has no text"};
    if (start_ == start::content) return {found_value::kind::text, *std::move(text), {}};
    value = without_fence(*text);
    if (const auto fault = json_fault(value)) {
      return {found_value::kind::nothing, {}, "the answer is not JSON: " + *fault};
    }
  }
  for (const step& each : steps_) {
    if (const auto* name = std::get_if<std::string>(&each)) {
      value = json_object(value).value(*name);
    } else {
      const auto elements = json_elements(value).value_or(std::vector<std::string_view>{});
      const std::size_t index = std::get<std::size_t>(each);
      value = index < elements.size() ? elements[index] : std::string_view();
    }
    if (value.empty()) break;
  }
  if (start_ == start::json && value.empty()) {
    return {
        found_value::kind::nothing, {}, fmt::format("the answer has no {}", printable_text(text_))};
  }
  return as_json(value);
}

std::optional<std::string> answer_text(std::string_view body) {
  const json_object reply(body);
  const auto choices = reply.list("choices");
  return choices.empty() ? responses_text(reply) : first_choice_text(json_object(choices.front()));
}

}  // namespace sluice::dataset
