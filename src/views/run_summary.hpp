#pragma once

#include <optional>
#include <string>

#include "sluice/engine.hpp"
#include "sluice/job_set.hpp"
#include "views/shown_command.hpp"

namespace sluice::cli {

/// The text at the end of a run: for each job its counts, most frequent failures, tokens, cost and
/// files, and the command to type next.
std::string run_summary(const job_set& jobs, const run_outcome& outcome, double seconds,
                        const shown_command& command);

/// The end of a run in one line, fit for the mail of a nightly job: why it stopped (`sentence`, may
/// be empty), the counts, the most frequent failures, the cost, and where to look.
std::string one_line_summary(const job_set& jobs, const std::string& sentence);

/// Why the run stopped early, and what to do about it; empty when it did not. `shortage`: of a run
/// whose budget is used up.
std::string stop_sentence(const run_outcome& outcome,
                          const std::optional<job_set::budget_shortage>& shortage = {});

}  // namespace sluice::cli
