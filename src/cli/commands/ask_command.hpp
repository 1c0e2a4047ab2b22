#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice ask`: sends one prompt and prints the answer while it arrives.
command ask_command();

}  // namespace sluice::cli
