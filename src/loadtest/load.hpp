#pragma once

#include <cstdint>
#include <string>

#include "sluice/clock.hpp"

namespace sluice::bench {

/// When an open loop asks for its starts: at even distances, or as a Poisson process has them, like
/// the calls of many independent callers.
enum class arrival_kind : std::uint8_t { even, poisson };

constexpr const char* to_string(arrival_kind kind) noexcept {
  return kind == arrival_kind::even ? "even" : "poisson";
}

/// What is put on a relay, and for how long. A closed loop keeps so many requests in flight: the
/// next starts when one has ended. An open loop starts them by a schedule, whatever becomes of
/// those before.
struct load {
  unsigned concurrency = 0;  ///< of a closed loop; 0: it is an open one
  double rate = 0;           ///< of an open loop: starts a minute
  arrival_kind arrivals = arrival_kind::even;
  std::uint64_t requests = 0;  ///< to measure; 0: as many as start within `time`
  duration time{};             ///< nothing starts after it; 0: no end but `requests`
  std::uint64_t warmup = 0;    ///< requests of the same load before it, that are not measured

  bool open() const noexcept { return concurrency == 0; }
};

/// "8 in flight", "120 a minute"
std::string name_of(const load& named);

}  // namespace sluice::bench
