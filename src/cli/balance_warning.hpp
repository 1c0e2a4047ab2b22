#pragma once

#include <vector>

#include "cli/settings/run_settings.hpp"
#include "sluice/job_set.hpp"
#include "sluice/money.hpp"

namespace sluice::cli {

/// About what the prompts of all that is to be sent cost, by those at the start of each job; less
/// where a model has no price, and nothing of what comes on standard input. Reads a megabyte at
/// most. Throws fatal_error when a job cannot be read.
usd estimate_prompts(const std::vector<job_set::job_summary>& jobs, const job_options& lines,
                     const relay_prices& prices);

/// Warns when the relays' keys have less left than the prompts alone cost, replies aside. Says
/// nothing where the prompts cost next to nothing, a key has no limit, or a relay does not tell;
/// asks each relay for a few seconds at most.
void warn_of_low_balance(const run_settings& chosen, const job_set& jobs,
                         const relay_prices& prices);

}  // namespace sluice::cli
