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

/// The next command for the user after a run, as the last line on the screen. If nothing is left to
/// do: a command that shows the results if `shows_results` is set, otherwise empty.
std::string next_command(const job_set& jobs, const run_outcome& outcome,
                         const shown_command& command, bool shows_results = true,
                         language spoken = language::english);

/// The end of a run in one line, suitable for the mail of a nightly job: why it stopped
/// (`sentence`, may be empty), the counts, the most frequent failures, the cost, and where to look.
std::string one_line_summary(const job_set& jobs, const wording& sentence,
                             language spoken = language::english);

/// Why the run stopped early, and what the user can do; empty if it did not. `shortage`: set for a
/// run whose budget is used up.
wording stop_sentence(const run_outcome& outcome,
                      const std::optional<job_set::budget_shortage>& shortage = {});
/// The sentence about the end of a run, with the job or model that the run had given up before.
wording with_given_up(wording sentence, const run_outcome& outcome);

}  // namespace sluice::cli
