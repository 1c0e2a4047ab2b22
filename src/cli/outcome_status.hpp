#pragma once

#include "sluice/engine.hpp"
#include "sluice/error.hpp"
#include "terminal/exit_status.hpp"

namespace sluice::cli {

/// The exit status of a command whose run ended for this reason; `success` if it was not stopped.
exit_status exit_status_of(stop_reason reason);
/// The same for a run that may have given up a job or a model before it stopped.
exit_status exit_status_of(const run_outcome& outcome);

}  // namespace sluice::cli
