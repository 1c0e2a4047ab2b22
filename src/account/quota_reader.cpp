#include "account/quota_reader.hpp"

#include <algorithm>
#include <boost/algorithm/string/predicate.hpp>
#include <initializer_list>

#include "account/lenient_values.hpp"
#include "openai/vendor_errors.hpp"

namespace sluice::account {
namespace {

const usd no_limit = *usd::parse("100000000");

usd hundredth(usd amount) {
  return usd::from_units(amount.count() / 100);
}

// An empty object if the relay refuses.
json_object read_answer(std::string_view body) {
  json_object answer = json_object::parse(body);
  return is_refusal(answer) ? json_object() : answer;
}

// 0 and less mean never. Some relays use milliseconds.
std::optional<std::int64_t> read_expiry(const json_object& answer, std::string_view name) {
  constexpr std::int64_t last_second = 100'000'000'000;  // in the year 5138
  const auto moment = integer_of(answer, name);
  if (!moment || *moment <= 0) return std::nullopt;
  return *moment < last_second ? *moment : *moment / 1000;
}

// Computes the third amount from two others.
void complete(quota& told, const site_units& units) {
  if (told.unlimited) told.granted = told.remaining = std::nullopt;
  auto& [source, granted, used, remaining, unlimited, expires_at, status] = told;
  const auto minus = [](usd from, usd amount) { return from -= amount; };
  if (!unlimited && !remaining && granted && used) remaining = minus(*granted, *used);
  if (!unlimited && !granted && remaining && used) granted = *remaining + *used;
  if (!unlimited && !used && granted && remaining) used = minus(*granted, *remaining);
  for (auto* amount : {&granted, &used, &remaining}) {
    if (*amount) *amount = units.rounded(**amount);
  }
}

// OpenAI's own format: the costs of each day by kind, in cents.
std::optional<usd> sum_of_days(const json_object& usage) {
  const auto days = json_elements(usage.value("daily_costs"));
  if (!days) return std::nullopt;
  usd::units sum = 0;
  for (const auto day : *days) {
    const auto items = json_elements(json_object(day).value("line_items"));
    if (!items) return std::nullopt;
    for (const auto item : *items) {
      const usd spent = amount_of(json_object(item), "cost").value_or(usd{});
      if (__builtin_add_overflow(sum, spent.count(), &sum)) return std::nullopt;
    }
  }
  return usd::from_units(sum);
}

}  // namespace

std::string_view to_string(quota_source source) noexcept {
  switch (source) {
    case quota_source::billing:
      return "billing";
    case quota_source::token_usage:
      return "token_usage";
    case quota_source::credit_grants:
      return "credit_grants";
  }
  return "unknown";
}

std::string_view to_string(key_status status) noexcept {
  switch (status) {
    case key_status::active:
      return "active";
    case key_status::exhausted:
      return "exhausted";
    case key_status::expired:
      return "expired";
    case key_status::disabled:
      return "disabled";
  }
  return "unknown";
}

bool subscription::is_unlimited() const {
  return hard_limit >= no_limit;
}

std::optional<subscription> read_subscription(std::string_view body) {
  const json_object answer = read_answer(body);
  auto limit = amount_of(answer, "hard_limit_usd");
  if (!limit) limit = amount_of(answer, "system_hard_limit_usd");
  if (!limit) return std::nullopt;
  return subscription{*limit, read_expiry(answer, "access_until")};
}

std::optional<usd> read_total_usage(std::string_view body) {
  const json_object answer = read_answer(body);
  const auto total = amount_of(answer, "total_usage");
  return total ? total : sum_of_days(answer);
}

std::optional<quota> read_token_usage(std::string_view body, const site_units& units) {
  const json_object token = read_answer(body).object("data");
  const auto amount = [&](std::string_view name) -> std::optional<usd> {
    const auto raw = amount_of(token, name);
    if (!raw) return std::nullopt;
    return units.from_quota(*raw);
  };
  quota told;
  told.source = quota_source::token_usage;
  told.granted = amount("total_granted");
  told.used = amount("total_used");
  told.remaining = amount("total_available");
  told.unlimited = flag_of(token, "unlimited_quota").value_or(false);
  told.expires_at = read_expiry(token, "expires_at");
  if (!told.granted && !told.remaining && !told.unlimited) return std::nullopt;
  complete(told, units);
  return told;
}

std::optional<quota> read_credit_grants(std::string_view body, const site_units& units) {
  const json_object answer = read_answer(body);
  quota told;
  told.source = quota_source::credit_grants;
  told.granted = amount_of(answer, "total_granted");
  told.used = amount_of(answer, "total_used");
  told.remaining = amount_of(answer, "total_available");
  if (!told.remaining) told.remaining = amount_of(answer, "total_remaining");
  told.expires_at = read_expiry(answer, "expires_at");
  if (!told.granted && !told.remaining) return std::nullopt;
  complete(told, units);
  return told;
}

quota billing_quota(const subscription& granted, const std::optional<usd>& total_usage,
                    const site_units& units) {
  quota told;
  told.granted = units.from_shown(granted.hard_limit);
  if (total_usage) told.used = units.from_shown(hundredth(*total_usage));
  told.unlimited = granted.is_unlimited();
  told.expires_at = granted.expires_at;
  complete(told, units);
  return told;
}

std::optional<key_status> told_status(const openai::error_body& refusal) {
  // The status of these answers says nothing: relays refuse with any status, even 200.
  constexpr int refused = 401;
  if (openai::meaning_of(refusal, refused) == openai::error_meaning::spent) {
    return key_status::exhausted;
  }
  const auto says = [&](std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(), [&](std::string_view word) {
      return boost::algorithm::icontains(refusal.message, word);
    });
  };
  if (says({"额度已耗尽", "quota is exhausted", "quota has been exhausted", "quota exhausted",
            "quota is used up"})) {
    return key_status::exhausted;
  }
  if (says({"令牌已过期", "token has expired", "token is expired", "key has expired"})) {
    return key_status::expired;
  }
  if (says({"令牌状态不可用", "令牌已被禁用", "token status is unavailable", "token is disabled",
            "token has been disabled"})) {
    return key_status::disabled;
  }
  return std::nullopt;
}

key_status status_at(const quota& told, double now_unix) {
  if (told.expires_at && static_cast<double>(*told.expires_at) <= now_unix) {
    return key_status::expired;
  }
  if (!told.unlimited && told.remaining && *told.remaining <= usd{}) return key_status::exhausted;
  return key_status::active;
}

}  // namespace sluice::account
