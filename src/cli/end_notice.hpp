#pragma once

#include "cli/settings/run_settings.hpp"
#include "notify/message.hpp"

namespace sluice::cli {

/// Posts the message of --notify, with a few tries, and returns when it was delivered or given up;
/// a signal gives it up. Failures are logged as warnings and never thrown. It has an event loop of
/// its own: to be called when that of the run is over, and while no graceful_stop exists. Does
/// nothing without an address.
void announce_end(const notify_options& to, const notify::run_end& end) noexcept;

}  // namespace sluice::cli
