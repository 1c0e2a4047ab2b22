#pragma once

#include <string>
#include <vector>

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice run`: sends every request of the jobs and writes results and totals. `command_line`: the
/// words as typed, to say what to type next; must outlive the command.
command run_command(const std::vector<std::string>& command_line);

}  // namespace sluice::cli
