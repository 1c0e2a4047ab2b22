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
  double served_per_minute = 0;      ///< what it really serves, if that is less; 0: it is not
  bool one_at_a_time = false;        ///< it fails, so it gets one trial at a time
  bool resting = false;              ///< it gets no requests, forever or until `back_at`
  std::optional<time_point> back_at;
  std::string rest_reason;                 ///< in one clause; empty unless `resting`
  std::optional<time_point> paused_until;  ///< it has refused a request; nothing: no pause
};

}  // namespace sluice
