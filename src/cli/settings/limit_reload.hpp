#pragma once

#include <string>
#include <vector>

#include "cli/settings/run_settings.hpp"
#include "sluice/live_limits.hpp"

namespace sluice::cli {

/// The limits that the settings give now, read from the config file once more.
struct reread_limits {
  live_limits limits;
  /// Sentences for a person: limits of the file that do not count, and why.
  std::vector<std::string> notes;
};

/// Reads the settings again, for a run that has `relays` and began with `target`, of which `flags`
/// were made. `target` is as before when this returns. Throws fatal_error or bad_setting where the
/// file or the environment cannot be used.
reread_limits read_limits_again(const settings& flags, run_settings& target,
                                const std::vector<relay_member>& relays);

/// What has changed, like "rpm 60 -> 30, concurrency 64 -> 8"; empty: nothing.
std::string change_of_limits(const live_limits& before, const live_limits& after,
                             const std::vector<relay_member>& relays);

}  // namespace sluice::cli
