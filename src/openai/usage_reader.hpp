#pragma once

#include <simdjson.h>

#include <optional>
#include <string>

#include "sluice/job.hpp"
#include "sluice/money.hpp"
#include "sluice/usage.hpp"

namespace sluice::openai {

/// What the `usage` object of a reply tells.
struct usage_report {
  std::optional<token_usage> tokens;
  std::optional<usd> cost;   ///< `cost`, what the relay itself says that it charges
  std::string service_tier;  ///< `service_tier`; empty: the usage has none
};

/// Reads the dialects of `usage`: that of chat and completions, that of responses, both at once,
/// and what relays add for cached tokens. Tokens of the cache that cannot be a part of the prompt
/// stand beside it: they are added, so that the prompt is the whole one. What the total then still
/// has beyond prompt and completion is completion. A prompt or completion that is given, and is no
/// whole number of tokens, makes the whole report worthless: there are no tokens in it then. So
/// does any count above most_tokens_of_a_reply; so do zeros alone, and a total that nothing divides
/// into prompt and completion, except for embeddings, which have only a prompt. Throws
/// simdjson::simdjson_error on malformed JSON.
usage_report read_usage(simdjson::ondemand::object usage, endpoint target);

}  // namespace sluice::openai
