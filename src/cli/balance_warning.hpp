#pragma once

#include <vector>

#include "cli/settings/run_settings.hpp"
#include "sluice/job_set.hpp"
#include "sluice/prices.hpp"

namespace sluice::cli {

/// Estimates the cost of all prompts that are still to be sent, from the first prompts of each job.
/// Uses the current prices of each request's tier. Prompts without a price, and jobs on standard
/// input, count as 0. Reads at most about a megabyte. Throws fatal_error if a job cannot be read.
usd estimate_prompts(const std::vector<job_set::job_summary>& jobs, const job_options& lines,
                     const relay_prices& prices, double unix_now);

/// Warns if the balance of the relays' keys is lower than the cost of the prompts alone. Prints
/// nothing if the prompts cost almost nothing, a key has no limit, or a relay does not show the
/// balance. Waits at most a few seconds for each relay.
void warn_of_low_balance(const run_settings& chosen, const job_set& jobs,
                         const relay_prices& prices);

}  // namespace sluice::cli
