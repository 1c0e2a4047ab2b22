#pragma once

#include <string>
#include <vector>

namespace sluice::cli {

/// The output of `--version`: the version, and with `--verbose` also the date of the price list and
/// the built-in vocabularies. `command_line`: the command line of the program.
std::string version_text(const std::vector<std::string>& command_line);

}  // namespace sluice::cli
