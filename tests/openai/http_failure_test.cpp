#include "openai/http_failure.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>

#include "openai/reading.hpp"

namespace sluice::openai {
namespace {

using enum failure_class;

struct status_case {
  const char* name;
  int status;
  std::string body;
  failure_class kind;
  std::string message;
  int max_retries = -1;
};
std::ostream& operator<<(std::ostream& out, const status_case& row) {
  return out << row.name;
}

std::string envelope(const std::string& message, const std::string& code = "",
                     const std::string& type = "t") {
  return R"({"error":{"message":")" + message + R"(","type":")" + type +
         R"(","param":null,"code":")" + code + R"("}})";
}

class HttpFailure : public testing::TestWithParam<status_case> {};

TEST_P(HttpFailure, HasItsClassAndTheRelaysWords) {
  const auto& [name, status, body, kind, message, max_retries] = GetParam();
  const auto seen =
      test::read({.body = body, .status = status, .content_type = "application/json"});
  ASSERT_FALSE(seen.outcome.has_value());
  const failure& failed = seen.outcome.error();
  EXPECT_EQ(failed.code, errc::http_error);
  EXPECT_EQ(failed.kind, kind);
  EXPECT_EQ(failed.http_status, status);
  EXPECT_EQ(failed.message, message);
  EXPECT_EQ(failed.body, body);
  EXPECT_EQ(failed.request_id, "req_1");
  EXPECT_EQ(failed.max_retries, max_retries);
}

INSTANTIATE_TEST_SUITE_P(
    Request, HttpFailure,
    testing::Values(
        status_case{"a bad request", 400, envelope("bad", "invalid_value"), permanent, "bad"},
        status_case{"too large", 413, "<html><head><title>413 Request Entity Too Large</title>",
                    permanent, "413 Request Entity Too Large"},
        status_case{"unprocessable", 422, R"({"detail":[{"loc":["body"],"msg":"field required"}]})",
                    permanent, "field required"},
        status_case{"gone", 410, "", permanent, "HTTP 410"},
        status_case{"a model this key may not use", 403, envelope("该令牌无权使用模型：gpt-4"),
                    permanent, "该令牌无权使用模型：gpt-4"},
        status_case{"a plain refusal", 403, envelope("not for you", "forbidden"), permanent,
                    "not for you"},
        status_case{"no access to a model", 403, envelope("no access to model m", "access_denied"),
                    permanent, "no access to model m"},
        status_case{"no access to a model, in plain text", 403, "model m is not for you", permanent,
                    "model m is not for you"},
        status_case{"a group without the model", 403, envelope("当前分组下无权访问模型 m"),
                    permanent, "当前分组下无权访问模型 m"},
        status_case{"a model that is not there", 404,
                    envelope("The model `m` does not exist", "model_not_found"), permanent,
                    "The model `m` does not exist"},
        status_case{"a model that is not there, by the words alone", 404,
                    envelope("model: claude-9"), permanent, "model: claude-9"},
        status_case{"a server error for an unpriced model", 500,
                    envelope("no price", "model_price_error"), permanent, "no price"},
        status_case{"an invalid request that a relay calls a server error", 500,
                    envelope("bad", "invalid_request"), permanent, "bad"},
        status_case{"not implemented", 501, envelope("API not implemented", "api_not_implemented"),
                    permanent, "API not implemented"}));

INSTANTIATE_TEST_SUITE_P(
    Key, HttpFailure,
    testing::Values(
        status_case{"a wrong key", 401, envelope("Incorrect API key", "invalid_api_key"), key_ended,
                    "Incorrect API key"},
        status_case{"an exhausted key", 401, envelope("该令牌额度已用尽"), key_ended,
                    "该令牌额度已用尽"},
        status_case{"payment required", 402,
                    R"({"error":{"code":402,"message":"Insufficient credits"}})", key_ended,
                    "Insufficient credits"},
        status_case{
            "OpenAI's spent quota", 429,
            envelope("You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
            key_ended, "You exceeded your current quota"},
        status_case{"spent quota told by the type alone", 429,
                    envelope("You exceeded your current quota", "", "insufficient_quota"),
                    key_ended, "You exceeded your current quota"},
        status_case{"a user's spent quota", 403,
                    envelope("用户额度不足", "insufficient_user_quota"), key_ended, "用户额度不足"},
        status_case{"a token's spent quota", 403,
                    envelope("令牌额度不足", "pre_consume_token_quota_failed"), key_ended,
                    "令牌额度不足"},
        status_case{"a billing limit", 429,
                    envelope("Billing hard limit has been reached", "billing_hard_limit_reached"),
                    key_ended, "Billing hard limit has been reached"},
        status_case{"words of a quota without the code are no proof", 429,
                    envelope("insufficient_quota"), throttled, "insufficient_quota"},
        status_case{"spent quota that a relay calls a server error", 500,
                    envelope("用户额度不足", "insufficient_user_quota"), key_ended, "用户额度不足"},
        status_case{"a token's spent quota, by the words alone", 403, envelope("令牌额度不足"),
                    key_ended, "令牌额度不足"},
        status_case{"the same in English", 403,
                    envelope("token quota is not enough, token remain quota: $0"), key_ended,
                    "token quota is not enough, token remain quota: $0"},
        status_case{"an address that the key is not for", 403,
                    envelope("您的 IP 不在令牌允许访问的列表中", "access_denied"), key_ended,
                    "您的 IP 不在令牌允许访问的列表中"},
        status_case{"a country that is not served", 403,
                    envelope("unsupported region", "unsupported_country_region_territory"),
                    key_ended, "unsupported region"},
        status_case{"the same, told by the type", 403,
                    envelope("unsupported region", "", "unsupported_country_region_territory"),
                    key_ended, "unsupported region"},
        status_case{"a guard's page, whatever it speaks of", 403,
                    "<html><title>Attention Required! | Our models</title></html>", key_ended,
                    "Attention Required! | Our models"},
        status_case{"a guard's words", 403, "error code: 1020", key_ended, "error code: 1020"},
        status_case{"a guard without words", 403, "", key_ended, "HTTP 403 Forbidden"},
        status_case{"a banned user", 403, envelope("用户已被封禁"), key_ended, "用户已被封禁"},
        status_case{"a group that is no more", 403, envelope("令牌分组 vip 已被禁用"), key_ended,
                    "令牌分组 vip 已被禁用"}));

INSTANTIATE_TEST_SUITE_P(
    Address, HttpFailure,
    testing::Values(
        status_case{"an unknown URL", 404, envelope("Invalid URL (POST /v1/v1/chat/completions)"),
                    wrong_address, "Invalid URL (POST /v1/v1/chat/completions)"},
        status_case{"a page that is not found, whatever it speaks of", 404,
                    "<title>404: see our models</title>", wrong_address, "404: see our models"},
        status_case{"nothing found, no words", 404, "", wrong_address, "HTTP 404 Not Found"},
        status_case{
            "nginx that expects TLS", 400,
            "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head>",
            wrong_address, "400 The plain HTTP request was sent to HTTPS port"},
        status_case{"a page that is gone", 410, "<title>Gone</title>", wrong_address, "Gone"},
        status_case{"a wrong method", 405, "", wrong_address, "HTTP 405 Method Not Allowed"},
        status_case{"a redirect", 301, "", wrong_address, "HTTP 301 Moved Permanently"}));

INSTANTIATE_TEST_SUITE_P(
    Passing, HttpFailure,
    testing::Values(
        status_case{"over the limit", 429, envelope("您已达到请求数限制 (request id: 2024)"),
                    throttled, "您已达到请求数限制 (request id: 2024)"},
        status_case{"over the limit, no words", 429, "", throttled, "HTTP 429 Too Many Requests"},
        status_case{"a request timeout", 408, "", passing, "HTTP 408 Request Timeout"},
        status_case{"a conflict", 409, R"({"message":"busy"})", passing, "busy"},
        status_case{"too early", 425, "", passing, "HTTP 425 Too Early"},
        status_case{"a server error", 500, envelope("boom", "do_request_failed"), passing, "boom"},
        status_case{"a gateway's page", 502,
                    "<html><head><title>502 Bad Gateway</title></head></html>", passing,
                    "502 Bad Gateway"},
        status_case{"overloaded", 503, "no healthy upstream", passing, "no healthy upstream"},
        status_case{"Cloudflare's timeout", 524, "", passing, "HTTP 524 A Timeout Occurred"},
        status_case{"JSON without words", 500, R"({"a":1})", passing,
                    "HTTP 500 Internal Server Error: {\"a\":1}"},
        status_case{"no channel, by its code: two retries at most", 503,
                    envelope("none", "model_not_found"), passing, "none", 2},
        status_case{"no channel, by its words", 503, envelope("当前分组 g 下对于模型 m 无可用渠道"),
                    passing, "当前分组 g 下对于模型 m 无可用渠道", 2},
        status_case{"no channel, in English", 503, envelope("No available channel for model m"),
                    passing, "No available channel for model m", 2}));

TEST(HttpFailurePages, AreForeignWhereTheStatusSpeaksOfTheRequest) {
  const std::string page = "\n<!DOCTYPE html><title>x</title>";
  const auto foreign = [](int status, const std::string& body) {
    return test::read({.body = body, .status = status, .content_type = "text/html"})
        .outcome.error()
        .foreign;
  };
  for (const int status : {400, 403, 404, 405, 410, 415, 422}) {
    EXPECT_TRUE(foreign(status, page)) << status;
    EXPECT_FALSE(foreign(status, "")) << status;
    EXPECT_FALSE(foreign(status, "no")) << status;
    EXPECT_FALSE(foreign(status, envelope("no"))) << status;
  }
  for (const int status : {401, 402, 408, 409, 413, 425, 429, 500, 502, 503}) {
    EXPECT_FALSE(foreign(status, page)) << status;
  }
}

response_head head_of(int status) {
  response_head head;
  head.status = status;
  return head;
}

TEST(HttpFailureHints, ARedirectNamesItsTarget) {
  response_head head = head_of(308);
  head.location = "https://example.com/v1";
  EXPECT_EQ(http_failure(head, "<title>moved</title>", 0).message,
            "HTTP 308 redirects to https://example.com/v1");
}

TEST(HttpFailureHints, OnlyWhatMayBeRepeatedHasAHint) {
  for (const int status : {429, 500, 503, 408, 409}) {
    response_head head = head_of(status);
    head.hints["retry-after"] = "7";
    EXPECT_EQ(http_failure(head, "", 0).retry_after, std::chrono::seconds(7)) << status;
  }
  for (const int status : {400, 401, 403, 404, 501}) {
    response_head head = head_of(status);
    head.hints["retry-after"] = "7";
    EXPECT_EQ(http_failure(head, "", 0).retry_after, std::nullopt) << status;
  }
}

TEST(HttpFailureHints, TheServerMayForbidARetry) {
  for (const auto& [status, kind] : {std::pair(429, throttled), {500, passing}, {503, passing}}) {
    response_head head = head_of(status);
    head.hints["x-should-retry"] = "false";
    EXPECT_EQ(http_failure(head, "", 0).kind, kind) << "a later run may try it: " << status;
    EXPECT_EQ(http_failure(head, "", 0).max_retries, 0) << status;
    EXPECT_EQ(http_failure(head, envelope("none", "model_not_found"), 0).max_retries, 0) << status;
    head.hints["x-should-retry"] = "true";
    EXPECT_EQ(http_failure(head, "", 0).kind, kind) << status;
    EXPECT_EQ(http_failure(head, "", 0).max_retries, -1) << status;
  }
  response_head head = head_of(400);
  head.hints["x-should-retry"] = "true";
  EXPECT_EQ(http_failure(head, "", 0).kind, permanent);
}

TEST(HttpFailureBody, IsKeptUpToTheLimit) {
  const auto seen =
      test::read({.body = std::string(500, 'x'), .status = 500, .max_body_bytes = 100});
  ASSERT_FALSE(seen.outcome.has_value());
  EXPECT_EQ(seen.outcome.error().code, errc::http_error);
  EXPECT_EQ(seen.outcome.error().body, std::string(100, 'x'));
  EXPECT_EQ(seen.last_need, reply_reader::need::nothing);
}

TEST(HttpFailureBody, TheStatusTellsEvenWhenTheBodyIsCut) {
  const auto seen =
      test::read({.body = R"({"error":{"mess)", .how = reply_reader::ending::cut, .status = 503});
  ASSERT_FALSE(seen.outcome.has_value());
  EXPECT_EQ(seen.outcome.error().code, errc::http_error);
  EXPECT_EQ(seen.outcome.error().message, R"(HTTP 503 Service Unavailable: {"error":{"mess)");
}

TEST(FilteredCompletion, OnA400IsAReply) {
  const std::string filtered =
      R"({"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"content_filter"}]})";
  const auto seen =
      test::read({.body = filtered, .status = 400, .content_type = "application/json"});
  ASSERT_TRUE(seen.outcome.has_value());
  EXPECT_EQ(seen.outcome->http_status, 400);
  EXPECT_EQ(seen.outcome->body, filtered);
  EXPECT_EQ(seen.outcome->finish_reasons.at("content_filter"), 1U);
  EXPECT_FALSE(test::read({.body = filtered, .status = 403}).outcome.has_value());

  std::string stopped = filtered;
  stopped.replace(stopped.find("content_filter"), 14, "stop");
  EXPECT_FALSE(test::read({.body = stopped, .status = 400}).outcome.has_value());
}

}  // namespace
}  // namespace sluice::openai
