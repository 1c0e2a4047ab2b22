#pragma once

#include <simdjson.h>

#include <optional>
#include <string>

#include "sluice/job.hpp"
#include "sluice/money.hpp"
#include "sluice/usage.hpp"

namespace sluice::openai {

/// The content of the `usage` object of a reply.
struct usage_report {
  std::optional<token_usage> tokens;
  std::optional<usd> cost;    ///< `cost`: the price that the relay itself reports
  std::string service_tier;   ///< `service_tier`; empty: none
  std::string speed;          ///< `speed`, if it is a string; empty: none
  std::string inference_geo;  ///< `inference_geo`; empty: none
};

/// Reads all dialects of `usage`: that of chat and completions, that of responses, both at once,
/// and the relays' fields for cached tokens. If the cached tokens cannot be part of the prompt
/// tokens, they are added, so that the prompt count is complete. If the total is still larger than
/// prompt and completion, the rest counts as completion.
///
/// There are no tokens in the result if a prompt or completion count is not a whole number, if any
/// count is above most_tokens_of_a_reply, if all are zero, or if there is only a total (except for
/// embeddings, which have only a prompt). Throws simdjson::simdjson_error on malformed JSON.
usage_report read_usage(simdjson::ondemand::object usage, endpoint target);

}  // namespace sluice::openai
