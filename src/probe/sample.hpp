#pragma once

#include <cstdint>
#include <string>

#include "sluice/job.hpp"
#include "sluice/money.hpp"

namespace sluice::probe {

/// What a sample is for. In addition, the usage of every reply is compared with its text.
enum class purpose : std::uint8_t {
  prompt_tokens,  ///< how the relay counts a prompt
  max_tokens,     ///< a long answer that is cut at `most_tokens`
  logprobs,       ///< the tokens of an answer
  forced_tool,
  json_schema,
  choices,  ///< two answers in one reply
  stop,     ///< an answer that must end before a stop sequence
  stream,
  context_limit,  ///< asks for too many tokens; the refusal is free and names the model's limits
  question,       ///< a trick question, see questions.hpp
  cache,          ///< a long prompt that begins like the others of its kind
};

/// One request of a probe.
struct sample {
  purpose why = purpose::prompt_tokens;
  std::string prompt;            ///< the text of the only message
  std::int64_t most_tokens = 1;  ///< the limit for each answer
  std::string detail;            ///< the name of the tool or question, or the stop sequence
  std::string body;
  bool streamed = false;
  usd most;  ///< the highest cost, at the configured price and with the vendor's token counts

  /// Number of answers in one reply.
  unsigned answers() const { return why == purpose::choices ? 2 : 1; }
  request to_request(const std::string& model, std::uint64_t number) const;
};

}  // namespace sluice::probe
