#pragma once

#include "sluice/error.hpp"
#include "terminal/exit_status.hpp"

namespace sluice::cli {

/// The exit status of a command whose run ended for this reason; `success` if it was not stopped.
exit_status exit_status_of(stop_reason reason);

}  // namespace sluice::cli
