// Prints how often a probe finds each cheat, and how often it accuses an honest relay.
//
//   probe_trials [--seeds N] [--model NAME]... [--relay KIND] [--budget USD]
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "trial.hpp"

using namespace sluice;
using namespace sluice::probe;
using namespace sluice::probe::test;

namespace {

// The shares as text, for example "billing 100.0 %, cache 3.0 %".
std::string shares(const std::map<std::string, std::uint64_t>& times, std::uint64_t seeds) {
  std::string words;
  for (const auto& [name, count] : times) {
    words += fmt::format("{}{} {:.1f} %", words.empty() ? "" : ", ", name,
                         100.0 * static_cast<double>(count) / static_cast<double>(seeds));
  }
  return words;
}

// `relay`: the name of a kind; empty: all kinds.
void print_rates(const std::string& model, const std::string& relay, usd budget,
                 std::uint64_t seeds) {
  fmt::print(
      "{}, budget {} USD, {} seeds\n\n| relay | accused | requests | identity | bill | checks that "
      "failed |\n|---|---|---|---|---|---|\n",
      model, budget.to_string(), seeds);
  for (const auto& kind : relay_kinds()) {
    if (!relay.empty() && kind.name != relay) continue;
    std::uint64_t found = 0;
    std::uint64_t requests = 0;
    std::map<std::string, std::uint64_t> failed;
    std::map<std::string, std::uint64_t> identities;
    std::map<std::string, std::uint64_t> bills;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      const auto trial = try_probe(kind, model, budget, seed);
      requests += trial.requests;
      if (accused(trial.result)) ++found;
      ++identities[std::string(to_string(trial.result.identity))];
      ++bills[std::string(to_string(trial.result.bill))];
      for (const auto& one : trial.result.checks) {
        if (one.result == check_result::fail) ++failed[std::string(one.kind->name)];
      }
    }
    fmt::print("| {} | {:.1f} % | {:.0f} | {} | {} | {} |\n", kind.name,
               100.0 * static_cast<double>(found) / static_cast<double>(seeds),
               static_cast<double>(requests) / static_cast<double>(seeds),
               shares(identities, seeds), shares(bills, seeds), shares(failed, seeds));
  }
  fmt::print("\n");
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = 1000;
  usd budget = *usd::parse("0.05");
  std::vector<std::string> models;
  std::string relay;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--seeds") == 0) seeds = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--model") == 0) models.emplace_back(argv[i + 1]);
    if (std::strcmp(argv[i], "--relay") == 0) relay = argv[i + 1];
    if (std::strcmp(argv[i], "--budget") == 0) budget = usd::parse(argv[i + 1]).value_or(budget);
  }
  if (models.empty())
    models = {"gpt-4o-mini", "gpt-3.5-turbo", "gpt-4o",         "gpt-4-1106-preview",
              "gpt-4",       "gpt-5",         "deepseek-v4-pro"};
  for (const auto& model : models) print_rates(model, relay, budget, seeds);
}
