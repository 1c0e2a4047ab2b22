#pragma once

#include <initializer_list>

namespace sluice::cli {

/// The exit status of the program. If several apply, the first one in this order counts:
/// results_lost, cannot_start, interrupted, stopped, some_failed.
enum exit_status : int {
  success = 0,        ///< every request succeeded
  some_failed = 1,    ///< finished, and some requests failed
  cannot_start = 2,   ///< usage, config, unreadable job, locked output
  stopped = 3,        ///< ended early on purpose: refused key, relay down; run again to resume
  results_lost = 4,   ///< results could not be written
  interrupted = 130,  ///< SIGINT, SIGTERM or SIGHUP; run again to resume
};

/// The one that counts if both apply.
constexpr exit_status stronger(exit_status a, exit_status b) noexcept {
  for (const exit_status each : {results_lost, cannot_start, interrupted, stopped, some_failed}) {
    if (a == each || b == each) return each;
  }
  return success;
}

}  // namespace sluice::cli
