#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice collect`.
command collect_command();

}  // namespace sluice::cli
