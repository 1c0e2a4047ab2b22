#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "probe/report.hpp"
#include "simulator/options.hpp"
#include "sluice/money.hpp"

namespace sluice::probe::test {

/// A relay to be probed, as it is in truth.
struct relay_kind {
  std::string name;
  bool honest = true;
  simulator::options options = {};
};

/// Honest relays of several sorts, and one of each way to cheat.
std::vector<relay_kind> relay_kinds();

struct trial_result {
  report told;
  usd cost;  ///< by what the relay reported
  std::size_t requests = 0;
};

/// One probe of such a relay, for the model and within the budget, all by the seed: plan, session
/// and checks are the command's, the relay is the simulator's without its sockets.
trial_result try_probe(const relay_kind& kind, const std::string& model, usd budget,
                       std::uint64_t seed);

inline bool accused(const report& told) {
  return told.told == verdict::suspicious || told.told == verdict::inconsistent;
}

}  // namespace sluice::probe::test
