#pragma once

#include <chrono>
#include <cstdint>

#include "simulator/random.hpp"

namespace sluice::simulator {

/// The delays between the parts of a reply. Each differs from its mean by up to half of it. Not
/// thread safe.
class pacing {
 public:
  pacing(std::chrono::nanoseconds ttft, std::chrono::nanoseconds itl, std::uint64_t seed)
      : ttft_(ttft), itl_(itl), random_(seed) {}

  std::chrono::nanoseconds first() { return vary(ttft_); }
  std::chrono::nanoseconds next() { return vary(itl_); }
  std::chrono::nanoseconds tokens(std::uint64_t count) {
    return itl_ * static_cast<std::int64_t>(count);
  }
  random& chance() { return random_; }

 private:
  std::chrono::nanoseconds vary(std::chrono::nanoseconds mean) {
    return mean.count() == 0
               ? mean
               : std::chrono::round<std::chrono::nanoseconds>(
                     std::chrono::duration<double, std::nano>(mean) * (0.5 + random_.unit()));
  }

  std::chrono::nanoseconds ttft_;
  std::chrono::nanoseconds itl_;
  random random_;
};

}  // namespace sluice::simulator
