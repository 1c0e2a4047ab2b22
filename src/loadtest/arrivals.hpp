#pragma once

#include <cstdint>
#include <random>

#include "loadtest/load.hpp"
#include "sluice/clock.hpp"

namespace sluice::bench {

/// The schedule of an open loop: when each start is meant to be, from the load's begin on. Kept to
/// whether the relay follows or not: latency that counts from here leaves nothing out (Gil Tene,
/// "How NOT to Measure Latency", 2013). Pure.
class arrivals {
 public:
  arrivals(double per_minute, arrival_kind kind, std::uint64_t seed);
  /// The first is at 0 where they are even.
  duration next();

 private:
  double mean_s_;
  arrival_kind kind_;
  std::mt19937_64 random_;
  std::uint64_t given_ = 0;
  double last_s_ = 0;
};

}  // namespace sluice::bench
