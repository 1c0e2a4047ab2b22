#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dice.hpp"
#include "sluice/money.hpp"
#include "sluice/usage.hpp"

namespace sluice::simulation {

/// How a relay bills a model whose price depends on the cache, the length of the prompt, the
/// service tier, the hour and the day. It computes its bills without the code that is tested.
class tariff {
 public:
  explicit tariff(dice random);

  /// The price list of the model "m", in the format of the program.
  std::string price_list() const;

  /// A tier that may serve a request for these tiers; "auto": left to the account.
  std::string serving_tier(const std::vector<std::string>& asked);

  /// What the relay bills. A greedy relay takes the dearest price of the moments between the start
  /// and the end of the attempt, others any of them. Times are seconds since the epoch.
  usd bill(const token_usage& usage, std::string_view tier, double started, double ended);

  /// Every dimension at its dearest.
  bool greedy() const noexcept { return greedy_; }
  /// The bill depends on the usage and the tier alone.
  bool timeless() const noexcept { return !peak_ && !changes_; }

 private:
  dice random_;
  bool greedy_;
  bool peak_;           // has hours at which it costs more
  bool changes_;        // has a price change on this day
  int peak_begin_ = 0;  // minute of the day
  int peak_end_ = 0;
};

}  // namespace sluice::simulation
