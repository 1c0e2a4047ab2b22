#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sluice/prices.hpp"
#include "tokens/tokenizer.hpp"

namespace sluice::probe {

/// The model that a relay claims to serve, and its known properties.
struct claim {
  std::string model;
  model_prices price;
  model_prices::bound highest;                ///< the highest rates that a question can meet
  std::optional<vocabulary> tokens;           ///< unset: its vocabulary is unknown
  bool reasons = false;                       ///< it bills hidden reasoning tokens
  std::optional<std::int64_t> context_limit;  ///< tokens of prompt and answer together
  std::optional<std::int64_t> output_limit;   ///< tokens of an answer
};

/// Nothing if there is no price for the model. `tier`: the service tier of the account; "auto": not
/// known. Pure.
std::optional<claim> claim_of(const std::string& model, const std::string& relay,
                              const relay_prices& prices, std::string_view tier);

}  // namespace sluice::probe
