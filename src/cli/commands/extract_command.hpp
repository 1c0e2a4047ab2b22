#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice extract`: joins the results of a job to the rows of its table.
command extract_command();

}  // namespace sluice::cli
