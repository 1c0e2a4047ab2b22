#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice serve`.
command serve_command();

}  // namespace sluice::cli
