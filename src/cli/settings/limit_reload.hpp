#pragma once

#include <string>
#include <vector>

#include "cli/settings/run_settings.hpp"
#include "sluice/live_limits.hpp"

namespace sluice::cli {

/// The limits according to the settings, after the config file was read again.
struct reread_limits {
  live_limits limits;
  /// Sentences for the user: limits of the file that are not used, and why.
  std::vector<std::string> notes;
};

/// Reads the settings again, for a run that has `relays` and began with `target`, for which `flags`
/// were made. `target` is unchanged at the end. Throws fatal_error or bad_setting if the file or
/// the environment cannot be used.
reread_limits read_limits_again(const settings& flags, run_settings& target,
                                const std::vector<relay_member>& relays);

/// What has changed, like "rpm 60 -> 30, concurrency 64 -> 8"; empty: nothing.
std::string change_of_limits(const live_limits& before, const live_limits& after,
                             const std::vector<relay_member>& relays);

}  // namespace sluice::cli
