#pragma once

#include <CLI/CLI.hpp>

namespace sluice::cli {

/// Adds `sluice bench`: what a relay does under load.
void add_bench_command(CLI::App& program, int& exit_status);

}  // namespace sluice::cli
