#pragma once

#include <cstdint>
#include <mutex>

#include "sluice/clock.hpp"
#include "upstream/rate_limiter.hpp"

namespace sluice {

/// Counts the starts of several gates together, to know the largest number in any 60 s. Thread
/// safe.
class joint_starts {
 public:
  void count(time_point now) {
    const std::lock_guard lock(mutex_);
    meter_.count(now);
  }
  std::uint64_t most() const {
    const std::lock_guard lock(mutex_);
    return meter_.most();
  }

 private:
  mutable std::mutex mutex_;
  start_meter meter_;
};

}  // namespace sluice
