#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "sluice/job.hpp"
#include "tokens/tokenizer.hpp"

namespace sluice {

/// The vocabulary of an OpenAI model. The name may be that of a fine-tuned model
/// (`ft:gpt-4o-mini:org::id`), or have a date or a vendor prefix (`openai/gpt-4o`). Nothing for
/// unknown models. Pure.
std::optional<vocabulary> vocabulary_of(std::string_view model);

/// Whether the model is of a family that uses hidden reasoning tokens. Pure.
bool may_reason(std::string_view model);

struct token_count {
  std::uint64_t tokens = 0;
  /// Whether the vendor bills exactly this number. Else it is an estimate: the model's vocabulary
  /// or its prompt format is unknown, a part is not text, or the program has no vocabularies.
  bool exact = false;
};

/// The tokens of a request's prompt. In a chat they include the overhead of messages by OpenAI's
/// cookbook: 3 per message, 3 for the reply, and 1 per name. Exact for text chats with models that
/// do not reason, and for `/v1/completions` and `/v1/embeddings`. `body` may be any bytes. Pure.
token_count prompt_tokens(endpoint target, std::string_view model, std::string_view body);

/// The tokens of a text that the model generated. Pure.
token_count completion_tokens(std::string_view model, std::string_view text);

}  // namespace sluice
