#include "simulator/account_api.hpp"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace sluice::simulator {
namespace {

using json_object = nlohmann::ordered_json;

constexpr std::int64_t quota_per_dollar = 500'000;
constexpr std::int64_t no_limit_usd = 100'000'000;
constexpr std::int64_t consumption = 2;  // the `type` of a log row

script reply_of(const json_object& document, int status = 200) {
  return json_reply(status, document.dump(-1, ' ', false, json_object::error_handler_t::replace));
}

/// Rounds to the nearest quota unit, in which relays of the one-api family store money.
std::int64_t quota_of(usd amount) {
  constexpr int128 unit = 1'000'000'000'000 / quota_per_dollar;
  const int128 half = amount.units < 0 ? -unit / 2 : unit / 2;
  return static_cast<std::int64_t>((amount.units + half) / unit);
}

/// A quota in dollars. Relays of this family use a binary fraction here.
double dollars_of(std::int64_t quota) {
  return static_cast<double>(quota) / static_cast<double>(quota_per_dollar);
}

/// A price as a number. Prices have few digits, so a double is exact enough.
double number_of(usd amount) {
  return static_cast<double>(amount.units) / 1e12;
}

/// The state of an account, in quota units.
struct statement {
  std::int64_t used = 0;
  std::int64_t remaining = 0;
  bool unlimited = false;

  statement(const ledger& book, std::size_t account)
      : used(quota_of(book.charged(account))),
        remaining(book.balance(account) ? quota_of(*book.balance(account)) - used : 0),
        unlimited(!book.balance(account)) {}

  bool spent() const { return !unlimited && remaining <= 0; }
};

json_object model_entry(software kind, const std::string& id) {
  json_object entry{
      {"id", id}, {"object", "model"}, {"created", 1626777600}, {"owned_by", "simulator"}};
  if (kind == software::one_api || kind == software::old_new_api) {
    entry["permission"] = json_object::array();
    entry["root"] = id;
    entry["parent"] = nullptr;
  } else if (kind == software::new_api) {
    entry["supported_endpoint_types"] = {"openai"};
  }
  return entry;
}

json_object log_entry(const log_row& row) {
  return {{"created_at", row.unix_time},
          {"type", consumption},
          {"content", ""},
          {"token_name", "simulated"},
          {"model_name", row.model},
          {"quota", quota_of(row.cost)},
          {"prompt_tokens", row.tokens.prompt},
          {"completion_tokens", row.tokens.completion},
          {"use_time", std::chrono::round<std::chrono::seconds>(row.took).count()},
          {"is_stream", row.streamed},
          {"channel", 1},
          {"group", "default"},
          {"other", json_object{{"group_ratio", 1}, {"cache_tokens", row.tokens.cached}}.dump()}};
}

json_object price_entry(const std::string& model, const price& price) {
  // Ratio 1 means 2 USD per million tokens, so 0.000002 USD per token.
  constexpr double ratio_one = 2e-6;
  const auto over_input = [&](usd amount) {
    return price.input.units == 0 ? 0.0 : number_of(amount) / number_of(price.input);
  };
  return {{"model_name", model},
          {"quota_type", 0},
          {"model_ratio", number_of(price.input) / ratio_one},
          {"model_price", 0},
          {"owner_by", "simulator"},
          {"completion_ratio", over_input(price.output)},
          {"cache_ratio", over_input(price.cached_input)},
          {"enable_groups", {"default"}}};
}

}  // namespace

bool critical_route_limit::admit(time_point now) {
  constexpr std::size_t most = 20;
  constexpr std::chrono::minutes span{20};
  while (!admitted_.empty() && now - admitted_.front() >= span) admitted_.pop_front();
  if (admitted_.size() == most) return false;
  admitted_.push_back(now);
  return true;
}

std::optional<script> account_api::answer(const account_request& request) {
  constexpr std::string_view version = "/v1";
  constexpr std::string_view one = "/v1/models/";
  if (request.path == "/v1/models") return models(request);
  if (request.path.starts_with(one)) return one_model(request, request.path.substr(one.size()));

  auto dashboard = request.path;
  if (dashboard.starts_with(version)) dashboard.remove_prefix(version.size());
  if (kind_ != software::api2gpt) {
    if (dashboard == "/dashboard/billing/subscription") return subscription(request);
    if (dashboard == "/dashboard/billing/usage") return usage(request);
  }
  if (is_openai()) {
    if (dashboard == "/dashboard/billing/credit_grants") return credit_grants(request);
    return std::nullopt;
  }
  if (request.path == "/api/status") return site_status();
  if (kind_ == software::one_api) return std::nullopt;
  if (request.path == "/api/pricing") return pricing(request.unix_now);
  if (request.path == "/api/log/token") return token_log(request);
  if (kind_ == software::old_new_api) return std::nullopt;
  if (request.path == "/api/usage/token/") return token_usage(request);
  if (request.path == "/api/usage/token") {
    auto redirect = json_reply(301, "");
    redirect.extra_headers = "Location: /api/usage/token/\r\n";
    return redirect;
  }
  return std::nullopt;
}

std::optional<script> account_api::refusal(const account_request& request,
                                           bool refuse_spent) const {
  if (is_openai()) {
    if (request.account) return std::nullopt;
    return error_reply(
        {401, "Incorrect API key provided.", "invalid_api_key", "invalid_request_error"},
        request.request_id);
  }
  const char* const type = kind_ == software::one_api ? "one_api_error" : "new_api_error";
  std::string_view words;
  if (!request.account) {
    words = request.has_key ? "无效的令牌" : "未提供令牌";
  } else if (refuse_spent && statement(book_, *request.account).spent()) {
    words = kind_ == software::new_api ? "无效的令牌" : "该令牌额度已用尽";
  }
  if (words.empty()) return std::nullopt;
  return error_reply({401, std::string(words), "", type}, request.request_id);
}

/// The refusal of a bad key on the token routes, which accept keys without money.
std::optional<script> account_api::refusal_of_lookup(const account_request& request) const {
  if (request.account) return std::nullopt;
  const char* const words = request.has_key ? "无效的令牌" : "未提供令牌";
  return reply_of({{"success", false}, {"message", words}}, 401);
}

script account_api::subscription(const account_request& request) const {
  if (auto error = refusal(request, true)) return *std::move(error);
  const statement account(book_, *request.account);
  const double granted = account.unlimited ? static_cast<double>(no_limit_usd)
                                           : dollars_of(account.remaining + account.used);
  return reply_of({{"object", "billing_subscription"},
                   {"has_payment_method", true},
                   {"soft_limit_usd", granted},
                   {"hard_limit_usd", granted},
                   {"system_hard_limit_usd", granted},
                   {"access_until", 0}});
}

script account_api::usage(const account_request& request) const {
  if (auto error = refusal(request, true)) return *std::move(error);
  const double cents = dollars_of(statement(book_, *request.account).used) * 100;
  json_object document{{"object", "list"}, {"total_usage", cents}};
  if (kind_ == software::openai) {
    const json_object item{{"name", "Inference"}, {"cost", cents}};
    document["daily_costs"] = json_object::array(
        {{{"timestamp", request.unix_now}, {"line_items", json_object::array({item})}}});
  }
  return reply_of(document);
}

script account_api::credit_grants(const account_request& request) const {
  if (auto error = refusal(request, false)) return *std::move(error);
  const statement account(book_, *request.account);
  const double granted = account.unlimited ? static_cast<double>(no_limit_usd)
                                           : dollars_of(account.remaining + account.used);
  const char* const left = kind_ == software::api2gpt ? "total_remaining" : "total_available";
  return reply_of({{"object", "credit_summary"},
                   {"total_granted", granted},
                   {"total_used", dollars_of(account.used)},
                   {left, granted - dollars_of(account.used)}});
}

script account_api::token_usage(const account_request& request) {
  if (!critical_.admit(request.now)) return json_reply(429, "");
  if (auto error = refusal_of_lookup(request)) return *std::move(error);
  const statement account(book_, *request.account);
  return reply_of({{"code", true},
                   {"message", "ok"},
                   {"data",
                    {{"object", "token_usage"},
                     {"name", "simulated"},
                     {"total_granted", account.remaining + account.used},
                     {"total_used", account.used},
                     {"total_available", account.remaining},
                     {"unlimited_quota", account.unlimited},
                     {"model_limits", json_object::object()},
                     {"model_limits_enabled", false},
                     {"expires_at", 0}}}});
}

script account_api::token_log(const account_request& request) {
  // The old version does not read the header. It needs the key in the query, where logs show it.
  if (kind_ == software::old_new_api) {
    return reply_of({{"success", false}, {"message", "record not found"}});
  }
  if (!critical_.admit(request.now)) return json_reply(429, "");
  if (auto error = refusal_of_lookup(request)) return *std::move(error);
  auto rows = json_object::array();
  for (const auto& row : book_.log(*request.account)) rows.push_back(log_entry(row));
  return reply_of({{"success", true}, {"message", ""}, {"data", std::move(rows)}});
}

script account_api::models(const account_request& request) const {
  if (auto error = refusal(request, true)) return *std::move(error);
  json_object document;
  if (kind_ == software::new_api || kind_ == software::old_new_api) document["success"] = true;
  if (kind_ != software::old_new_api) document["object"] = "list";
  auto& data = document["data"] = json_object::array();
  for (const auto& [model, price] : prices_.models()) data.push_back(model_entry(kind_, model));
  return reply_of(document);
}

script account_api::one_model(const account_request& request, std::string_view model) const {
  if (auto error = refusal(request, true)) return *std::move(error);
  if (prices_.find(model) == nullptr) {
    // Relays answer 200 here too.
    return error_reply(
        {is_openai() ? 404 : 200, fmt::format("The model '{}' does not exist", model),
         "model_not_found", "invalid_request_error"},
        request.request_id);
  }
  return reply_of(model_entry(kind_, std::string(model)));
}

script account_api::site_status() const {
  json_object site{{"version", "v0.0.0"},
                   {"system_name", "sluice simulate"},
                   {"quota_per_unit", quota_per_dollar},
                   {"display_in_currency", true}};
  if (kind_ == software::new_api) {
    site["quota_display_type"] = "USD";
    site["usd_exchange_rate"] = 7.3;
  }
  return reply_of({{"success", true}, {"message", ""}, {"data", std::move(site)}});
}

script account_api::pricing(std::int64_t unix_now) const {
  auto list = json_object::array();
  for (const auto& [model, usual] : prices_.models())
    list.push_back(price_entry(model, prices_.at(model, 0, unix_now).value_or(usual)));
  return reply_of({{"success", true},
                   {"data", std::move(list)},
                   {"group_ratio", {{"default", 1}}},
                   {"usable_group", {{"default", "default"}}}});
}

}  // namespace sluice::simulator
