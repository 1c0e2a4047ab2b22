#pragma once

#include <chrono>
#include <cstdint>

#include "sluice/clock.hpp"

namespace sluice::cluster {

/// The clocks of two machines may differ in their speed by one part in this number. Good quartz
/// clocks differ by less than one part in 10,000.
inline constexpr std::int64_t clock_drift = 1'000;

/// A duration in microseconds, the unit of all times in the database.
inline std::int64_t micros(duration time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

}  // namespace sluice::cluster
