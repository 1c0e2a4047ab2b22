#include "account/quota_reader.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice::account {
namespace {

std::string text(const std::optional<usd>& amount) {
  return amount ? amount->to_string() : "-";
}

/// The quota as text: "granted/used/remaining" with "-" for an unknown amount, and then the other
/// facts.
std::string in_short(const std::optional<quota>& told) {
  if (!told) return "none";
  std::string all = text(told->granted) + "/" + text(told->used) + "/" + text(told->remaining);
  if (told->unlimited) all += " unlimited";
  if (told->expires_at) all += " until " + std::to_string(*told->expires_at);
  return all;
}

struct billing_row {
  const char* sentence;
  const char* subscription;
  const char* usage;
  const char* status;  ///< the site's status, as JSON; empty: none
  const char* told;
};

TEST(quota_reader, billing_in_every_shape) {
  const billing_row rows[] = {
      {"The limit is all that was ever granted, the usage stands in cents.",
       R"({"object":"billing_subscription","hard_limit_usd":20,"access_until":0})",
       R"({"object":"list","total_usage":750})", "", "20/7.5/12.5"},
      {"What was computed in binary fractions means the nearest quota unit.",
       R"({"hard_limit_usd":0.30000000000000004})", R"({"total_usage":9.999999999999999})", "",
       "0.3/0.1/0.2"},
      {"A quota unit is 0.000002 USD.", R"({"hard_limit_usd":1.000002})",
       R"({"total_usage":0.00020000000000000001})", "", "1.000002/0.000002/1"},
      {"Exponents are numbers.", R"({"hard_limit_usd":1e+02})", R"({"total_usage":4e-04})", "",
       "100/0.000004/99.999996"},
      {"Numbers may be strings.", R"({"hard_limit_usd":"5.00","access_until":"1700000000"})",
       R"({"total_usage":"123"})", "", "5/1.23/3.77 until 1700000000"},
      {"A hundred million is no limit.", R"({"hard_limit_usd":100000000})",
       R"({"total_usage":12.5})", "", "-/0.125/- unlimited"},
      {"A hundred million as a binary fraction, too.", R"({"hard_limit_usd":100000000.0})",
       R"({"total_usage":0})", "", "-/0/- unlimited"},
      {"The relay let through more than there was.", R"({"hard_limit_usd":1})",
       R"({"total_usage":150})", "", "1/1.5/-0.5"},
      {"An amount below zero is one.", R"({"hard_limit_usd":-0.25})", R"({"total_usage":0})", "",
       "-0.25/0/-0.25"},
      {"Without a usage nobody knows what remains.", R"({"hard_limit_usd":1})", R"({"x":1})", "",
       "1/-/-"},
      {"A null usage is none.", R"({"hard_limit_usd":1})", R"({"total_usage":null})", "", "1/-/-"},
      {"A null limit falls back on the system's.",
       R"({"hard_limit_usd":null,"system_hard_limit_usd":3})", R"({"total_usage":100})", "",
       "3/1/2"},
      {"OpenAI's own answer had costs by day, in cents.", R"({"hard_limit_usd":120.0})",
       R"({"daily_costs":[{"timestamp":1.0,"line_items":[{"name":"GPT-4","cost":150.5},)"
       R"({"name":"Audio","cost":0}]},{"timestamp":2.0,"line_items":[{"name":"x","cost":49.5}]}]})",
       "", "120/2/118"},
      {"Where there is a total, it counts.", R"({"hard_limit_usd":10})",
       R"({"total_usage":300,"daily_costs":[{"line_items":[{"cost":1}]}]})", "", "10/3/7"},
      {"Milliseconds are not the year 55000.",
       R"({"hard_limit_usd":1,"access_until":1700000000000})", R"({"total_usage":0})", "",
       "1/0/1 until 1700000000"},
      {"A site may show quota units.", R"({"hard_limit_usd":5000000})",
       R"({"total_usage":100000000})", R"({"data":{"display_in_currency":false}})", "10/2/8"},
      {"Or have another number of them.", R"({"hard_limit_usd":2000})", R"({"total_usage":50000})",
       R"({"data":{"quota_per_unit":1000,"quota_display_type":"TOKENS"}})", "2/0.5/1.5"},
      {"Or show yuan.", R"({"hard_limit_usd":73})", R"({"total_usage":730})",
       R"({"data":{"quota_display_type":"CNY","usd_exchange_rate":7.3}})", "10/1/9"},
      {"The newer word counts before the older.", R"({"hard_limit_usd":10})",
       R"({"total_usage":100})",
       R"({"data":{"quota_display_type":"USD","display_in_currency":false}})", "10/1/9"},
      {"A rate that is none changes nothing.", R"({"hard_limit_usd":10})", R"({"total_usage":100})",
       R"({"data":{"quota_display_type":"CNY","usd_exchange_rate":0}})", "10/1/9"},
  };
  for (const auto& row : rows) {
    const auto granted = read_subscription(row.subscription);
    ASSERT_TRUE(granted) << row.sentence;
    const auto told =
        billing_quota(*granted, read_total_usage(row.usage), site_units::read(row.status));
    EXPECT_EQ(in_short(told), row.told) << row.sentence;
    EXPECT_EQ(to_string(told.source), "billing");
  }
}

TEST(quota_reader, what_is_no_subscription) {
  for (const char* body : {
           "",
           "<html><title>Just a moment...</title></html>",
           R"({"error":{"message":"record not found","type":"upstream_error"}})",
           R"({"hard_limit_usd":5,"error":{"message":"no"}})",
           R"({"success":false,"message":"no"})",
           R"({"hard_limit_usd":null})",
           R"({"hard_limit_usd":"much"})",
           R"({"hard_limit_usd":1e999})",
           R"([1])",
           R"({"hard_limit_usd":1)",
       }) {
    EXPECT_FALSE(read_subscription(body)) << body;
    EXPECT_FALSE(read_total_usage(body)) << body;
  }
  EXPECT_TRUE(read_subscription(R"({"error":null,"hard_limit_usd":5})")) << "an empty error";
}

TEST(quota_reader, a_sum_of_days_that_no_amount_holds_is_none) {
  std::string items;
  for (int i = 0; i < 300; ++i) items += R"({"cost":1000000000000000000},)";
  EXPECT_FALSE(
      read_total_usage(R"({"daily_costs":[{"line_items":[)" + items + R"({"cost":1}]}]})"));
}

struct body_row {
  const char* sentence;
  const char* body;
  const char* told;
};

TEST(quota_reader, token_usage_in_every_shape) {
  const body_row rows[] = {
      {"Amounts are quota units, and `code` is true.",
       R"({"code":true,"message":"ok","data":{"object":"token_usage","name":"n",)"
       R"("total_granted":1000000,"total_used":250001,"total_available":749999,)"
       R"("unlimited_quota":false,"model_limits":{},"expires_at":0}})",
       "2/0.500002/1.499998"},
      {"A key without a limit may have granted what it used.",
       R"({"code":true,"data":{"total_granted":300,"total_used":300,"total_available":0,)"
       R"("unlimited_quota":true,"expires_at":1800000000}})",
       "-/0.0006/- unlimited until 1800000000"},
      {"More was used than there was.",
       R"({"code":true,"data":{"total_granted":500000,"total_used":600000,)"
       R"("total_available":-100000,"unlimited_quota":false}})",
       "1/1.2/-0.2"},
      {"What is left out follows from the rest.",
       R"({"data":{"total_used":"500000","total_available":500000,"expires_at":null}})", "2/1/1"},
      {"Never is also written as -1.",
       R"({"data":{"total_granted":0,"total_used":0,"total_available":0,"expires_at":-1}})",
       "0/0/0"},
      {"A flag may be a number.",
       R"({"data":{"total_used":0,"total_available":0,"unlimited_quota":1}})", "-/0/- unlimited"},
      {"A refusal in a success.", R"({"success":false,"message":"No Authorization header"})",
       "none"},
      {"The same with a code.", R"({"code":false,"message":"no","data":{"total_granted":1}})",
       "none"},
      {"Nothing in it.", R"({"code":true,"data":{}})", "none"},
      {"No data.", R"({"code":true,"data":null})", "none"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(in_short(read_token_usage(row.body, site_units())), row.told) << row.sentence;
  }
  EXPECT_EQ(in_short(read_token_usage(rows[0].body,
                                      site_units::read(R"({"data":{"quota_per_unit":1000000}})"))),
            "1/0.250001/0.749999")
      << "a finer unit loses nothing";
}

TEST(quota_reader, credit_grants_in_every_shape) {
  const body_row rows[] = {
      {"As OpenAI had it.",
       R"({"object":"credit_summary","total_granted":18.0,"total_used":2.25,)"
       R"("total_available":15.75,"grants":{"object":"list","data":[]}})",
       "18/2.25/15.75"},
      {"api2gpt calls it what remains.", R"({"object":"credit_summary","total_remaining":3.5})",
       "-/-/3.5"},
      {"And so do others.", R"({"total_granted":"10","total_used":"4"})", "10/4/6"},
      {"Float noise.",
       R"({"total_granted":0.3,"total_used":0.1,"total_available":0.19999999999999998})",
       "0.3/0.1/0.2"},
      {"An error in a success.", R"({"error":{"message":"no session"}})", "none"},
      {"Something else.", R"({"object":"list","data":[]})", "none"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(in_short(read_credit_grants(row.body, site_units())), row.told) << row.sentence;
  }
}

TEST(quota_reader, status_follows_from_amounts_and_expiry) {
  constexpr double now = 1'700'000'000;
  quota told;
  told.remaining = usd::parse("0.000002");
  EXPECT_EQ(status_at(told, now), key_status::active);
  told.remaining = usd();
  EXPECT_EQ(status_at(told, now), key_status::exhausted);
  told.unlimited = true;
  EXPECT_EQ(status_at(told, now), key_status::active);
  told.expires_at = 1'700'000'001;
  EXPECT_EQ(status_at(told, now), key_status::active);
  told.expires_at = 1'700'000'000;
  EXPECT_EQ(status_at(told, now), key_status::expired);
}

TEST(quota_reader, a_refusal_tells_the_status_in_words) {
  struct row {
    const char* message;
    std::optional<key_status> status;
  };
  for (const auto& [message, status] : {
           row{"该令牌额度已用尽 (request id: 1)", key_status::exhausted},
           row{"令牌 blue（#7）额度已用尽", key_status::exhausted},
           row{"This token's quota has been exhausted", key_status::exhausted},
           row{"该令牌已过期", key_status::expired},
           row{"This token has expired", key_status::expired},
           row{"该令牌状态不可用", key_status::disabled},
           row{"无效的令牌", std::nullopt},
           row{"Invalid or expired session", std::nullopt},
       }) {
    const std::string body = fmt::format(R"({{"success":false,"message":"{}"}})", message);
    EXPECT_EQ(told_status(openai::read_error_body(body)), status) << message;
  }
}

TEST(quota_reader, a_refusal_tells_the_status_by_a_code_that_requests_get_too) {
  EXPECT_EQ(told_status(openai::read_error_body(R"({"error":{"code":"insufficient_quota"}})")),
            key_status::exhausted);
}

}  // namespace
}  // namespace sluice::account
