#pragma once

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// `sluice report`: shows the state of jobs from their files, and audits the reported usage.
command report_command();

}  // namespace sluice::cli
