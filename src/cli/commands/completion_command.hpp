#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice completion SHELL`: prints the script that completes sluice's words in a shell.
command completion_command();

}  // namespace sluice::cli
