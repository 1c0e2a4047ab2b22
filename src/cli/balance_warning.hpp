#pragma once

#include <vector>

#include "cli/settings/run_settings.hpp"
#include "sluice/job_set.hpp"
#include "sluice/prices.hpp"

namespace sluice::cli {

/// Estimates the cost of all prompts that are still to be sent, from the first prompts of each job.
/// Prices are those of the tier that a request asks for, at that time. Prompts without a price and
/// those on standard input count as 0. Reads a megabyte at most. Throws fatal_error when a job
/// cannot be read.
usd estimate_prompts(const std::vector<job_set::job_summary>& jobs, const job_options& lines,
                     const relay_prices& prices, double unix_now);

/// Warns when the balance of the relays' keys is lower than the cost of the prompts alone. Stays
/// silent where the prompts cost next to nothing, a key has no limit, or a relay does not show the
/// balance. Waits for each relay a few seconds at most.
void warn_of_low_balance(const run_settings& chosen, const job_set& jobs,
                         const relay_prices& prices);

}  // namespace sluice::cli
