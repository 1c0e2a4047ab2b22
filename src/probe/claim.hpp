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
  model_prices::bound highest;                ///< the highest prices that apply to a question
  std::optional<vocabulary> tokens;           ///< unset: its vocabulary is unknown
  bool reasons = false;                       ///< it bills reasoning tokens that are not shown
  std::optional<std::int64_t> context_limit;  ///< tokens of prompt and answer together
  std::optional<std::int64_t> output_limit;   ///< tokens of an answer
};

/// nullopt: the model has no price. `tier`: the service tier of the account; "auto": not known.
/// Pure.
std::optional<claim> claim_of(const std::string& model, const std::string& relay,
                              const relay_prices& prices, std::string_view tier);

/// Whether a name can stand for the requested model: "gpt-4-0613" for "gpt-4", and "gpt-4o" for
/// "openai/gpt-4o". Pure.
bool is_same_model(std::string_view reported, std::string_view requested);

}  // namespace sluice::probe
