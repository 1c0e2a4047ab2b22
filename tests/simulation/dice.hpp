#pragma once

#include <chrono>
#include <cstdint>

#include "sluice/clock.hpp"

namespace sluice::simulation {

/// Random numbers that are the same for the same seed on every machine (SplitMix64).
class dice {
 public:
  explicit dice(std::uint64_t seed) : state_(seed) {}

  std::uint64_t roll() noexcept {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }
  /// Uniform in [0, end); 0 if `end` is 0.
  std::uint64_t below(std::uint64_t end) noexcept { return end == 0 ? 0 : roll() % end; }
  /// Uniform in [low, high].
  std::int64_t between(std::int64_t low, std::int64_t high) noexcept {
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
  }
  /// True with a probability of `share` percent.
  bool percent(unsigned share) noexcept { return below(100) < share; }
  duration span(std::chrono::milliseconds low, std::chrono::milliseconds high) noexcept {
    return std::chrono::microseconds(between(low.count() * 1000, high.count() * 1000));
  }
  /// An independent generator: its numbers do not depend on later calls of this one.
  dice fork() noexcept { return dice(roll()); }

 private:
  std::uint64_t state_;
};

}  // namespace sluice::simulation
