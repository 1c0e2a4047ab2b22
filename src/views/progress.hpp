#pragma once

#include <optional>
#include <string>

#include "sluice/engine.hpp"
#include "sluice/job_set.hpp"

namespace sluice::cli {

/// The facts of the progress line, over all jobs of a run.
struct progress_facts {
  std::uint64_t total = 0;  ///< requests of all jobs
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::uint64_t done_now = 0;  ///< finished in this run
  std::uint64_t tokens_now = 0;
  usd cost;
  std::optional<job_set::budget_shortage> shortage;  ///< for requests that wait for the budget
  double elapsed_s = 0;                              ///< of this run
  unsigned requests_per_minute = 0;
  run_status run;
  double until_next_start_s = 0;  ///< valid where run.next_start is set
};

/// One line for a person: done/total, failed, requests in the last minute against the limit, tokens
/// per second, cost, time left, and what the run waits for.
std::string progress_line(const progress_facts& facts);

/// Estimated seconds to the end; negative: not known yet.
double estimate_seconds_left(const progress_facts& facts);

/// "37 s", "2m 05s", "1h 03m".
std::string short_time(double seconds);
/// Groups of three digits: "1,234,567".
std::string grouped(std::uint64_t number);

}  // namespace sluice::cli
