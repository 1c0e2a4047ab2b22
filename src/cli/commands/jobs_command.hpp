#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice jobs`.
command jobs_command();

}  // namespace sluice::cli
