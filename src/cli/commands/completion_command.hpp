#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice completion SHELL`: prints the completion script for a shell.
command completion_command();

}  // namespace sluice::cli
