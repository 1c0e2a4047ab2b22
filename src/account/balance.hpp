#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>

#include "http/http_client.hpp"
#include "sluice/clock.hpp"
#include "sluice/config.hpp"
#include "sluice/money.hpp"
#include "sluice/observer.hpp"

namespace sluice {

/// The USD that a key has left; zero if it is used up. nullopt: the key has no limit, the relay
/// does not report it, or cannot be reached; the caller continues without it. Sends one to three
/// requests to the billing routes only, and reports only to the debug log. Call it on the event
/// loop's thread. All references must outlive the call.
boost::asio::awaitable<std::optional<usd>> ask_balance(http_client& client,
                                                       const relay_options& relay,
                                                       const clock& time,
                                                       observer* seen_by = nullptr);

}  // namespace sluice
