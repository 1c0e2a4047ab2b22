#pragma once

#include "jobs/job_setup.hpp"
#include "sluice/job.hpp"

namespace sluice {

// What an attempt of a request can cost at most, under a budget. Pure; from any thread.

/// Throws fatal_error, naming the line, when the request cannot be bounded: it does not go out
/// under a budget.
void require_bound(const request& next, const job_setup& job);
/// Sets the bound of the request. Counts its tokens, which takes a while: only of those that are
/// sent. Throws as require_bound() does.
void set_cost_bound(request& next, const job_setup& job);

}  // namespace sluice
