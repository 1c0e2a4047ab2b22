// An inference reply in the wire form of its endpoint: whole, or as server-sent events.
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
  utterance reasoning;  ///< what a model that shows its thoughts thought
  utterance content;    ///< the text, or the arguments of a tool call
  bool cut_short = false;
};

struct answer {
  std::vector<spoken_choice> choices;
  token_usage usage;            ///< as the client is told
  std::uint64_t generated = 0;  ///< the tokens that took time, of all choices
};

/// The most tokens that all choices of a reply hold together, as a model's window bounds what it
/// can say; every logprob counts as one. Only the mean length that the user asks for goes beyond
/// it.
inline constexpr std::uint64_t largest_reply = 1U << 17U;

/// The answer to a request: the same for the same request, streamed or not.
answer compose(const inference_request& request, int mean_tokens);

/// How a chat's usage is told: as OpenAI does, or as others do for the same tokens.
enum class usage_dialect : std::uint8_t {
  openai,
  xai,       ///< reasoning is no part of the completion, only of the total
  moonshot,  ///< cached tokens beside the others, without details
  claude,    ///< cached tokens are no part of the prompt; where they are more than the rest of it
  groq,      ///< inside of `x_groq`
};
inline constexpr std::uint32_t usage_dialects = 5;

/// What tells one reply from another of the same content.
struct envelope {
  std::string id;  ///< without the prefix of its kind
  std::int64_t created = 0;
  bool with_usage = true;
  usage_dialect dialect = usage_dialect::openai;
};

std::string body_of(const inference_request& request, const answer& answer,
                    const envelope& envelope);

/// A streamed body, and where in it each token's part ends, which is nothing where a character is
/// still open; what follows the last token comes with it.
struct event_stream {
  std::string text;
  std::vector<std::size_t> steps;
};

event_stream events_of(const inference_request& request, const answer& answer,
                       const envelope& envelope);

}  // namespace sluice::simulator
