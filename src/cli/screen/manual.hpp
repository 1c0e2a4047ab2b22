#pragma once

#include <string>
#include <vector>

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// The man page sluice.1, in roff. `date`: day of the version, as YYYY-MM-DD.
std::string man_page(const std::vector<command>& commands, const std::string& date);

/// The same as one Markdown page.
std::string markdown_reference(const std::vector<command>& commands);

}  // namespace sluice::cli
