#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice ask`: sends one prompt and prints the answer as it arrives.
command ask_command();

}  // namespace sluice::cli
