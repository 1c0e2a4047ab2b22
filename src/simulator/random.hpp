#pragma once

#include <cstdint>

namespace sluice::simulator {

/// A small random generator (splitmix64). Not thread safe. Unlike the distributions of <random>,
/// the same seed gives the same numbers on every machine.
class random {
 public:
  explicit random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }

  /// A number in [0, bound); 0 for a bound of 0. The bias is below bound / 2^32.
  std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>(((next() >> 32U) * bound) >> 32U);
  }

  /// A number in [0, 1).
  double unit() { return static_cast<double>(next() >> 11U) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

/// Combines two seeds into one whose random numbers are independent of both.
inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  return random(a ^ (random(b).next())).next();
}

}  // namespace sluice::simulator
