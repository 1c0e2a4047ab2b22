#pragma once

#include <string>
#include <vector>

namespace sluice::cli {

/// What `--version` prints: the version, and with `--verbose` also the date of the price list and
/// the vocabularies that are built in. `command_line` as the program was called.
std::string version_text(const std::vector<std::string>& command_line);

}  // namespace sluice::cli
