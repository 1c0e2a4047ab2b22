#pragma once

#include <algorithm>
#include <chrono>
#include <random>

#include "sluice/clock.hpp"

namespace sluice::upstream {

/// The longest time that hint_spread() adds to a wait.
inline duration most_hint_spread(duration wait) {
  return std::clamp<duration>(wait / 10, duration{}, std::chrono::seconds{3});
}

/// A random time to add to the wait that a server asked for: uniform in [0, wait / 10] and at most
/// 3 s. So its clients do not all come back at the same moment.
inline duration hint_spread(duration wait, std::mt19937_64& random) {
  return duration{
      std::uniform_int_distribution<duration::rep>(0, most_hint_spread(wait).count())(random)};
}

}  // namespace sluice::upstream
