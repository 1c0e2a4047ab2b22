#pragma once

#include <cstdint>
#include <string>

#include "sluice/clock.hpp"

namespace sluice::bench {

/// The arrival times of an open loop: evenly spaced, or as a Poisson process, like the calls of
/// many independent clients.
enum class arrival_kind : std::uint8_t { even, poisson };

constexpr const char* to_string(arrival_kind kind) noexcept {
  return kind == arrival_kind::even ? "even" : "poisson";
}

/// The load on a relay, and its duration. A closed loop keeps a fixed number of requests in flight:
/// when one ends, the next one starts. An open loop starts requests by a schedule, without waiting
/// for earlier ones.
struct load {
  unsigned concurrency = 0;  ///< for a closed loop; 0: it is an open loop
  double rate = 0;           ///< for an open loop: starts per minute
  arrival_kind arrivals = arrival_kind::even;
  std::uint64_t requests = 0;  ///< number of requests to measure; 0: as many as start within `time`
  duration time{};             ///< no request starts after it; 0: only `requests` ends the load
  /// Number of requests before the measurement, with the same load; not measured.
  std::uint64_t warmup = 0;

  bool open() const noexcept { return concurrency == 0; }
};

/// "8 in flight", "120 a minute"
std::string name_of(const load& named);

}  // namespace sluice::bench
