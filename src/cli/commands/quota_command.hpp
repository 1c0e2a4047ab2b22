#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice quota`: shows what a key was granted, has used and has left, and its usage log.
command quota_command();

}  // namespace sluice::cli
