#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

#include "upstream/rate_limiter.hpp"

namespace {

using namespace std::chrono_literals;

// Makes all limiter calls of one attempt, in a full window with a limit of `cap` per minute (0: no
// limit).
void attempts(benchmark::State& state, unsigned cap, sluice::limit_store* store) {
  sluice::rate_limiter limiter({cap, 1s, sluice::pacing::burst, 0, store});
  sluice::time_point now{};
  for (auto _ : state) {
    auto slot = limiter.try_start(now);
    while (!slot) {
      now = limiter.next_start(now);
      slot = limiter.try_start(now);
    }
    limiter.sent(*slot, now + 1ms);
    limiter.answered(*slot, now + 300ms);
    if (!limiter.was_sent(*slot)) state.SkipWithError("the start was not noted");
    limiter.done(*slot);
    now += 10us;
  }
}

void one_attempt(benchmark::State& state) {
  attempts(state, static_cast<unsigned>(state.range(0)), nullptr);
}
BENCHMARK(one_attempt)->Arg(0)->Arg(200)->Arg(10'000);

// The same benchmark with a window in a file that other processes may share.
void one_attempt_on_file(benchmark::State& state) {
  std::string folder = (std::filesystem::temp_directory_path() / "sluice-bench-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return state.SkipWithError("no temporary folder");
  sluice::limit_store store(folder + "/window", {.boot = {1}, .machine = {1}}, 1s,
                            {[&](const std::string& why) { state.SkipWithError(why.c_str()); }});
  attempts(state, static_cast<unsigned>(state.range(0)), &store);
  std::filesystem::remove_all(folder);
}
BENCHMARK(one_attempt_on_file)->Arg(0)->Arg(200)->Arg(10'000);

}  // namespace
