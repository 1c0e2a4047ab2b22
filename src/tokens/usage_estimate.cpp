#include "tokens/usage_estimate.hpp"

#include "openai/reply_text.hpp"
#include "tokens/prompt_tokens.hpp"

namespace sluice {

std::optional<token_usage> estimate_usage(const request& request, std::string_view reply) {
  const auto vocabulary = vocabulary_of(request.model);
  if (!vocabulary || tokenizer::of(*vocabulary) == nullptr) return std::nullopt;
  const auto count_of = [](const token_count& count) {
    return static_cast<std::int64_t>(count.tokens);
  };
  token_usage usage;
  usage.prompt_tokens = count_of(prompt_tokens(request.target, request.model, request.body));
  for (const openai::reply_text& piece : openai::reply_texts(reply)) {
    const std::int64_t tokens = count_of(completion_tokens(request.model, piece.text));
    usage.completion_tokens += tokens;
    if (piece.reasoning) usage.reasoning_tokens += tokens;
  }
  return usage;
}

}  // namespace sluice
