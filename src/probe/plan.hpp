#pragma once

#include <cstdint>
#include <vector>

#include "probe/claim.hpp"
#include "probe/sample.hpp"
#include "sluice/money.hpp"

namespace sluice::probe {

/// The requests that a probe will send.
struct plan {
  std::vector<sample> samples;
  usd at_most;  ///< the highest possible cost of all samples
};

/// Plans as many samples as the budget allows, the most useful first: a few for each check, then
/// more of those that find a relay which sometimes serves another model. All texts are different
/// and depend only on the seed. Pure.
plan make_plan(const claim& sold, usd budget, std::uint64_t seed);

}  // namespace sluice::probe
