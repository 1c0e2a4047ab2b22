#pragma once

#include "jobs/job_setup.hpp"
#include "sluice/job.hpp"

namespace sluice {

// The highest cost of one attempt of a request under a budget. Pure; may be called from any thread.

/// Throws fatal_error that names the line if the cost of the request has no bound, because such a
/// request is not sent under a budget.
void require_bound(const request& next, const job_setup& job);
/// Sets the bound of the request. This counts its tokens, which takes time, so call it only for
/// requests that are sent. Throws like require_bound().
void set_cost_bound(request& next, const job_setup& job);

}  // namespace sluice
