#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

namespace sluice {

/// Moments of a clock that never steps; the wall clock is for stamps alone.
using time_point = std::chrono::steady_clock::time_point;
using duration = std::chrono::steady_clock::duration;

/// The one door through which the engine knows and waits for time, so that tests can turn it by
/// hand. Everything but now() and unix_now() belongs to the thread that runs the engine.
class clock {
 public:
  using timer = std::uint64_t;  ///< names a call to come; never 0

  virtual ~clock() = default;
  virtual time_point now() const noexcept = 0;
  /// Seconds since the epoch, for `started_at` and for dates that a relay sends.
  virtual double unix_now() const noexcept = 0;
  /// Calls `callback` once, from the event loop, at `when` or soon after.
  virtual timer call_at(time_point when, std::function<void()> callback) = 0;
  /// Takes a call back; nothing happens when it has been made already.
  virtual void cancel(timer) noexcept = 0;
};

}  // namespace sluice
