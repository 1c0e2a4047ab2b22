#pragma once

#include <optional>
#include <string>

#include "sluice/money.hpp"
#include "sluice/prices.hpp"
#include "sluice/result.hpp"

namespace sluice {

/// The cost of a reply.
struct result_price {
  std::optional<usd> cost;         ///< nothing: unknown
  std::optional<usd> cache_saved;  ///< by the provider's cache; nothing: unknown
  /// The cost replaces the reservation; false: the relay may bill more than is counted here.
  bool settles = false;
  std::string missing;  ///< the rate that the price list lacks; empty: none
  bool stale = false;   ///< the price was promised only until an earlier day
};

/// The price of a result; for a failure, an empty value. Pure.
result_price price_of(const result& finished, const relay_prices& prices);

}  // namespace sluice
