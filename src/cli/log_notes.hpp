#pragma once

#include <string>
#include <vector>

#include "cli/screen/screen.hpp"
#include "settings/setting.hpp"
#include "terminal/exit_status.hpp"
#include "views/shown_command.hpp"

namespace sluice::cli {

/// Writes the start of a command to --log-file: its command line and its settings, without secrets.
void log_start(screen& shown, const shown_command& command, const settings& flags);

/// Writes the end of a command to --log-file. `lines`: further facts, one line each.
void log_end(screen& shown, const std::string& summary, exit_status status,
             const std::vector<std::string>& lines = {});

}  // namespace sluice::cli
