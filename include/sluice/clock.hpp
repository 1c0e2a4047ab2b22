#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

namespace sluice {

/// Moments of a monotonic clock. The wall clock is only for timestamps.
using time_point = std::chrono::steady_clock::time_point;
using duration = std::chrono::steady_clock::duration;

/// The only source of time for the engine, so that tests can control it. now() and unix_now() may
/// be called from any thread, everything else only from the event loop's thread.
class clock {
 public:
  using timer = std::uint64_t;  ///< id of a pending call; never 0

  virtual ~clock() = default;
  virtual time_point now() const noexcept = 0;
  /// Seconds since the epoch, for `started_at` and for dates that a relay sends.
  virtual double unix_now() const noexcept = 0;
  /// Calls `callback` once on the event loop, at `when` or soon after.
  virtual timer call_at(time_point when, std::function<void()> callback) = 0;
  /// Cancels a pending call. Does nothing if the call was already made.
  virtual void cancel(timer) noexcept = 0;
};

}  // namespace sluice
