#pragma once

#include <cstdint>
#include <string>

#include "sluice/job.hpp"
#include "sluice/money.hpp"

namespace sluice::probe {

/// What a sample is asked for. Every reply is also held against the relay's own count of it.
enum class purpose : std::uint8_t {
  prompt_tokens,  ///< how its prompt is counted
  max_tokens,     ///< a long answer that is cut after so many tokens
  logprobs,       ///< the tokens that an answer is made of
  forced_tool,
  json_schema,
  choices,  ///< two answers at once
  stop,     ///< an answer that ends before a word
  stream,
  context_limit,  ///< more tokens than the model has: a refusal, which is free, tells its limits
  question,       ///< one of those that the trade asks
};

/// One request of a probe.
struct sample {
  purpose why = purpose::prompt_tokens;
  std::string prompt;            ///< the only message, of the user
  std::int64_t most_tokens = 1;  ///< that each answer may have
  std::string detail;            ///< the tool's name, the stop word, which question
  std::string body;
  bool streamed = false;
  usd most;  ///< the most it costs, at the configured price and the maker's way of counting

  request to_request(const std::string& model, std::uint64_t number) const;
};

}  // namespace sluice::probe
