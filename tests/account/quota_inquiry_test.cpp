#include "account/quota_inquiry.hpp"

#include <gmock/gmock.h>

#include "account/balance.hpp"
#include "support/asked_site.hpp"

namespace sluice::account {
namespace {

using testing::ElementsAre;

const std::string host = "https://api.openai.com";
const std::string subscription_path = "/dashboard/billing/subscription";
const std::string usage_path = "/dashboard/billing/usage";
const std::string grants_path = "/dashboard/billing/credit_grants";
const std::string token_path = "/api/usage/token/";
const std::string status_path = "/api/status";
const std::string page = "<html><title>Relay</title></html>";

std::string refused(const std::string& words) {
  return R"({"error":{"message":")" + words + R"(","type":"new_api_error","code":""}})";
}
std::string token_usage(int granted, int used, int expires_at = 0) {
  return R"({"code":true,"data":{"total_granted":)" + std::to_string(granted) +
         R"(,"total_used":)" + std::to_string(used) + R"(,"total_available":)" +
         std::to_string(granted - used) + R"(,"unlimited_quota":false,"expires_at":)" +
         std::to_string(expires_at) + "}}";
}

struct quota_inquiry_test : testing::Test {
  std::optional<quota> ask() {
    relay_inquiry relay(site.client, site.options);
    quota_inquiry inquiry(relay, site.time);
    auto told = site.run(inquiry.ask());
    said = inquiry.answers();
    trouble = inquiry.trouble();
    return told;
  }
  void has_billing(const std::string& prefix, const std::string& limit, const std::string& cents) {
    site.has(prefix + subscription_path, R"({"hard_limit_usd":)" + limit + "}");
    site.has(prefix + usage_path, R"({"total_usage":)" + cents + "}");
  }
  void refuses_billing(const std::string& words) {
    site.has("/v1" + subscription_path, refused(words), 401);
  }
  std::string remaining_of(const std::optional<quota>& told) {
    return told && told->remaining ? told->remaining->to_string() : "-";
  }

  test::asked_site site;
  std::vector<std::string> said;
  exchange_end::how trouble = exchange_end::how::complete;
};

TEST_F(quota_inquiry_test, billing_is_enough) {
  has_billing("/v1", "20", "750");
  const auto told = ask();
  EXPECT_EQ(remaining_of(told), "12.5");
  EXPECT_EQ(told->source, quota_source::billing);
  EXPECT_EQ(told->status, key_status::active);
  EXPECT_THAT(site.asked, ElementsAre("/v1" + subscription_path, "/v1" + usage_path, status_path));
}

TEST_F(quota_inquiry_test, the_usage_is_asked_for_a_hundred_days) {
  has_billing("/v1", "20", "750");
  ask();
  EXPECT_EQ(site.client.calls[1].path,
            "/v1" + usage_path + "?start_date=2023-08-08&end_date=2023-11-15");
}

TEST_F(quota_inquiry_test, billing_may_hang_beside_v1) {
  has_billing("", "20", "750");
  EXPECT_EQ(remaining_of(ask()), "12.5");
  site.has("/v1" + subscription_path, page);
  EXPECT_EQ(remaining_of(ask()), "12.5") << "a page in a success is no billing";
}

TEST_F(quota_inquiry_test, amounts_are_in_what_the_site_shows) {
  has_billing("/v1", "5000000", "100000000");
  site.has(status_path, R"({"success":true,"data":{"display_in_currency":false}})");
  EXPECT_EQ(remaining_of(ask()), "8");
}

TEST_F(quota_inquiry_test, a_hundred_million_quota_units_may_be_money) {
  has_billing("/v1", "100000000", "100");
  site.has(status_path, R"({"success":true,"data":{"display_in_currency":false}})");
  EXPECT_TRUE(ask()->unlimited) << "nobody says otherwise";
  site.has(token_path, token_usage(100'000'000, 1));
  const auto told = ask();
  EXPECT_FALSE(told->unlimited);
  EXPECT_EQ(remaining_of(told), "199.999998");
}

TEST_F(quota_inquiry_test, an_exhausted_key_is_refused_here_and_told_there) {
  refuses_billing("该令牌额度已用尽");
  site.has(token_path, token_usage(1000, 1000));
  const auto told = ask();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->source, quota_source::token_usage);
  EXPECT_EQ(told->granted->to_string(), "0.002");
  EXPECT_EQ(told->status, key_status::exhausted);
}

TEST_F(quota_inquiry_test, an_exhausted_key_is_an_answer_where_nothing_else_tells) {
  refuses_billing("该令牌额度已用尽");
  const auto told = ask();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->status, key_status::exhausted);
  EXPECT_EQ(remaining_of(told), "0");
  EXPECT_FALSE(told->granted);
}

TEST_F(quota_inquiry_test, the_newest_hide_why_a_key_is_refused) {
  refuses_billing("无效的令牌");
  EXPECT_FALSE(ask()) << "it may be a wrong one";
  site.has(token_path, token_usage(1000, 1000));
  EXPECT_EQ(ask()->status, key_status::exhausted);
  site.has(token_path, token_usage(1000, 1, 1'600'000'000));
  EXPECT_EQ(ask()->status, key_status::expired);
  site.has(token_path, token_usage(1000, 1));
  EXPECT_EQ(ask()->status, key_status::disabled) << "it has money and time left";
}

TEST_F(quota_inquiry_test, a_disabled_key_is_told_by_its_own_route) {
  refuses_billing("无效的令牌");
  site.has(token_path, R"({"success":false,"message":"该令牌状态不可用"})", 401);
  const auto told = ask();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->status, key_status::disabled);
  EXPECT_FALSE(told->remaining);
}

TEST_F(quota_inquiry_test, a_session_that_is_missing_says_nothing_of_the_key) {
  refuses_billing("must be made with a session key");
  site.has("/v1" + grants_path, R"({"total_granted":5,"total_used":1,"total_available":4})");
  EXPECT_EQ(ask()->status, key_status::active);
}

TEST_F(quota_inquiry_test, credit_grants_come_last) {
  site.has(grants_path, R"({"object":"credit_summary","total_remaining":3.5})");
  const auto told = ask();
  EXPECT_EQ(told->source, quota_source::credit_grants);
  EXPECT_EQ(remaining_of(told), "3.5");
  EXPECT_THAT(site.asked, ElementsAre("/v1" + subscription_path, subscription_path, token_path,
                                      "/v1" + grants_path, grants_path));
}

TEST_F(quota_inquiry_test, a_limit_without_usage_is_better_than_nothing) {
  site.has("/v1" + subscription_path, R"({"hard_limit_usd":20})");
  auto told = ask();
  EXPECT_EQ(told->granted->to_string(), "20");
  EXPECT_EQ(remaining_of(told), "-");
  site.has(token_path, token_usage(1000, 500));
  EXPECT_EQ(remaining_of(ask()), "0.001") << "and worse than all of it";
}

TEST_F(quota_inquiry_test, what_each_route_said_when_none_tells) {
  site.has("/v1" + subscription_path, R"({"error":{"message":"record not found"}})");
  site.has(subscription_path, page);
  site.has(token_path, "", 429);
  EXPECT_FALSE(ask());
  EXPECT_THAT(said, ElementsAre(host + "/v1" + subscription_path + ": 200 (record not found)",
                                host + subscription_path + ": 200, a web page (Relay)",
                                host + token_path + ": 429", host + "/v1" + grants_path + ": 404",
                                host + grants_path + ": 404"));
}

TEST_F(quota_inquiry_test, no_route_is_asked_twice) {
  for (const bool exhausted : {false, true}) {
    site.asked.clear();
    if (exhausted) refuses_billing("该令牌额度已用尽");
    ask();
    std::sort(site.asked.begin(), site.asked.end());
    EXPECT_EQ(std::adjacent_find(site.asked.begin(), site.asked.end()), site.asked.end());
  }
}

TEST_F(quota_inquiry_test, a_relay_that_is_not_there_is_asked_once) {
  site.answers["/v1" + subscription_path] = test::unreachable_plan();
  EXPECT_FALSE(ask());
  EXPECT_EQ(trouble, exchange_end::how::unreachable);
  EXPECT_EQ(site.asked.size(), 1U);
}

TEST_F(quota_inquiry_test, the_log_and_the_words_where_there_is_none) {
  relay_inquiry relay(site.client, site.options);
  quota_inquiry inquiry(relay, site.time);
  EXPECT_FALSE(site.run(inquiry.ask_log()));
  EXPECT_THAT(inquiry.answers(), ElementsAre(host + "/api/log/token: 404"));
  site.has("/api/log/token", R"({"success":true,"data":[{"type":2,"quota":1}]})");
  const auto log = site.run(inquiry.ask_log());
  ASSERT_TRUE(log);
  EXPECT_EQ(log->front().cost->to_string(), "0.000002");
}

struct balance_test : quota_inquiry_test {
  std::optional<usd> balance() {
    return site.run(ask_balance(site.client, site.options, site.time));
  }
};

TEST_F(balance_test, is_what_remains) {
  has_billing("/v1", "20", "750");
  EXPECT_EQ(balance()->to_string(), "12.5");
  EXPECT_EQ(site.asked.size(), 3U);
  has_billing("/v1", "1", "150");
  EXPECT_EQ(balance()->to_string(), "0") << "what is overdrawn is spent";
}

TEST_F(balance_test, is_nothing_where_there_is_no_limit_or_no_word) {
  EXPECT_FALSE(balance());
  EXPECT_EQ(site.asked.size(), 2U);
  has_billing("/v1", "100000000", "150");
  EXPECT_FALSE(balance());
  site.answers["/v1" + subscription_path] = test::unreachable_plan();
  EXPECT_FALSE(balance());
}

TEST_F(balance_test, leaves_the_rationed_route_alone) {
  refuses_billing("该令牌额度已用尽");
  EXPECT_EQ(balance()->to_string(), "0");
  refuses_billing("无效的令牌");
  EXPECT_FALSE(balance());
  EXPECT_THAT(site.asked, testing::Not(testing::Contains(token_path)));
}

}  // namespace
}  // namespace sluice::account
