#pragma once

#include <simdjson.h>

#include <optional>
#include <string>

#include "sluice/usage.hpp"

namespace sluice::openai {

/// What the `usage` object of a reply tells.
struct usage_report {
  std::optional<token_usage> tokens;
  std::optional<std::string> cost_usd;  ///< `cost`, as written
};

/// Reads the dialects of `usage`: that of chat and completions, that of responses, both at once,
/// and what relays add for cached tokens. Counts that are no whole number of tokens are passed
/// over. Throws simdjson::simdjson_error on malformed JSON.
usage_report read_usage(simdjson::ondemand::object usage);

}  // namespace sluice::openai
