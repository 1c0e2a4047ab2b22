#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "sluice/job.hpp"
#include "tokens/tokenizer.hpp"

namespace sluice {

/// The vocabulary by which a model of OpenAI counts, also under the name of a fine-tuned one
/// (`ft:gpt-4o-mini:org::id`), a dated one, or one behind a maker's name (`openai/gpt-4o`); nothing
/// for models that are not known. Pure.
std::optional<vocabulary> vocabulary_of(std::string_view model);

/// Whether the model is of a family that thinks before it answers, in tokens that it does not show.
/// Pure.
bool may_reason(std::string_view model);

struct token_count {
  std::uint64_t tokens = 0;
  /// Just what the model's maker bills for the same text. Otherwise an estimate: the model's
  /// vocabulary or how its prompt is put together is not known, a part is no text, or the program
  /// has no vocabularies.
  bool exact = false;
};

/// The tokens of a request's prompt, all that `body` asks with: of a chat also those that frame its
/// messages, as OpenAI's cookbook has them (3 a message and 3 more, 1 for a name). Exact are chats
/// of text with models that do not reason, and prompts and inputs of `/v1/completions` and
/// `/v1/embeddings`. Any bytes may be a body. Pure.
token_count prompt_tokens(endpoint target, std::string_view model, std::string_view body);

/// The tokens of a text that the model wrote. Pure.
token_count completion_tokens(std::string_view model, std::string_view text);

}  // namespace sluice
