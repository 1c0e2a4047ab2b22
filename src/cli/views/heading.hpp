#pragma once

#include <string>

#include "cli/settings/run_settings.hpp"

namespace sluice::cli {

/// What the first line of the screen says of a command that sends: each host that gets a key, and
/// the config file that may have named it. The relays' addresses must have been checked.
std::string heading(const run_settings& chosen, bool simulated);

}  // namespace sluice::cli
