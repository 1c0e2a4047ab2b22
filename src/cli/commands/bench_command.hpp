#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice bench`: measures a relay under load.
command bench_command();

}  // namespace sluice::cli
