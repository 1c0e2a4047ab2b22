#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "account/site_units.hpp"
#include "openai/error_body.hpp"
#include "sluice/money.hpp"

namespace sluice::account {

/// Which of a relay's routes told the quota.
enum class quota_source : std::uint8_t {
  billing,        ///< /dashboard/billing/subscription and /dashboard/billing/usage
  token_usage,    ///< /api/usage/token/
  credit_grants,  ///< /dashboard/billing/credit_grants
};
std::string_view to_string(quota_source source) noexcept;

enum class key_status : std::uint8_t { active, exhausted, expired, disabled };
std::string_view to_string(key_status status) noexcept;

/// What a key may spend. Amounts are exact, and nothing where the relay does not tell them.
struct quota {
  quota_source source = quota_source::billing;
  std::optional<usd> granted = {};
  std::optional<usd> used = {};
  std::optional<usd> remaining = {};  ///< below zero where the relay let a call through too many
  bool unlimited = false;             ///< nothing is granted, and nothing remains
  std::optional<std::int64_t> expires_at = {};  ///< in seconds since the epoch; nothing: never
  key_status status = key_status::active;
};

/// GET …/dashboard/billing/subscription.
struct subscription {
  usd hard_limit;  ///< all that was ever granted, as the site shows money
  std::optional<std::int64_t> expires_at;

  /// The limit is what stands for none: 100,000,000, whatever the site shows.
  bool is_unlimited() const;
};

// Each is nothing when the body is no such document: an error, with whatever status, or a page.
std::optional<subscription> read_subscription(std::string_view body);
/// GET …/dashboard/billing/usage: what was used, in hundredths of what the site shows.
std::optional<usd> read_total_usage(std::string_view body);
std::optional<quota> read_token_usage(std::string_view body, const site_units& units);
std::optional<quota> read_credit_grants(std::string_view body, const site_units& units);

/// Subscription and usage together; without a usage what remains is not known.
quota billing_quota(const subscription& granted, const std::optional<usd>& total_usage,
                    const site_units& units);

/// What a refusal of an account page says of the key: most relays tell it in words alone, and the
/// newest not at all. Beside the errors that requests get, it knows words that mean the key only
/// here: in the reply to a request they may also speak of the quota of a minute. Nothing when the
/// refusal says nothing of the key.
std::optional<key_status> told_status(const openai::error_body& refusal);

/// The status that follows from amounts and expiry.
key_status status_at(const quota& told, double now_unix);

}  // namespace sluice::account
