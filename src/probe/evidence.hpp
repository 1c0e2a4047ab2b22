#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "probe/observation.hpp"
#include "probe/plan.hpp"

namespace sluice::probe {

/// What the relay shows about the key's account.
struct account_facts {
  std::optional<usd> drop;  ///< balance before the samples minus balance after them
  usd expected;             ///< the price of the usage that the relay reported
  usd expected_at_most;     ///< the same, with each call rounded up to the relay's unit of money
  std::string tariff;       ///< the source of that price, as in "at 1.2 times the price"
  std::string why_unknown;  ///< the reason if there is no `drop`
  std::size_t rows = 0;     ///< rows of the usage log about this model
  std::vector<std::string> served;  ///< other models that served calls, by the log
};

/// Everything that a probe has measured.
struct evidence {
  claim sold;
  std::vector<observation> seen;
  account_facts account;
};

}  // namespace sluice::probe
