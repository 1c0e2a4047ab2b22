#pragma once

#include <CLI/CLI.hpp>

namespace sluice::cli {

/// Adds `report`, which tells how jobs stand by their files, and audits what the relay reported.
/// When it has run, `exit_status` is one of cli::exit_status. Throws fatal_error when the files
/// cannot be read.
void add_report_command(CLI::App& program, int& exit_status);

}  // namespace sluice::cli
