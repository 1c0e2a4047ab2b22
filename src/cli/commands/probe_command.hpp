#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice probe`: tests whether a relay serves the model it sells and bills the tokens it should.
command probe_command();

}  // namespace sluice::cli
