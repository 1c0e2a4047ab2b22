#pragma once

#include <cstdint>
#include <random>

#include "loadtest/load.hpp"
#include "sluice/clock.hpp"

namespace sluice::bench {

/// The schedule of an open loop: the intended time of each start, counted from the beginning of the
/// load. The schedule does not depend on whether the relay keeps up. So a latency that is measured
/// from the intended start leaves no waiting time out (Gil Tene, "How NOT to Measure Latency",
/// 2013). Pure.
class arrivals {
 public:
  arrivals(double per_minute, arrival_kind kind, std::uint64_t seed);
  /// The time of the next start. With even arrivals, the first is 0.
  duration next();

 private:
  double mean_s_;
  arrival_kind kind_;
  std::mt19937_64 random_;
  std::uint64_t given_ = 0;
  double last_s_ = 0;
};

}  // namespace sluice::bench
