#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice check`: validates whole jobs without sending anything.
command check_command();

}  // namespace sluice::cli
