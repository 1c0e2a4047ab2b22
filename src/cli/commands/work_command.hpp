#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice work`.
command work_command();

}  // namespace sluice::cli
