#pragma once

#include <optional>
#include <string>

#include "sluice/money.hpp"
#include "sluice/prices.hpp"
#include "sluice/result.hpp"

namespace sluice {

/// What a reply has cost.
struct result_price {
  std::optional<usd> cost;         ///< nothing: unknown
  std::optional<usd> cache_saved;  ///< by the provider's cache; nothing: unknown
  bool settles = false;  ///< its reservation: else the relay may bill more than is counted here
  std::string missing;   ///< the rate that the price list lacks; empty: none
  bool stale = false;    ///< the price was promised until an earlier day
};

/// The price of a result; of a failure, nothing. Pure.
result_price price_of(const result& finished, const relay_prices& prices);

}  // namespace sluice
