#pragma once

#include <string>
#include <vector>

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice run`: sends every request of the jobs and writes results and totals. `command_line`: the
/// words as typed, used to show the next command; must outlive the command.
command run_command(const std::vector<std::string>& command_line);

}  // namespace sluice::cli
