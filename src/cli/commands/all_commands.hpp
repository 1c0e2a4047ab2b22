#pragma once

#include <string>
#include <vector>

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// All commands, in the order of the help. `command_line`: the words as typed, used to show the
/// next command; must outlive the commands.
std::vector<command> all_commands(const std::vector<std::string>& command_line);

/// The same, but if the first word after the program is a command, only the commands whose names
/// are on the line. To make all of them would take a millisecond.
std::vector<command> commands_on(const std::vector<std::string>& command_line);

}  // namespace sluice::cli
