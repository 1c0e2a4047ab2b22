#pragma once

#include <CLI/CLI.hpp>

namespace sluice::cli {

/// Adds `quota`, which tells what a key was granted, has used and has left, and its usage log. When
/// it has run, `exit_status` is one of cli::exit_status. Throws fatal_error when it cannot start.
void add_quota_command(CLI::App& program, int& exit_status);

}  // namespace sluice::cli
