#pragma once

#include <CLI/CLI.hpp>

namespace sluice::cli {

/// Adds `check`, which looks whole jobs through without sending anything. When it has run,
/// `exit_status` is one of cli::exit_status. Throws fatal_error when a job cannot be read.
void add_check_command(CLI::App& program, int& exit_status);

}  // namespace sluice::cli
