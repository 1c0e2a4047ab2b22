#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

#include "openai/chunk.hpp"

namespace sluice::openai {

/// One part of a content that is a list, as JSON text.
struct content_part {
  bool thinking = false;  ///< reasoning, not content
  bool has_text = false;
  std::string text;       ///< without quotes; for reasoning, all of its text
  std::string head;       ///< for content: all other members, each followed by a comma
  std::string signature;  ///< for reasoning: its signature, with quotes
};

/// Reads a part. The formats of reasoning are Mistral's
/// `{"type":"thinking","thinking":[{"type":"text",…}]}`, Anthropic's
/// `{"type":"thinking","thinking":"…","signature":"…"}`, Databricks'
/// `{"type":"reasoning","summary":[{"type":"summary_text","text":"…"}]}` and Gemini's
/// `{"thought":true,"text":"…"}`. `inner` parses nested values; it must not be the reader that
/// `part` comes from. Throws simdjson::simdjson_error on malformed JSON.
content_part read_content_part(simdjson::ondemand::object part, chunk_reader& inner);

/// Whether the type of a part means reasoning; `type` has no quotes.
bool names_thought(std::string_view type);

}  // namespace sluice::openai
