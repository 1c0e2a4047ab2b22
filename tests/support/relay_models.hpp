#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <set>

#include "sluice/clock.hpp"

namespace sluice::test {

/// Whether a relay accepts a request that arrives now. Each function below is one way to count.
using admission = std::function<bool(time_point)>;

/// At most `most` in any 60 s.
inline admission sliding_window(std::size_t most) {
  return [most, seen = std::deque<time_point>{}](time_point now) mutable {
    while (!seen.empty() && now - seen.front() >= std::chrono::seconds{60}) seen.pop_front();
    if (seen.size() >= most) return false;
    seen.push_back(now);
    return true;
  };
}

/// At most `most` in each minute of the clock; minutes are shifted by `offset`.
inline admission fixed_window(std::size_t most, duration offset = {}) {
  return [=, minute = time_point::rep{-1}, count = std::size_t{0}](time_point now) mutable {
    const auto at = (now + offset).time_since_epoch() / std::chrono::seconds{60};
    if (at != minute) count = 0;
    minute = at;
    return ++count <= most;
  };
}

/// `per_minute` tokens are added, and up to `burst` are stored.
inline admission token_bucket(double per_minute, double burst) {
  return [=, tokens = burst, last = time_point{}](time_point now) mutable {
    const double passed = std::chrono::duration<double>(now - last).count();
    tokens = std::min(burst, tokens + passed * per_minute / 60);
    last = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}

/// Refuses a request within `gap` after the last accepted one, also at exactly `gap`; like nginx's
/// limit_req without a burst.
inline admission leaky_bucket(duration gap) {
  return [=, last = time_point{}](time_point now) mutable {
    if (now - last <= gap) return false;
    last = now;
    return true;
  };
}

/// The time until a request would be accepted, in whole seconds, as in Retry-After.
inline int seconds_to_wait(const admission& admits, time_point now) {
  int wait = 0;
  for (admission copy = admits; !copy(now + std::chrono::seconds{wait}); copy = admits) ++wait;
  return wait;
}

/// Several upstreams without a queue: each accepted request occupies a place for the time `takes`.
/// If all places are occupied, a request is refused.
class saturated_upstream {
 public:
  explicit saturated_upstream(std::size_t places) : places_(places) {}
  bool admits(time_point now, duration takes) {
    while (!ends_.empty() && *ends_.begin() <= now) ends_.erase(ends_.begin());
    if (ends_.size() >= places_) return false;
    ends_.insert(now + takes);
    return true;
  }

 private:
  std::size_t places_;
  std::multiset<time_point> ends_;
};

/// Several upstreams with a common queue; answered_after() is the answer time of a request that
/// arrives now.
class queueing_upstream {
 public:
  queueing_upstream(std::size_t places, duration each) : each_(each) {
    for (std::size_t i = 0; i < places; ++i) free_.insert(time_point{});
  }
  duration answered_after(time_point now) {
    const time_point begin = std::max(now, *free_.begin());
    free_.erase(free_.begin());
    free_.insert(begin + each_);
    return begin + each_ - now;
  }
  void take(duration each) { each_ = each; }

 private:
  std::multiset<time_point> free_;
  duration each_;
};

}  // namespace sluice::test
