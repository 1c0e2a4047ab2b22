#pragma once

#include <string>
#include <string_view>

#include "account/pricing_inquiry.hpp"
#include "cli/settings/run_settings.hpp"
#include "sluice/config.hpp"
#include "sluice/prices.hpp"

namespace sluice::cli {

/// The name of the relay's own price list among the price files.
inline constexpr std::string_view prices_of_relay = "relay";

/// Whether --prices uses the relays' own lists.
bool asks_for_prices(const run_settings& chosen);

/// The prices of every relay, in layers: the built-in table, then each price file; the relay's own
/// list is used in the place of "relay". Later layers win. The price multiplier applies to all but
/// the relay's list, which contains the ratio already. The relays must have their keys and proxies
/// if their lists are used. Throws fatal_error.
relay_prices load_prices(const run_settings& chosen);
/// The same for one member, with the relay's own list as the last layer, even if no setting names
/// it.
relay_prices load_prices(const run_settings& chosen, const relay_member& member,
                         const price_table& own_list);

/// Requests the price list of one relay, on a separate event loop. Models that the jobs call by
/// another name are in it under both names.
pricing_answer ask_price_list(const relay_member& member, const std::string& group);

}  // namespace sluice::cli
