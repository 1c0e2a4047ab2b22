#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>

#include "http/http_client.hpp"
#include "sluice/clock.hpp"
#include "sluice/config.hpp"
#include "sluice/money.hpp"
#include "sluice/observer.hpp"

namespace sluice {

/// The USD that a key has left, zero when it is spent. Nothing when it has no limit, or the relay
/// does not tell it, or cannot be reached: whoever asks goes on without. Asks the billing routes
/// alone, with two questions where there are none and three where there are, and says nothing but
/// to the debug log. Belongs to the event loop's thread; all three outlive it.
boost::asio::awaitable<std::optional<usd>> ask_balance(http_client& client,
                                                       const relay_options& relay,
                                                       const clock& time,
                                                       observer* seen_by = nullptr);

}  // namespace sluice
