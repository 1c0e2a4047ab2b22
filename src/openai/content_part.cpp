#include "openai/content_part.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "json/text.hpp"

namespace sluice::openai {
namespace {

namespace ondemand = simdjson::ondemand;

/// The members in which the vendors put the text of the reasoning.
// https://docs.mistral.ai/capabilities/reasoning/
// https://docs.databricks.com/aws/en/machine-learning/model-serving/query-reason-models
bool holds_thought(std::string_view key) {
  constexpr std::array<std::string_view, 5> keys{"thinking", "reasoning", "reasoning_content",
                                                 "summary", "content"};
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

/// Appends the text of a string, or the texts of a list of parts.
void collect_text(ondemand::value value, std::size_t depth, std::string& into) {
  check_depth(depth);
  switch (value.type()) {
    case ondemand::json_type::string:
      into += inside_quotes(raw_json(value));
      break;
    case ondemand::json_type::array:
      for (ondemand::value element : value.get_array()) collect_text(element, depth + 1, into);
      break;
    case ondemand::json_type::object:
      for (ondemand::field field : value.get_object()) {
        const std::string_view key = field.unescaped_key();
        if (key == "text" || holds_thought(key)) collect_text(field.value(), depth + 1, into);
      }
      break;
    default:
      break;
  }
}

}  // namespace

bool names_thought(std::string_view type) {
  return type.starts_with("thinking") || type.starts_with("reasoning") ||
         type.starts_with("thought");
}

content_part read_content_part(ondemand::object part, chunk_reader& inner) {
  content_part read;
  bool typed = false;
  bool flagged = false;
  std::vector<std::string_view> thoughts;
  for (ondemand::field field : part) {
    const std::string_view key = field.unescaped_key();
    ondemand::value value = field.value();
    const bool text = key == "text" && is_string(value);
    const std::string_view raw = raw_json(value);
    if (text) {
      read.has_text = true;
      read.text = inside_quotes(raw);
      continue;
    }
    if (key == "type" && raw.starts_with('"')) {
      typed = true;
      read.thinking = names_thought(inside_quotes(raw));
    } else if (key == "thought") {
      flagged = raw == "true";
    } else if (key == "signature" && raw.starts_with('"')) {
      read.signature = raw;
    } else if (holds_thought(key) && raw != "null") {
      thoughts.push_back(raw);
    }
    append_json_quoted(read.head, key);
    read.head.append(1, ':').append(raw).append(1, ',');
  }
  read.thinking = read.thinking || flagged || (!typed && !read.has_text && !thoughts.empty());
  if (!read.thinking) return read;
  // Reasoning may have neither text nor signature, for example if it is encrypted. Then the part
  // is kept unchanged.
  read.thinking = read.has_text || !thoughts.empty() || !read.signature.empty();
  std::string thought;
  for (const std::string_view raw : thoughts) {
    for (ondemand::field field : inner.object(fmt::format(R"({{"text":{}}})", raw))) {
      collect_text(field.value(), 0, thought);
    }
  }
  read.text.insert(0, thought);
  return read;
}

}  // namespace sluice::openai
