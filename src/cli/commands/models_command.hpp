#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice models`: lists a relay's models, with the price that a run would charge for each.
command models_command();

}  // namespace sluice::cli
