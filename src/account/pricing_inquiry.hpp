#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>

#include "http/http_client.hpp"
#include "money/relay_pricing.hpp"
#include "sluice/config.hpp"
#include "sluice/observer.hpp"

namespace sluice {

/// What a relay tells of its prices.
struct pricing_answer {
  std::optional<relay_pricing> told;
  std::string why_not;  ///< a sentence without its subject, as it may be shown
};

/// Asks a relay for what it charges the keys of a group: GET /api/pricing, and /api/status for how
/// much of its quota it sells for a dollar. Belongs to the event loop's thread; both outlive it.
boost::asio::awaitable<pricing_answer> ask_pricing(http_client& client, const relay_options& relay,
                                                   std::string group, observer* seen_by = nullptr);

}  // namespace sluice
