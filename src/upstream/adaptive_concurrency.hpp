#pragma once

#include <cstddef>
#include <vector>

#include "sluice/clock.hpp"

namespace sluice {

/// Finds the concurrency limit of an upstream from its refusals. Pure: takes `now`. Not thread
/// safe.
///
/// Both a concurrency limit and a rate limit refuse requests, and in a burst both look the same.
/// They differ while starts are evenly spread: a rate limit refuses at any number in flight, a
/// concurrency limit almost only from a certain number on. That number becomes the limit, and from
/// time to time one more attempt is tried.
class adaptive_concurrency {
 public:
  /// `beside`: number of other attempts in flight when this one started; `spread`: starts were
  /// evenly spread at that time.
  void served(std::size_t beside, bool spread, time_point now);
  /// True: the concurrency limit is the reason of the refusal.
  bool refused(std::size_t beside, bool spread, time_point now);

  /// The largest number of attempts that should be in flight; 0: no limit known.
  std::size_t most(time_point now) const noexcept;

 private:
  struct tally {
    double served = 0;
    double refused = 0;
  };
  tally& note(std::size_t beside);
  void look_for_a_wall(time_point now);

  std::vector<tally> seen_;  // index: `beside`; counts only spread starts; old counts fade
  unsigned noted_ = 0;
  std::size_t most_ = 0;
  std::size_t step_ = 1;  // how many more to try next
  unsigned let_in_ = 0;   // attempts above `most_` that were served since the last refusal
  time_point try_at_{};
};

}  // namespace sluice
