#pragma once

#include <cstdint>
#include <string_view>

#include "sluice/money.hpp"

namespace sluice::account {

/// The units in which a relay of the one-api family counts money, as its /api/status reports them.
/// Default: 500,000 quota units for one dollar, and amounts shown in dollars.
class site_units {
 public:
  site_units() = default;
  /// Reads `quota_per_unit` and `quota_display_type`: USD, CNY (with `usd_exchange_rate`) or
  /// TOKENS; older relays have `display_in_currency` instead. Missing values get the default.
  static site_units read(std::string_view body);

  /// Converts the amounts of the API and the log.
  usd from_quota(usd quota) const { return divided(quota, quota_per_dollar_); }
  /// Converts the amounts that the OpenAI-like billing routes call USD.
  usd from_shown(usd shown) const { return divided(shown, shown_per_dollar_); }
  /// The number of quota units that are sold for one USD, at least 1.
  std::uint64_t quota_per_dollar() const noexcept;
  /// Whether the billing routes show quota units.
  bool shows_quota() const noexcept { return shown_per_dollar_ == quota_per_dollar_; }

  /// Rounds to the nearest quota unit, which is usually 0.000002 USD. Relays compute in binary
  /// fractions, so smaller differences mean nothing.
  usd rounded(usd amount) const;

 private:
  static constexpr std::int64_t millionth = 1'000'000;  // factor of the fixed-point numbers here
  static usd divided(usd amount, std::int64_t millionths);

  std::int64_t quota_per_dollar_ = 500'000 * millionth;
  std::int64_t shown_per_dollar_ = millionth;
};

}  // namespace sluice::account
