#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "base/language.hpp"
#include "sluice/engine.hpp"
#include "sluice/job_set.hpp"
#include "views/fitted_line.hpp"
#include "views/wait_text.hpp"

namespace sluice::cli {

/// The facts of the progress line, for all jobs of a run.
struct progress_facts {
  std::uint64_t total = 0;  ///< requests of all jobs
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::uint64_t done_now = 0;  ///< finished in this run
  std::uint64_t tokens_now = 0;
  usd cost;
  std::optional<job_set::budget_shortage> shortage;  ///< if requests wait for the budget
  double elapsed_s = 0;                              ///< of this run
  unsigned requests_per_minute = 0;
  run_status run;
  double until_next_start_s = 0;  ///< valid if run.next_start is set
  double unix_now = 0;
  /// If the run is ending and waits for requests in flight: the maximum remaining wait in seconds.
  std::optional<double> stopping_s;
};

/// The facts that an engine knows: the progress of its runs, its limit, and the time.
progress_facts facts_of(const run_status& status, unsigned requests_per_minute, const clock& time);
progress_facts facts_of(engine& runner);

/// One line for a person: done/total, failed, requests in the last minute against the limit, tokens
/// per second, cost, time left, and what the run waits for. In a narrow form, the reason of a wait
/// is the last part to be left out.
std::string progress_line(const progress_facts& facts, const line_form& form = {});

/// The same facts for a program (docs/progress.schema.json).
nlohmann::ordered_json progress_document(const progress_facts& facts);

/// What holds the run back; empty: requests start, or only wait for replies.
wait_text reason_to_wait(const progress_facts& facts, language spoken = language::english);

/// Finds waits that a quiet command should report: those of more than a minute. Each is reported
/// once. While a relay has problems, its trials count as parts of one wait. Pure.
class long_wait {
 public:
  static constexpr double worth_telling_s = 60;

  /// The sentence to show now; empty: none. `now_s` counts from any fixed time.
  std::string take(const progress_facts& facts, double now_s, language spoken = language::english);

 private:
  std::optional<double> since_s_;  // nothing has started since
  bool told_ = false;
  std::uint64_t done_ = 0;
  std::uint64_t started_ = 0;
};

/// Estimated seconds to the end; negative: not known yet.
double estimate_seconds_left(const progress_facts& facts);

/// "37 s", "2m 05s", "1h 03m".
std::string short_time(double seconds, language spoken = language::english);
/// Groups of three digits: "1,234,567".
std::string grouped(std::uint64_t number);

}  // namespace sluice::cli
