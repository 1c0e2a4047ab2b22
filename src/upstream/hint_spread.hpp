#pragma once

#include <algorithm>
#include <chrono>
#include <random>

#include "sluice/clock.hpp"

namespace sluice::upstream {

/// A little time to add to a wait that a server asked for, so that those who were told the same do
/// not come back at one moment: even in [0, wait / 10], 3 s at most.
inline duration hint_spread(duration wait, std::mt19937_64& random) {
  const duration most = std::clamp<duration>(wait / 10, duration{}, std::chrono::seconds{3});
  return duration{std::uniform_int_distribution<duration::rep>(0, most.count())(random)};
}

}  // namespace sluice::upstream
