#pragma once

#include <string>
#include <vector>

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice bench`: measures a relay under load. `command_line`: the words as typed, for the log;
/// must outlive the command.
command bench_command(const std::vector<std::string>& command_line);

}  // namespace sluice::cli
