#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "probe/report.hpp"
#include "simulator/options.hpp"
#include "sluice/money.hpp"

namespace sluice::probe::test {

/// A relay to probe, with its true properties.
struct relay_kind {
  std::string name;
  bool honest = true;
  simulator::options options = {};
  /// The start of the probe, in seconds since the epoch: a Wednesday, outside of all peak hours.
  std::int64_t unix_time = 1'795'608'000;
  /// The share of connections that are lost in the middle of a reply, which the relay bills.
  double cut = 0;
};

/// Several kinds of honest relays, and one relay for each cheat.
std::vector<relay_kind> relay_kinds();

struct trial_result {
  report result;
  usd cost;  ///< the price of the usage that the relay reported
  std::size_t requests = 0;
};

/// Probes a relay of this kind once. All random values depend on the seed. Plan, session and checks
/// are the same as in the command. The relay is the simulator without sockets.
trial_result try_probe(const relay_kind& kind, const std::string& model, usd budget,
                       std::uint64_t seed);

inline bool accused(const report& report) {
  return report.told == verdict::suspicious || report.told == verdict::inconsistent;
}

}  // namespace sluice::probe::test
