#pragma once

#include <CLI/CLI.hpp>

namespace sluice::cli {

/// Adds `simulate`, which serves the simulated relay until SIGINT or SIGTERM. When it has run,
/// `exit_status` is 0, or 2 when it could not start.
void add_simulate_command(CLI::App& program, int& exit_status);

}  // namespace sluice::cli
