#include "views/bench_progress.hpp"

#include <fmt/format.h>

#include "views/progress.hpp"

namespace sluice::cli {

std::string bench_progress(const bench::benchmark::status& now) {
  if (now.waiting_for_others) return "waiting until earlier starts no longer count";
  std::string line = "looking for the limit";
  if (!now.load.empty()) {
    line = fmt::format("load {}{}, {}", now.number,
                       now.of ? fmt::format(" of {}", *now.of) : std::string(), now.load);
  }
  line += fmt::format(": {} done, {} in flight, {} started in the last 60 s", grouped(now.ended),
                      now.in_flight, grouped(now.started_last_minute));
  if (now.cost) line += fmt::format(", ${}", now.cost->to_string());
  return line;
}

}  // namespace sluice::cli
