#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "sluice/clock.hpp"
#include "sluice/error.hpp"

namespace sluice::bench {

/// Decides when a benchmark sends nothing more to a target. A benchmark does not retry and
/// continues after failures, but it stops if every further request would fail in the same way. (A
/// run pauses and tries again; see upstream::relay_health.) Pure; takes `now`; one object for each
/// target.
class target_cutoff {
 public:
  struct stop {
    /// The address, the certificate or the proxy is wrong.
    bool misconfigured = false;
    std::string sentence;  ///< what happened, in words for the user
  };

  /// After this number of requests with the same failure before any success, the target is stopped.
  static constexpr unsigned enough = 3;
  /// The same for requests in a row without a connection, if there was one before.
  static constexpr unsigned gone = 20;
  /// For this time, nothing should start after a refusal of the key, so that the next refusal
  /// confirms it.
  static constexpr duration blink = std::chrono::seconds{1};

  void succeeded();
  /// nullopt: continue. `started`: when the attempt started. A refusal of the key stops the target
  /// when a second refusal confirms it, of an attempt that started after the first refusal was
  /// answered.
  std::optional<stop> failed(const failure& why, time_point started, time_point now,
                             duration max_wait);

 private:
  bool served_ = false;
  unsigned unreachable_ = 0;                  // number in a row
  std::optional<time_point> key_refused_at_;  // first refusal, not confirmed yet
  unsigned misplaced_ = 0;
  unsigned refused_ = 0;
};

}  // namespace sluice::bench
