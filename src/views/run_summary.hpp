#pragma once

#include <optional>
#include <string>

#include "base/wording.hpp"
#include "sluice/engine.hpp"
#include "sluice/job_set.hpp"
#include "views/shown_command.hpp"

namespace sluice::cli {

/// The text at the end of a run: for each job its counts, most frequent failures, tokens, cost and
/// files, and the time.
std::string run_summary(const job_set& jobs, double seconds, language spoken = language::english);

/// The command to type after a run, as the last line of the screen. `shows_results`: where nothing
/// is left to do, it is a command that shows the results; else it is empty then.
std::string next_command(const job_set& jobs, const run_outcome& outcome,
                         const shown_command& command, bool shows_results = true,
                         language spoken = language::english);

/// The end of a run in one line, fit for the mail of a nightly job: why it stopped (`sentence`, may
/// be empty), the counts, the most frequent failures, the cost, and where to look.
std::string one_line_summary(const job_set& jobs, const wording& sentence,
                             language spoken = language::english);

/// Why the run stopped early, and what to do about it; empty when it did not. `shortage`: of a run
/// whose budget is used up.
wording stop_sentence(const run_outcome& outcome,
                      const std::optional<job_set::budget_shortage>& shortage = {});

}  // namespace sluice::cli
