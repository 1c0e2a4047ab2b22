#pragma once

#include "cli/settings/run_settings.hpp"
#include "notify/message.hpp"

namespace sluice::cli {

/// Posts the message of --notify with a few tries, and returns when it was delivered or failed
/// finally; a signal ends the tries. Failures are logged as warnings and never thrown. It has its
/// own event loop: call it after the loop of the run has ended, and while no graceful_stop exists.
/// Does nothing without an address.
void announce_end(const notify_options& to, const notify::run_end& end) noexcept;

}  // namespace sluice::cli
