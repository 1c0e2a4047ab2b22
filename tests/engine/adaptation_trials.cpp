// Measures how soon the engine finds the rate of a relay, over many seeds.
//
//   adaptation_trials [--seeds N] [--only PART-OF-NAME] [--skip N]
//
// With ODD=1 in the environment, shows the first failed trial of each kind, minute by minute.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "engine/adaptation_trial.hpp"

using namespace sluice::test;

namespace {

double share(std::vector<double> of, double part) {
  std::sort(of.begin(), of.end());
  return of[static_cast<std::size_t>(part * static_cast<double>(of.size() - 1))];
}

template <typename Trial>
void print_line(const Trial& trial, std::uint64_t seeds) {
  std::vector<double> minutes;
  std::vector<double> refused;
  std::vector<double> served;
  double passed = 0;
  std::string odd;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const auto one = play(trial, seed);
    minutes.push_back(one.minutes);
    refused.push_back(one.refused);
    served.push_back(one.served);
    if (passes(trial, one)) {
      ++passed;
    } else if (odd.empty()) {
      odd =
          fmt::format("    seed {}: {:.1f} minutes, {}\n", seed, one.minutes, one.minute_by_minute);
    }
  }
  fmt::print("| {} | {:.1f} % | {:.1f} | {:.1f} | {:.2f} % | {:.2f} % | {:.1f} % |\n", trial.name,
             100 * passed / static_cast<double>(seeds), share(minutes, 0.5), share(minutes, 0.95),
             100 * share(refused, 0.5), 100 * share(refused, 0.95), 100 * share(served, 0.5));
  if (std::getenv("ODD") != nullptr) fmt::print("{}", odd);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = 200;
  std::string only;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--seeds") == 0) seeds = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--only") == 0) only = argv[i + 1];
  }
  fmt::print(
      "{} seeds each\n\n| relay | reached in time | minutes, median | 95 of 100 | refused after, "
      "median | 95 of 100 | served after, of the true rate |\n|---|---|---|---|---|---|---|\n",
      seeds);
  const auto wanted = [&](const std::string& name) { return name.find(only) != std::string::npos; };
  for (const auto& trial : places_trials()) {
    if (wanted(trial.name)) print_line(trial, seeds);
  }
  for (const auto& trial : rate_trials()) {
    if (wanted(trial.name)) print_line(trial, seeds);
  }
}
