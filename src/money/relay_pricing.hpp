#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "sluice/prices.hpp"

namespace sluice {

/// Options for reading a relay's price list.
struct relay_pricing_options {
  std::string group = "default";  ///< the group of the key
  /// The quota that the relay sells for 1 USD; more than 0. The list does not contain it, but
  /// /api/status does.
  std::uint64_t quota_per_unit = 500'000;
};

/// Number of models in the list whose price is unknown, by reason.
struct models_left_out {
  std::size_t per_call = 0;       ///< billed per call, not per token
  std::size_t by_expression = 0;  ///< billed by tiers or a formula (newer new-api's billing_mode)
  std::size_t not_offered = 0;    ///< only offered to other groups
  std::size_t unreadable = 0;     ///< without a name or a ratio, or with an invalid ratio

  std::size_t total() const noexcept { return per_call + by_expression + not_offered + unreadable; }
};

/// The prices that a relay publishes.
struct relay_pricing {
  price_table prices;  ///< of all models in the list; models that were left out are unknown
  std::string group_ratio = "1";  ///< as written
  models_left_out left_out;
};

/// Reads new-api's answer to GET /api/pricing: {"success", "data": [{"model_name", "quota_type",
/// "model_ratio", "completion_ratio", "cache_ratio", "enable_groups", …}], "group_ratio": {GROUP:
/// RATIO}, "usable_group": {GROUP: WORDS}}.
///
/// A call uses (prompt − cached + cached·cache_ratio + completion·completion_ratio) · model_ratio ·
/// group_ratio of the quota. So a token costs model_ratio · group_ratio / quota_per_unit USD: with
/// the usual 500000, 2 USD per million tokens at ratio 1. This is the formula of the billing code,
/// which does not use dollars. A relay that sells a different quota for 1 USD charges other prices,
/// although its own price page shows 2 USD. Without a cache_ratio, cached tokens cost the input
/// price; without a completion_ratio, the output price is unknown. Ratios are read as decimals, as
/// written. Each product is rounded up once, to 1e-18 USD, because relays print binary fractions
/// (0.30000000000000004), and refusing those would leave most models without a price. The relay
/// rounds each call to its quota unit, with at least one unit; no price per token can express that.
///
/// Without a group_ratio, the ratio of every group is 1. A group that is not in the answer is an
/// error. An answer without a login contains only the groups that everyone may use, so private
/// groups are missing.
///
/// The error is a sentence without its subject. It may be shown to the user after any key in the
/// relay's words is redacted. Pure.
boost::system::result<relay_pricing, std::string> read_relay_pricing(
    std::string_view document, const relay_pricing_options& options = {});

}  // namespace sluice
