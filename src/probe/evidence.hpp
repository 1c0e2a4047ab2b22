#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "probe/observation.hpp"
#include "probe/plan.hpp"

namespace sluice::probe {

/// The expected cost of the usage that a relay reported.
struct charges {
  usd cost;
  /// With each call rounded up to the unit in which relays count money, and with `lost`.
  usd at_most;
  /// The same without a discount for cached tokens.
  usd without_discount;
  usd without_discount_at_most;
  /// The highest cost of the attempts without a result that the relay may have billed.
  usd lost = {};
};

/// What the relay shows about the key's account.
struct account_facts {
  /// How much the samples before the cache check reduced the balance, and what they should cost.
  std::optional<usd> drop;
  charges expected;
  /// The same for the samples of the cache check.
  std::optional<usd> cache_drop;
  charges cache_expected;
  std::string tariff;       ///< the source of the price, as in "at 1.2 times the price"
  std::string why_unknown;  ///< the reason if there is no `drop`
  std::size_t rows = 0;     ///< rows of the usage log about this model
  /// The models that served these calls, where the log names them.
  std::vector<std::string> served;
};

/// Everything that a probe has measured.
struct evidence {
  claim sold;
  std::vector<observation> seen;
  account_facts account;
  std::string why_no_cache;  ///< why the plan has no samples for the cache check
};

}  // namespace sluice::probe
