// Measures how often the search for a relay's limit finds each kind, and at what cost.
//
//   limit_trials [--seeds N] [--only PART-OF-NAME]
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "limit_trial.hpp"

using namespace sluice::bench;
using namespace sluice::bench::test;

namespace {

void print_rates(const relay_kind& relay, std::uint64_t seeds) {
  double right = 0, wrong = 0, near = 0, within = 0, requests = 0, refused = 0, minutes = 0;
  unsigned most_refused = 0;
  std::string odd;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const auto one = try_find(relay, seed);
    const auto verdict = judge(relay, one.found);
    right += verdict == judgement::right;
    wrong += verdict == judgement::wrong;
    near += close(relay, one.found);
    within += bounded(relay, one.found);
    requests += one.found.requests;
    refused += one.found.refused;
    minutes += one.minutes;
    most_refused = std::max(most_refused, one.found.refused);
    if ((odd.empty() || (verdict == judgement::wrong && wrong < 3)) &&
        (verdict != judgement::right || !close(relay, one.found)))
      odd += fmt::format("seed {}: {} {} [{}, {}] {}\n    ", seed, to_string(one.found.kind),
                         one.found.rpm.value_or(0), one.found.at_least.value_or(0),
                         one.found.at_most.value_or(0), one.found.evidence);
  }
  const auto n = static_cast<double>(seeds);
  fmt::print("| {} | {:.1f} % | {:.1f} % | {:.1f} % | {:.1f} % | {:.0f} | {:.1f} ({}) | {:.1f} |\n",
             relay.name, 100 * right / n, 100 * wrong / n, 100 * near / n, 100 * within / n,
             requests / n, refused / n, most_refused, minutes / n);
  if (std::getenv("ODD") != nullptr && !odd.empty()) fmt::print("    {}\n", odd);
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = 1000;
  std::string only;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--seeds") == 0) seeds = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--only") == 0) only = argv[i + 1];
  }
  fmt::print(
      "{} seeds each\n\n| relay | kind right | wrong | rpm within 2 % or 1 | truth within bounds | "
      "requests | refused (most) | minutes |\n|---|---|---|---|---|---|---|---|\n",
      seeds);
  for (const auto& relay : relay_kinds()) {
    if (relay.name.find(only) != std::string::npos) print_rates(relay, seeds);
  }
}
