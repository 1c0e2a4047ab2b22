#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "sluice/prices.hpp"

namespace sluice {

/// What a relay's price list is read for.
struct relay_pricing_options {
  std::string group = "default";  ///< of the key
  /// How much of its quota the relay sells for 1 USD, above 0; /api/status tells it, the list does
  /// not.
  std::uint64_t quota_per_unit = 500'000;
};

/// Models of the list whose price is unknown, by the reason.
struct models_left_out {
  std::size_t per_call = 0;       ///< billed per call, whatever its tokens
  std::size_t by_expression = 0;  ///< billed by tiers or a formula (newer new-api's billing_mode)
  std::size_t not_offered = 0;    ///< of other groups
  std::size_t unreadable = 0;     ///< without a name or a ratio, or with one that is none

  std::size_t total() const noexcept { return per_call + by_expression + not_offered + unreadable; }
};

/// What a relay says it charges.
struct relay_pricing {
  price_table prices;             ///< of the list's models; those left out are in it as unknown
  std::string group_ratio = "1";  ///< as written
  models_left_out left_out;
};

/// Reads new-api's answer to GET /api/pricing: {"success", "data": [{"model_name", "quota_type",
/// "model_ratio", "completion_ratio", "cache_ratio", "enable_groups", …}], "group_ratio": {GROUP:
/// RATIO}, "usable_group": {GROUP: WORDS}}.
///
/// A call takes (prompt − cached + cached·cache_ratio + completion·completion_ratio) · model_ratio
/// · group_ratio of the quota, hence a token model_ratio · group_ratio / quota_per_unit USD: at the
/// usual 500000, 2 USD per million at ratio 1. It is the billing's formula, which knows no dollars;
/// a relay that sells another quota for its dollar charges other prices, though its own page of
/// prices shows 2 USD. Without a cache_ratio cached tokens cost the input price, without a
/// completion_ratio the output is unknown. Ratios are decimals as written; each product is rounded
/// up, once, to 1e-18 USD: relays print binary fractions (0.30000000000000004), and refusing those
/// would leave most models without a price. The relay rounds each call to its quota unit, at least
/// one, which no price per token can tell.
///
/// Without a group_ratio every group's is 1. A group that the answer doesn't know is an error; an
/// answer without a login shows the groups that all may use, and a private one is not among them.
///
/// The error is a sentence without its subject, fit to be shown but for a key in the relay's words.
/// Pure.
boost::system::result<relay_pricing, std::string> read_relay_pricing(
    std::string_view document, const relay_pricing_options& options = {});

}  // namespace sluice
