#include <benchmark/benchmark.h>

#include "rate_limiter.hpp"

namespace {

using namespace std::chrono_literals;

// One attempt's four moments at a cap of range(0) a minute, in a window that is full.
void one_attempt(benchmark::State& state) {
  const auto cap = static_cast<unsigned>(state.range(0));
  sluice::rate_limiter limiter({cap, 1s, sluice::pacing::burst});
  sluice::time_point now{};
  for (auto _ : state) {
    auto slot = limiter.try_start(now);
    while (!slot) {
      now = limiter.next_start(now);
      slot = limiter.try_start(now);
    }
    limiter.sent(*slot, now + 1ms);
    limiter.answered(*slot, now + 300ms);
    now += 10us;
  }
}
BENCHMARK(one_attempt)->Arg(200)->Arg(10'000);

}  // namespace
