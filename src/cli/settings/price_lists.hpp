#pragma once

#include <string>
#include <string_view>

#include "account/pricing_inquiry.hpp"
#include "cli/settings/run_settings.hpp"
#include "sluice/config.hpp"
#include "sluice/prices.hpp"

namespace sluice::cli {

/// Stands among the price files for the relay's own price list.
inline constexpr std::string_view prices_of_relay = "relay";

/// Whether --prices asks the relays for their own lists.
bool asks_for_prices(const run_settings& chosen);

/// The prices of every relay, in layers: the built-in table, then each price file, and where
/// "relay" stands among them, the relay's own list. Later layers win. The price multiplier applies
/// to all but the relay's list, which contains the ratio already. Relays that are asked must have
/// their keys and proxies. Throws fatal_error.
relay_prices load_prices(const run_settings& chosen);
/// The same for one member, with the relay's own list on top although no setting asks for it.
relay_prices load_prices(const run_settings& chosen, const relay_member& member,
                         const price_table& own_list);

/// Asks one relay for its price list, on an event loop of its own. Its models also stand there
/// under the names that the jobs use for them.
pricing_answer ask_price_list(const relay_member& member, const std::string& group);

}  // namespace sluice::cli
