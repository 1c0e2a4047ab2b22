#pragma once

#include <CLI/CLI.hpp>

namespace sluice::cli {

/// `sluice probe`: whether a relay serves the model that it sells, and bills the tokens it should.
void add_probe_command(CLI::App& program, int& exit_status);

}  // namespace sluice::cli
