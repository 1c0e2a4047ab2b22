#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "server/process_figures.hpp"
#include "server/request_counts.hpp"
#include "server/server_figures.hpp"
#include "sluice/clock.hpp"
#include "sluice/engine.hpp"
#include "sluice/relay_status.hpp"
#include "store/batch_record.hpp"

namespace sluice::server {

/// The data for the answer to GET /metrics.
struct metrics_facts {
  const request_counts& requests;
  server_figures::sums figures;
  time_point now{};
  run_status runs;
  unsigned requests_per_minute = 0;  ///< 0: no limit
  std::vector<relay_status> relays;
  std::map<store::batch_status, std::uint64_t> open_batches;
  std::size_t batches_at_work = 0;  ///< the part of `open_batches` that this process is running
  std::uint64_t connections = 0;
  process_figures process;
};

/// Returns the answer to GET /metrics in Prometheus' text format. Pure.
std::string server_metrics(const metrics_facts& facts);

}  // namespace sluice::server
