#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

#include "openai/chunk.hpp"

namespace sluice::openai {

/// One part of a content that is a list, kept as JSON text.
struct content_part {
  bool thinking = false;  ///< thought rather than said
  bool has_text = false;
  std::string text;       ///< between its quotes; of a thought all that it says
  std::string head;       ///< of a text that is said: its other members, each with a comma behind
  std::string signature;  ///< of a thought, with its quotes
};

/// Reads a part. Thoughts come as Mistral's `{"type":"thinking","thinking":[{"type":"text",…}]}`,
/// Anthropic's `{"type":"thinking","thinking":"…","signature":"…"}`, Databricks'
/// `{"type":"reasoning","summary":[{"type":"summary_text","text":"…"}]}` and Gemini's
/// `{"thought":true,"text":"…"}`. `inner` reads what is nested; the part comes from another reader.
/// Throws simdjson::simdjson_error on malformed JSON.
content_part read_content_part(simdjson::ondemand::object part, chunk_reader& inner);

/// Whether the type of a part says that it is thought rather than said; `type` has no quotes.
bool names_thought(std::string_view type);

}  // namespace sluice::openai
