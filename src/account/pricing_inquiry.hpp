#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>

#include "http/http_client.hpp"
#include "money/relay_pricing.hpp"
#include "sluice/config.hpp"
#include "sluice/observer.hpp"

namespace sluice {

/// The prices that a relay reports.
struct pricing_answer {
  std::optional<relay_pricing> told;
  std::string why_not;  ///< why there are none: a sentence without its subject, safe to show
};

/// Asks a relay what it charges for the keys of a group: GET /api/pricing, and /api/status for the
/// number of quota units that it sells for one dollar. Call it on the event loop's thread. All
/// references must outlive the call.
boost::asio::awaitable<pricing_answer> ask_pricing(http_client& client, const relay_options& relay,
                                                   std::string group, observer* seen_by = nullptr);

}  // namespace sluice
