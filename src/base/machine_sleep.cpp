#include "base/machine_sleep.hpp"

#include <algorithm>
#include <ctime>

namespace sluice {
namespace {

std::chrono::nanoseconds time_of(clockid_t which) noexcept {
  timespec time{};
  ::clock_gettime(which, &time);
  return std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec};
}

}  // namespace

// The difference between the clock that counts sleep and the one that does not. The two clocks are
// read one after the other, and this process may be interrupted in between, so a reading may be too
// large. The result is at most the smallest of several readings.
std::chrono::nanoseconds machine_slept(std::chrono::nanoseconds known,
                                       std::chrono::steady_clock::time_point steady) noexcept {
  constexpr std::chrono::nanoseconds noticed = std::chrono::milliseconds{20};
  // Nearly always, one clock is enough: this difference may be too large, but not too small.
  if (time_of(CLOCK_BOOTTIME) - steady.time_since_epoch() - known < noticed) return known;
  auto least = std::chrono::nanoseconds::max();
  for (int i = 0; i < 3; ++i) {
    least = std::min(least, time_of(CLOCK_BOOTTIME) - time_of(CLOCK_MONOTONIC));
    if (least - known < noticed) return known;
  }
  return least;
}

}  // namespace sluice
