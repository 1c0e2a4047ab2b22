#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dice.hpp"
#include "sluice/money.hpp"
#include "sluice/usage.hpp"

namespace sluice::simulation {

/// How a relay bills a model if the price depends on the cache, the length of the prompt, the
/// service tier, the hour and the day. The bills are computed without the code under test.
class tariff {
 public:
  explicit tariff(dice random);

  /// The price list of the model "m", in the program's format.
  std::string price_list() const;

  /// A tier that may serve a request for one of these tiers. With "auto", the relay chooses.
  std::string serving_tier(const std::vector<std::string>& asked);

  /// The amount that the relay bills. A greedy relay takes the highest price between the start and
  /// the end of the attempt; another relay takes any of these prices. Times are seconds since the
  /// epoch.
  usd bill(const token_usage& usage, std::string_view tier, double started, double ended);

  /// True if the relay always takes the highest price in each dimension.
  bool greedy() const noexcept { return greedy_; }
  /// True if the bill depends only on the usage and the tier.
  bool timeless() const noexcept { return !peak_ && !changes_; }

 private:
  dice random_;
  bool greedy_;
  bool peak_;           // the model costs more at some hours
  bool changes_;        // the price changes on this day
  int peak_begin_ = 0;  // minute of the day
  int peak_end_ = 0;
};

}  // namespace sluice::simulation
