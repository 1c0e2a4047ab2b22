#pragma once

#include <CLI/CLI.hpp>

namespace sluice::cli {

/// Adds `models`, which lists what a relay offers beside the price that a run would charge for it.
/// When it has run, `exit_status` is one of cli::exit_status. Throws fatal_error when it cannot
/// start.
void add_models_command(CLI::App& program, int& exit_status);

}  // namespace sluice::cli
