#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "probe/observation.hpp"
#include "probe/plan.hpp"

namespace sluice::probe {

/// What the relay's books say, as far as it shows them.
struct account_facts {
  std::optional<usd> drop;  ///< by so much the balance fell from before the samples to after
  usd expected;             ///< the price of what the relay reported, at the tariff
  usd expected_at_most;     ///< the same, each call rounded up to the unit that relays count in
  std::string tariff;       ///< how that price is known: "at 1.2 times the price"
  std::string why_unknown;  ///< where there is no `drop`
  std::size_t rows = 0;     ///< of the usage log, about this model
  std::vector<std::string> served;  ///< other models that the log names as really served
};

/// All that a probe has found out.
struct evidence {
  claim sold;
  std::vector<observation> seen;
  account_facts account;
};

}  // namespace sluice::probe
