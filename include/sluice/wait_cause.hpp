#pragma once

#include <cstdint>

namespace sluice {

/// What keeps the next request from starting.
enum class wait_cause : std::uint8_t {
  none,
  limit,       ///< the limit of requests or tokens a minute
  unknown,     ///< the limit counts as used up, since the record of earlier starts was lost
  pacing,      ///< starts are spread evenly, or as the relay serves them
  pause,       ///< the relay has refused a request, and the key is paused in all processes
  unreachable  ///< the relay could not be reached, and this process waits before it tries again
};

}  // namespace sluice
