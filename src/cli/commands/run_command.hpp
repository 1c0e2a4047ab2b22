#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace sluice::cli {

/// Adds `run`, which sends every request of the jobs and writes results and totals. When it has
/// run, `exit_status` is one of cli::exit_status. Throws fatal_error when the run cannot start.
/// `command_line`: as typed, to say what to type next.
void add_run_command(CLI::App& program, const std::vector<std::string>& command_line,
                     int& exit_status);

}  // namespace sluice::cli
