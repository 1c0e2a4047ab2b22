#pragma once

#include <string>

#include "cli/settings/run_settings.hpp"

namespace sluice::cli {

/// The first line of the screen for a command that sends: each host that gets a key, and the config
/// file that may have named it. The addresses of the relays must be checked before.
std::string heading(const run_settings& chosen, bool simulated);

/// The name of a relay in messages: "blue (https://blue.example)", or only the address.
std::string name_of(const relay_member& member);

}  // namespace sluice::cli
