#include "simulator/account_api.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "money/price_data.hpp"

namespace sluice::simulator {
namespace {

using nlohmann::json;

constexpr time_point start{std::chrono::hours(1)};

/// An account with 0.01 USD and one billed call.
struct account {
  explicit account(software kind, const char* spent = "0.002", const char* balance = "0.01")
      : book(with_balance(balance)), api(kind, book, prices) {
    attempt call;
    call.model = "gpt-4o";
    call.streamed = true;
    call.unix_time = 1'700'000'000;
    call.took = std::chrono::milliseconds(2600);
    book.charge(call, {200, 50, 100, 0}, *usd::parse(spent));
    book.finish(call, "200", true);
  }
  static options with_balance(const char* balance) {
    options result;
    if (balance != nullptr) result.balance = usd::parse(balance);
    return result;
  }

  std::optional<script> ask(std::string_view path, bool known = true, time_point now = start) {
    account_request request;
    request.path = path;
    request.has_key = true;
    if (known) request.account = 0;
    request.request_id = "id";
    request.now = now;
    return api.answer(request);
  }
  json document(std::string_view path) { return json::parse(ask(path)->body); }
  int status(std::string_view path, bool known = true) {
    const auto reply = ask(path, known);
    return reply ? reply->status : 0;
  }
  std::string words(std::string_view path) {
    return document(path)["error"]["message"].get<std::string>();
  }

  ledger book;
  price_list prices{price_table_json()};
  account_api api;
};

constexpr const char* subscription = "/v1/dashboard/billing/subscription";
constexpr const char* usage = "/v1/dashboard/billing/usage";
constexpr const char* token_usage_route = "/api/usage/token/";
constexpr software all_software[] = {software::new_api, software::old_new_api, software::one_api,
                                     software::openai, software::api2gpt};

TEST(AccountApi, BillingReportsTheGrantAndTheUsageInCents) {
  for (const auto kind : all_software) {
    if (kind == software::api2gpt) continue;
    account of(kind);
    for (const std::string prefix : {"/v1", ""}) {
      const auto granted = of.document(prefix + "/dashboard/billing/subscription");
      EXPECT_EQ(granted["hard_limit_usd"], 0.01);
      EXPECT_EQ(granted["access_until"], 0);
      EXPECT_EQ(of.document(prefix + "/dashboard/billing/usage")["total_usage"], 0.2);
    }
  }
}

TEST(AccountApi, WithoutABalanceTheGrantIsAHundredMillion) {
  account of(software::one_api, "0.002", nullptr);
  EXPECT_EQ(of.document(subscription)["hard_limit_usd"], 100'000'000);
  account newest(software::new_api, "0.002", nullptr);
  EXPECT_EQ(newest.document(token_usage_route)["data"]["unlimited_quota"], true);
}

TEST(AccountApi, EachSoftwareHasItsOwnRoutes) {
  const struct {
    const char* path;
    const char* who;  ///< a letter per entry of all_software; y: the answer is a 200
  } rows[] = {
      {subscription, "yyyy-"},
      {usage, "yyyy-"},
      {"/dashboard/billing/credit_grants", "---yy"},
      {token_usage_route, "y----"},
      {"/api/log/token", "yy---"},
      {"/api/status", "yyy--"},
      {"/api/pricing", "yy---"},
      {"/v1/models", "yyyyy"},
      {"/v1/models/gpt-4o", "yyyyy"},
      {"/api/user/self", "-----"},
  };
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < std::size(all_software); ++i) {
      account of(all_software[i]);
      EXPECT_EQ(of.status(row.path), row.who[i] == 'y' ? 200 : 0) << row.path << " " << i;
    }
  }
}

TEST(AccountApi, TheTokenRouteCountsQuotaUnits) {
  account of(software::new_api);
  const auto document = of.document(token_usage_route);
  EXPECT_EQ(document["code"], true);
  EXPECT_EQ(document["data"]["total_granted"], 5000);
  EXPECT_EQ(document["data"]["total_used"], 1000);
  EXPECT_EQ(document["data"]["total_available"], 4000);
  const auto without_slash = of.ask("/api/usage/token");
  EXPECT_EQ(without_slash->status, 301);
  EXPECT_EQ(without_slash->extra_headers, "Location: /api/usage/token/\r\n");
}

TEST(AccountApi, ASpentKeyIsRefusedByBillingButNotByTheTokenRoute) {
  account newest(software::new_api, "0.01");
  EXPECT_EQ(newest.status(subscription), 401);
  EXPECT_EQ(newest.words(subscription), "无效的令牌 (request id: id)") << "it does not say why";
  EXPECT_EQ(newest.status("/v1/models"), 401);
  EXPECT_EQ(newest.document(token_usage_route)["data"]["total_available"], 0);
  EXPECT_EQ(newest.document("/api/log/token")["data"].size(), 1U);
  account older(software::one_api, "0.02");
  EXPECT_EQ(older.words(usage), "该令牌额度已用尽 (request id: id)");
  account openai(software::openai, "0.01");
  EXPECT_EQ(openai.document("/dashboard/billing/credit_grants")["total_available"], 0);
}

TEST(AccountApi, AnUnknownKeyIsRefusedEverywhere) {
  for (const auto kind : all_software) {
    account of(kind);
    for (const char* path : {subscription, usage, "/dashboard/billing/credit_grants",
                             token_usage_route, "/v1/models"}) {
      const int status = of.status(path, false);
      EXPECT_TRUE(status == 401 || status == 0) << path;
    }
    EXPECT_EQ(of.status("/v1/models", false), 401);
  }
}

TEST(AccountApi, TokenRoutesShareALimitOfTwentyInTwentyMinutes) {
  account of(software::new_api);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(of.status(token_usage_route), 200);
    EXPECT_EQ(of.status("/api/log/token"), 200);
  }
  const auto refused = of.ask(token_usage_route);
  EXPECT_EQ(refused->status, 429);
  EXPECT_EQ(refused->body, "");
  EXPECT_EQ(of.status("/api/log/token"), 429);
  EXPECT_EQ(of.status(subscription), 200) << "this route has no limit";
  EXPECT_EQ(of.ask(token_usage_route, true, start + std::chrono::minutes(20))->status, 200);
}

TEST(AccountApi, TheLogContainsBilledCalls) {
  account of(software::new_api);
  const auto rows = of.document("/api/log/token")["data"];
  ASSERT_EQ(rows.size(), 1U);
  const auto& row = rows.front();
  EXPECT_EQ(row["type"], 2);
  EXPECT_EQ(row["model_name"], "gpt-4o");
  EXPECT_EQ(row["quota"], 1000);
  EXPECT_EQ(row["prompt_tokens"], 200);
  EXPECT_EQ(row["completion_tokens"], 100);
  EXPECT_EQ(row["use_time"], 3);
  EXPECT_EQ(row["is_stream"], true);
  EXPECT_EQ(row["created_at"], 1'700'000'000);
  EXPECT_EQ(json::parse(row["other"].get<std::string>())["cache_tokens"], 50);
  account old(software::old_new_api);
  EXPECT_EQ(old.document("/api/log/token")["success"], false) << "it needs the key in the query";
}

TEST(AccountApi, ModelListsHaveTheFormatOfTheirSoftware) {
  EXPECT_TRUE(account(software::new_api).document("/v1/models")["success"]);
  EXPECT_EQ(account(software::new_api).document("/v1/models")["object"], "list");
  EXPECT_FALSE(account(software::old_new_api).document("/v1/models").contains("object"));
  EXPECT_FALSE(account(software::one_api).document("/v1/models").contains("success"));
  account of(software::one_api);
  EXPECT_EQ(of.document("/v1/models")["data"].size(), of.prices.models().size());
  EXPECT_EQ(of.status("/v1/models/no-such"), 200) << "as such relays do";
  EXPECT_EQ(of.document("/v1/models/no-such")["error"]["code"], "model_not_found");
  EXPECT_EQ(account(software::openai).status("/v1/models/no-such"), 404);
}

TEST(AccountApi, PricesAreRatios) {
  account of(software::new_api);
  const auto document = of.document("/api/pricing");
  for (const auto& row : document["data"]) {
    if (row["model_name"] != "gpt-4o") continue;
    EXPECT_DOUBLE_EQ(row["model_ratio"].get<double>(), 1.25);
    EXPECT_DOUBLE_EQ(row["completion_ratio"].get<double>(), 4);
    EXPECT_DOUBLE_EQ(row["cache_ratio"].get<double>(), 0.5);
    return;
  }
  FAIL() << "gpt-4o has no price";
}

TEST(AccountApi, ThePriceListHasThePricesOfTheHour) {
  account of(software::new_api);
  const auto input_ratio = [&](std::int64_t unix_now) -> double {
    account_request request;
    request.path = "/api/pricing";
    request.unix_now = unix_now;
    const auto document = json::parse(of.api.answer(request)->body);
    for (const auto& row : document["data"])
      if (row["model_name"] == "deepseek-v4-pro") return row["model_ratio"];
    return 0;
  };
  EXPECT_DOUBLE_EQ(input_ratio(1'795'608'000), 0.33) << "a Wednesday, 12:00 UTC";
  EXPECT_DOUBLE_EQ(input_ratio(1'795'572'000), 0.66) << "02:00 UTC, at its peak";
}

TEST(Software, Names) {
  EXPECT_EQ(parse_software("one-api"), software::one_api);
  EXPECT_EQ(parse_software("api2gpt"), software::api2gpt);
  EXPECT_FALSE(parse_software("One-API"));
  EXPECT_FALSE(parse_software(""));
}

}  // namespace
}  // namespace sluice::simulator
