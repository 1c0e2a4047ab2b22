#pragma once

#include <string>
#include <vector>

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// The shells that completion_script() knows.
inline const std::vector<std::string> completed_shells{"bash", "zsh", "fish"};

/// A script that completes the commands, flags and values of sluice in a shell, one of
/// `completed_shells`. bash: a function `_sluice` and a `complete` for it; zsh: an autoload file
/// `_sluice`; fish: `complete` lines.
std::string completion_script(const std::vector<command>& commands, const std::string& shell);

}  // namespace sluice::cli
