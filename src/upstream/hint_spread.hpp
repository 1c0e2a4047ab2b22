#pragma once

#include <algorithm>
#include <chrono>
#include <random>

#include "sluice/clock.hpp"

namespace sluice::upstream {

/// A random time to add to the wait that a server asked for: uniform in [0, wait / 10] and at most
/// 3 s. So its clients do not all come back at the same moment.
inline duration hint_spread(duration wait, std::mt19937_64& random) {
  const duration most = std::clamp<duration>(wait / 10, duration{}, std::chrono::seconds{3});
  return duration{std::uniform_int_distribution<duration::rep>(0, most.count())(random)};
}

}  // namespace sluice::upstream
