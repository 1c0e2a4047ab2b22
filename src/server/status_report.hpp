#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "server/access_keys.hpp"
#include "server/batch_runner.hpp"
#include "server/batch_sums.hpp"
#include "server/server_figures.hpp"
#include "sluice/clock.hpp"
#include "sluice/engine.hpp"

namespace sluice::server {

/// The data for a report of the server's status.
struct status_facts {
  time_point now{};
  double unix_now = 0;
  const client_key& client;
  bool has_keys = false;  ///< clients need a key
  run_status runs;        ///< the runs of all keys together
  std::vector<relay_status> relays;
  unsigned requests_per_minute = 0;  ///< 0: no limit
  std::uint64_t tokens_per_minute = 0;
  batch_runner::own_runs own;
  batch_sums sums;  ///< sums of the client's batches
  const server_figures& figures;
  usd spent_by_calls;  ///< the part of the client's budget that calls have spent or reserved
};

/// Returns the answer to GET /sluice/status. Pure.
nlohmann::ordered_json status_report(const status_facts& facts);

/// Returns why the next request waits, as a sentence; empty if it does not wait.
std::string wait_sentence(const run_status& runs, double seconds);

}  // namespace sluice::server
