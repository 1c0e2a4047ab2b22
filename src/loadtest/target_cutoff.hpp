#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "sluice/clock.hpp"
#include "sluice/error.hpp"

namespace sluice::bench {

/// When a benchmark sends nothing more to a target: it does not retry, and goes on past failures,
/// but not where every further request would end alike. A run pauses and tries again, by
/// upstream::relay_health. Pure; takes `now`; one object for each target.
class target_cutoff {
 public:
  struct stop {
    /// The address, the certificate or the proxy is not what it should be.
    bool misconfigured = false;
    std::string sentence;  ///< what happened, for a person
  };

  /// So many requests that meet the same end before any success are enough.
  static constexpr unsigned enough = 3;
  /// So many in a row without a connection, where there was one before.
  static constexpr unsigned gone = 20;
  /// How long nothing should start after a refusal of the key, so that the next one confirms it.
  static constexpr duration blink = std::chrono::seconds{1};

  void succeeded();
  /// Nothing: go on. `started`: when the attempt got its turn. A refusal of the key ends the target
  /// when another one confirms it whose attempt started after the first was answered.
  std::optional<stop> failed(const failure& why, time_point started, time_point now,
                             duration max_wait);

 private:
  bool served_ = false;
  unsigned unreachable_ = 0;                  // in a row
  std::optional<time_point> key_refused_at_;  // and not confirmed yet
  unsigned misplaced_ = 0;
  unsigned refused_ = 0;
};

}  // namespace sluice::bench
