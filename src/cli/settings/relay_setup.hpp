#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "cli/settings/run_settings.hpp"
#include "simulator/relay.hpp"
#include "sluice/config.hpp"
#include "sluice/money.hpp"

namespace sluice::cli {

// What stands between the settings of a command and its relays. Each throws fatal_error.

/// Starts the relay inside the process, with so much on its account (nothing: no end of it), and
/// points the settings at it. `simulate` must be set.
std::unique_ptr<simulator::relay> start_simulator(run_settings& chosen,
                                                  std::optional<simulator::usd> balance = {});
/// Reads the keys of the pool, and refuses a relay without one.
void require_keys(run_settings& chosen);
/// Has the environment say by which proxy each relay is reached.
void find_proxies(config& options);
/// What all relays of a run let through together in a minute; 0: no limit.
std::uint64_t requests_a_minute(const config& options);
/// A relay as sentences call it.
std::string name_of(const relay_member& member);
/// Warns of keys that others can read on their way.
void warn_of_exposed_keys(const config& options);

/// Has all runs of this user count what they send together; warns where there is no place for it.
void share_limit(pace_options& pace);

/// The prices of every relay: the built-in table and the files over it, times the multipliers, and,
/// where "relay" stands among the files, what the relay itself tells, in which its group's ratio is
/// already; later ones win. Asks the relays then, which must have their keys and proxies.
relay_prices load_prices(const run_settings& chosen);
/// "relay" stands among the files.
bool asks_for_prices(const run_settings& chosen);
/// The same where a relay has told its prices without having been asked for by the settings.
relay_prices load_prices(const run_settings& chosen, const relay_member& member,
                         const price_table& told);

}  // namespace sluice::cli
