#pragma once

#include <cstddef>
#include <vector>

#include "sluice/clock.hpp"

namespace sluice {

/// Finds how many attempts an upstream takes at once where it refuses those beyond, from what it
/// refuses.
///
/// A full upstream and a limit of the rate both refuse, and what comes in a crowd is refused by
/// either. They differ while starts are spread evenly: then the rate's refusals come beside few
/// others as beside many, those of a full upstream from some number on, and hardly ever below it.
/// That number is kept to, and now and then one more is tried.
///
/// Pure: takes `now`. Not thread safe.
class adaptive_concurrency {
 public:
  /// `beside`: how many others were in flight when the attempt started; `spread`: starts were kept
  /// apart then.
  void served(std::size_t beside, bool spread, time_point now);
  /// True: so many beside it are the reason.
  bool refused(std::size_t beside, bool spread, time_point now);

  /// At most so many should be in flight; 0: any number.
  std::size_t most(time_point now) const noexcept;

 private:
  struct tally {
    double served = 0;
    double refused = 0;
  };
  tally& note(std::size_t beside);
  void look_for_a_wall(time_point now);

  std::vector<tally> seen_;  // by the number beside, of spread starts; old ones fade
  unsigned noted_ = 0;
  std::size_t most_ = 0;
  std::size_t step_ = 1;  // how many more are tried next
  unsigned let_in_ = 0;   // of those, since one was refused
  time_point try_at_{};
};

}  // namespace sluice
