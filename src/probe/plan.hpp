#pragma once

#include <cstdint>
#include <vector>

#include "probe/claim.hpp"
#include "probe/sample.hpp"
#include "sluice/money.hpp"

namespace sluice::probe {

struct plan {
  std::vector<sample> samples;
  usd at_most;  ///< the sum of what they may cost
};

/// As many samples as the budget pays for, the strongest first: each check a few, and then more of
/// those that find a relay which serves another model now and then. No two texts are alike, and all
/// follow from the seed. Pure.
plan make_plan(const claim& sold, usd budget, std::uint64_t seed);

}  // namespace sluice::probe
