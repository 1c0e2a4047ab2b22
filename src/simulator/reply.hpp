// Inference replies in the wire format of their endpoint: whole or as server-sent events. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "simulator/bill.hpp"
#include "simulator/inference_request.hpp"
#include "simulator/utterance.hpp"

namespace sluice::simulator {

/// One choice of a reply.
struct spoken_choice {
  utterance reasoning;  ///< the reasoning of a model that shows it
  utterance content;    ///< the text, or the arguments of a tool call
  bool cut_short = false;
};

struct answer {
  std::vector<spoken_choice> choices;
  token_usage usage;            ///< the usage that the client sees
  std::uint64_t generated = 0;  ///< the tokens of all choices that took time to generate
};

/// The maximum number of tokens in all choices of a reply together. Each logprob counts as a token.
/// Only a larger mean length in the options raises this limit.
inline constexpr std::uint64_t largest_reply = 1U << 17U;

/// The answer to a request. The same request gets the same answer, streamed or not.
answer compose(const inference_request& request, int mean_tokens);

/// The same request, but with a wrong answer, as models give when they are asked for JSON: in a
/// Markdown fence, with words before it, without its end, or as JSON of another form. The request
/// keeps its answer if it does not ask for JSON.
inference_request misunderstood(const inference_request& request);

/// The format of a chat's usage: OpenAI's, or that of other vendors for the same tokens.
enum class usage_dialect : std::uint8_t {
  openai,
  xai,       ///< the total includes reasoning tokens, but the completion does not
  moonshot,  ///< `cached_tokens` directly in `usage`
  claude,    ///< the prompt does not include the cached tokens if they are the larger part of it
  groq,      ///< usage inside `x_groq`
};
inline constexpr std::uint32_t usage_dialects = 5;

/// The data of a reply that does not depend on its content.
struct envelope {
  std::string id;  ///< without the prefix of its endpoint
  std::int64_t created = 0;
  bool with_usage = true;
  usage_dialect dialect = usage_dialect::openai;
};

std::string body_of(const inference_request& request, const answer& answer,
                    const envelope& envelope);

/// The body of a stream.
struct event_stream {
  std::string text;
  /// The offset in `text` where each token's part ends. The part of a token that ends inside a
  /// character is empty. The last part includes everything after the last token.
  std::vector<std::size_t> steps;
};

event_stream events_of(const inference_request& request, const answer& answer,
                       const envelope& envelope);

}  // namespace sluice::simulator
