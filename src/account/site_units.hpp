#pragma once

#include <cstdint>
#include <string_view>

#include "sluice/money.hpp"

namespace sluice::account {

/// In what a relay of the one-api family counts money, as its /api/status tells it. Without that:
/// 500,000 quota units to the dollar, and amounts shown in dollars.
class site_units {
 public:
  site_units() = default;
  /// The default where the body tells nothing. `quota_per_unit`; `quota_display_type` USD, CNY
  /// (`usd_exchange_rate`) or TOKENS, before it `display_in_currency`.
  static site_units read(std::string_view body);

  /// What the API and the log count in.
  usd from_quota(usd quota) const { return divided(quota, quota_per_dollar_); }
  /// What the OpenAI-like billing routes call USD.
  usd from_shown(usd shown) const { return divided(shown, shown_per_dollar_); }
  /// Quota units that are sold for one USD, at least 1.
  std::uint64_t quota_per_dollar() const noexcept;
  /// The billing routes show quota units.
  bool shows_quota() const noexcept { return shown_per_dollar_ == quota_per_dollar_; }

  /// To the nearest quota unit, 0.000002 USD as a rule: what relays compute in binary fractions
  /// means no more than that.
  usd rounded(usd amount) const;

 private:
  static constexpr std::int64_t millionth = 1'000'000;  // of a number
  static usd divided(usd amount, std::int64_t millionths);

  std::int64_t quota_per_dollar_ = 500'000 * millionth;
  std::int64_t shown_per_dollar_ = millionth;
};

}  // namespace sluice::account
