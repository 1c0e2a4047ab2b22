#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "sluice/clock.hpp"

namespace sluice {

/// A snapshot of one relay of an engine.
struct relay_status {
  std::string name;  ///< of a pool member; empty without a pool
  std::size_t in_flight = 0;
  unsigned requests_per_minute = 0;  ///< the configured limit; 0: none
  /// The rate it really serves if that is below the limit; 0: it serves the full limit.
  double served_per_minute = 0;
  bool one_at_a_time = false;  ///< it fails, so only one trial request is sent at a time
  bool resting = false;        ///< it gets no requests, forever or until `back_at`
  std::optional<time_point> back_at;
  std::string rest_reason;  ///< the reason, in one clause; empty unless `resting`
  /// The end of its pause after a refused request; nothing: no pause.
  std::optional<time_point> paused_until;
};

}  // namespace sluice
