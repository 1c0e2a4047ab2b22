#pragma once

#include <cstdint>
#include <vector>

namespace sluice {

/// The limits that may change during a run (engine::set_limits).
struct live_limits {
  /// The limit of each relay, in the order of config::relays(); 0: no limit.
  std::vector<unsigned> requests_per_minute;
  std::uint64_t tokens_per_minute = 0;  ///< 0: no limit
  unsigned concurrency = 0;             ///< 0: no limit
};

}  // namespace sluice
