#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "probe/sample.hpp"
#include "sluice/money.hpp"
#include "tokenizer.hpp"

namespace sluice::probe {

/// What is known of the model that the relay claims to serve.
struct claim {
  std::string model;
  token_price price;
  std::optional<vocabulary> tokens;           ///< unset: its vocabulary is not known
  bool reasons = false;                       ///< it thinks before it answers, and bills that
  std::optional<std::int64_t> context_limit;  ///< tokens of prompt and answer together
  std::optional<std::int64_t> output_limit;   ///< tokens of an answer
};

claim claim_of(const std::string& model, const price_table& prices);

struct plan {
  std::vector<sample> samples;
  usd at_most;  ///< the sum of what they may cost
};

/// As many samples as the budget pays for, the strongest first: each check a few, and then more of
/// those that find a relay which serves another model now and then. No two texts are alike, and all
/// follow from the seed. Pure.
plan make_plan(const claim& sold, usd budget, std::uint64_t seed);

}  // namespace sluice::probe
