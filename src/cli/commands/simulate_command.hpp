#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice simulate`: serves the simulated relay until a signal ends it.
command simulate_command();

}  // namespace sluice::cli
