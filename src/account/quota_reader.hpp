#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "account/site_units.hpp"
#include "openai/error_body.hpp"
#include "sluice/money.hpp"

namespace sluice::account {

/// The route of a relay that reported the quota.
enum class quota_source : std::uint8_t {
  billing,        ///< /dashboard/billing/subscription and /dashboard/billing/usage
  token_usage,    ///< /api/usage/token/
  credit_grants,  ///< /dashboard/billing/credit_grants
};
std::string_view to_string(quota_source source) noexcept;

enum class key_status : std::uint8_t { active, exhausted, expired, disabled };
std::string_view to_string(key_status status) noexcept;

/// What a key may spend. Amounts are exact; nullopt: the relay does not report it.
struct quota {
  quota_source source = quota_source::billing;
  std::optional<usd> granted = {};
  std::optional<usd> used = {};
  /// Below zero if the relay allowed more calls than the key could pay.
  std::optional<usd> remaining = {};
  bool unlimited = false;  ///< no limit; then `granted` and `remaining` are not set
  std::optional<std::int64_t> expires_at = {};  ///< seconds since the epoch; nullopt: never
  key_status status = key_status::active;
};

/// The answer to GET …/dashboard/billing/subscription.
struct subscription {
  usd hard_limit;  ///< everything that was ever granted, in the unit in which the site shows money
  std::optional<std::int64_t> expires_at;

  /// The limit has the value that means no limit: 100,000,000 in any unit.
  bool is_unlimited() const;
};

// Each function returns nullopt if the body is not such a document, but for example an error (with
// any status) or a web page.
std::optional<subscription> read_subscription(std::string_view body);
/// The answer to GET …/dashboard/billing/usage: the amount used, in hundredths of the unit that the
/// site shows.
std::optional<usd> read_total_usage(std::string_view body);
std::optional<quota> read_token_usage(std::string_view body, const site_units& units);
std::optional<quota> read_credit_grants(std::string_view body, const site_units& units);

/// Combines subscription and usage. Without a usage, the remaining amount is not known.
quota billing_quota(const subscription& granted, const std::optional<usd>& total_usage,
                    const site_units& units);

/// The status of the key according to a refusal of an account page. Most relays say it only in the
/// message, and the newest not at all. In addition to the errors of normal requests, this knows
/// messages that mean the key only here; in the answer to a request they could also mean a quota
/// per minute. nullopt: the refusal says nothing about the key.
std::optional<key_status> told_status(const openai::error_body& refusal);

/// The status that follows from the amounts and the expiry.
key_status status_at(const quota& told, double now_unix);

}  // namespace sluice::account
