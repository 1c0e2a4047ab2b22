#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice prepare`: turns a table and a template into a job.
command prepare_command();

}  // namespace sluice::cli
