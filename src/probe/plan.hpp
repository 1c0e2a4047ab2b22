#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "probe/claim.hpp"
#include "probe/sample.hpp"
#include "sluice/money.hpp"

namespace sluice::probe {

/// The requests that a probe will send.
struct plan {
  std::vector<sample> samples;
  /// The samples from this index on are those of the cache check. They are sent last, one after
  /// another, so that the balance shows what they cost.
  std::size_t cache_begin = 0;
  std::string why_no_cache;  ///< why there are no samples for the cache check
  usd at_most;               ///< the highest possible cost of all samples
};

/// Plans as many samples as the budget allows, the most useful first: a few for each check, then
/// more of those that find a relay which sometimes serves another model. All texts are different,
/// except the beginning of the prompts of the cache check. The texts depend only on the seed. Pure.
plan make_plan(const claim& sold, usd budget, std::uint64_t seed);

}  // namespace sluice::probe
