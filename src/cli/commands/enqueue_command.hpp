#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice enqueue`.
command enqueue_command();

}  // namespace sluice::cli
