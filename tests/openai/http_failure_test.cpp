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
        status_case{"a proxy that asks for credentials", 407,
                    "<html><head><title>407 Who are you?</title>", bad_proxy, "407 Who are you?"},
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

// Known error answers of each service, in the service's own words. Relays may add ids at the end of
// a message; these ids have no meaning.
INSTANTIATE_TEST_SUITE_P(
    OpenAi, HttpFailure,
    testing::Values(
        status_case{"a context too long", 400,
                    envelope("This model's maximum context length is 8192 tokens.",
                             "context_length_exceeded", "invalid_request_error"),
                    permanent, "This model's maximum context length is 8192 tokens."},
        status_case{"a parameter missing", 400,
                    envelope("Missing required parameter: 'messages'.",
                             "missing_required_parameter", "invalid_request_error"),
                    permanent, "Missing required parameter: 'messages'."},
        status_case{"a parameter not supported", 400,
                    envelope("Unsupported parameter: 'max_tokens'", "unsupported_parameter",
                             "invalid_request_error"),
                    permanent, "Unsupported parameter: 'max_tokens'"},
        status_case{"a prompt that a filter refuses", 400,
                    envelope("The response was filtered", "content_filter"), permanent,
                    "The response was filtered"},
        status_case{"no key", 401, envelope("You didn't provide an API key."), key_ended,
                    "You didn't provide an API key."},
        status_case{"a project without the model", 403,
                    envelope("Project `p` does not have access to model `m`", "model_not_found"),
                    permanent, "Project `p` does not have access to model `m`"},
        status_case{"a model that is not there, by the code alone", 404,
                    envelope("nothing", "model_not_found"), permanent, "nothing"},
        status_case{"requests a minute", 429,
                    envelope("Rate limit reached for gpt-4o in organization org-x on requests per "
                             "min (RPM): Limit 3, Used 3, Requested 1.",
                             "rate_limit_exceeded", "requests"),
                    throttled,
                    "Rate limit reached for gpt-4o in organization org-x on requests per min "
                    "(RPM): Limit 3, Used 3, Requested 1."},
        status_case{
            "tokens a minute", 429,
            envelope("Rate limit reached on tokens per min", "rate_limit_exceeded", "tokens"),
            throttled, "Rate limit reached on tokens per min"},
        status_case{"a spent quota that calls itself forbidden", 403,
                    envelope("You exceeded your current quota", "insufficient_quota"), key_ended,
                    "You exceeded your current quota"},
        status_case{"an account that is not paid", 429,
                    envelope("Your account is not active", "billing_not_active"), key_ended,
                    "Your account is not active"},
        status_case{"a server error", 500, envelope("The server had an error", "", "server_error"),
                    passing, "The server had an error"},
        status_case{"overloaded", 503, envelope("The engine is overloaded", "", "server_error"),
                    passing, "The engine is overloaded"}));

INSTANTIATE_TEST_SUITE_P(
    OneApi, HttpFailure,
    testing::Values(
        status_case{"no model", 400, envelope("model is required", "invalid_text_request"),
                    permanent, "model is required"},
        status_case{"a word that it does not pass on", 400,
                    envelope("敏感词", "sensitive_words_detected"), permanent, "敏感词"},
        status_case{"an unknown key", 401, envelope("无效的令牌"), key_ended, "无效的令牌"},
        status_case{"no key", 401, envelope("未提供令牌"), key_ended, "未提供令牌"},
        status_case{"a key not verified", 401, envelope("令牌验证失败"), key_ended, "令牌验证失败"},
        status_case{"a key past its time", 401, envelope("该令牌已过期"), key_ended,
                    "该令牌已过期"},
        status_case{"a key switched off", 401, envelope("该令牌状态不可用"), key_ended,
                    "该令牌状态不可用"},
        status_case{"a key spent, by its name", 401,
                    envelope("令牌 jobs（#7）额度已用尽 (request id: 2024)"), key_ended,
                    "令牌 jobs（#7）额度已用尽 (request id: 2024)"},
        status_case{"a key spent that calls itself forbidden", 403, envelope("该令牌额度已用尽"),
                    key_ended, "该令牌额度已用尽"},
        status_case{"a user's quota spent", 403,
                    envelope("user quota is not enough", "insufficient_user_quota"), key_ended,
                    "user quota is not enough"},
        status_case{"a model of other keys", 403,
                    envelope("该令牌无权使用模型：gpt-4 (request id: 2024)"), permanent,
                    "该令牌无权使用模型：gpt-4 (request id: 2024)"},
        status_case{"an address of other keys, without a code", 403,
                    envelope("该令牌只能在指定网段使用：10.0.0.0/8，当前 ip：192.0.2.1"), key_ended,
                    "该令牌只能在指定网段使用：10.0.0.0/8，当前 ip：192.0.2.1"},
        status_case{"an unknown URL", 404,
                    envelope("Invalid URL (GET /v1/x)", "", "invalid_request_error"), wrong_address,
                    "Invalid URL (GET /v1/x)"},
        status_case{"an upstream that is saturated", 429,
                    envelope("当前分组上游负载已饱和，请稍后再试 (request id: 2024)",
                             "rate_limit_exceeded"),
                    throttled, "当前分组上游负载已饱和，请稍后再试 (request id: 2024)"},
        status_case{"an upstream that cannot be reached", 500,
                    envelope("请求上游地址失败", "do_request_failed"), passing, "请求上游地址失败"},
        status_case{"a channel not found", 500, envelope("none", "get_channel_failed"), passing,
                    "none"},
        status_case{"a request not converted", 500, envelope("bad", "convert_request_failed"),
                    passing, "bad"},
        status_case{"a panic", 500, envelope("Panic detected", "", "one_api_panic"), passing,
                    "Panic detected"},
        status_case{"no channel", 503,
                    envelope("当前分组 default 下对于模型 gpt-4 无可用渠道 (request id: 2024)"),
                    passing, "当前分组 default 下对于模型 gpt-4 无可用渠道 (request id: 2024)",
                    2}));

INSTANTIATE_TEST_SUITE_P(
    NewApi, HttpFailure,
    testing::Values(
        status_case{"whatever is wrong with a key", 401, envelope("invalid token"), key_ended,
                    "invalid token"},
        status_case{"a user's quota spent, with what is left", 403,
                    envelope("用户额度不足, 剩余额度: $0.002", "insufficient_user_quota"),
                    key_ended, "用户额度不足, 剩余额度: $0.002"},
        status_case{"the same where the code was lost", 403,
                    envelope("预扣费额度失败, 用户剩余额度: ¥0.05, 需要预扣费额度: ¥0.07"),
                    key_ended, "预扣费额度失败, 用户剩余额度: ¥0.05, 需要预扣费额度: ¥0.07"},
        status_case{"a spent quota in a body that names the model", 403,
                    envelope("预扣费额度失败, 模型 gpt-4", "insufficient_user_quota"), key_ended,
                    "预扣费额度失败, 模型 gpt-4"},
        status_case{"a key's quota spent", 403,
                    envelope("token quota is not enough, token remain quota: $0, need quota: $1",
                             "pre_consume_token_quota_failed"),
                    key_ended, "token quota is not enough, token remain quota: $0, need quota: $1"},
        status_case{"a spent quota whose code stands beside the error", 403,
                    R"({"error":{"message":"no"},"code":"insufficient_user_quota"})", key_ended,
                    "no"},
        status_case{"a model of other keys", 403, envelope("该令牌无权访问模型 gpt-4"), permanent,
                    "该令牌无权访问模型 gpt-4"},
        status_case{"an address of other keys, without a code", 403,
                    envelope("您的 IP 不在令牌允许访问的列表中"), key_ended,
                    "您的 IP 不在令牌允许访问的列表中"},
        status_case{"an address that it cannot read", 403, envelope("无法解析客户端 IP 地址"),
                    key_ended, "无法解析客户端 IP 地址"},
        status_case{"a body it could not read", 413,
                    envelope("request body too large", "read_request_body_failed"), permanent,
                    "request body too large"},
        status_case{
            "its own limit", 429,
            envelope("您已达到总请求数限制：1分钟内最多请求200次，包括失败次数，请检查您的请求"
                     "是否正确 (request id: 2024)"),
            throttled,
            "您已达到总请求数限制：1分钟内最多请求200次，包括失败次数，请检查您的请求是否正确 "
            "(request id: 2024)"},
        status_case{"two refusals back to back", 429,
                    envelope("您已达到请求数限制") + envelope("您已达到总请求数限制"), throttled,
                    "您已达到请求数限制"},
        status_case{"no price for the model", 500,
                    envelope("模型 m 倍率或价格未配置", "model_price_error"), permanent,
                    "模型 m 倍率或价格未配置"},
        status_case{"an API that it does not have", 501,
                    envelope("API not implemented", "api_not_implemented"), permanent,
                    "API not implemented"},
        status_case{
            "an upstream's error passed on", 503,
            R"({"error":{"message":"bad response status code 503","type":"upstream_error","param":"503","code":"bad_response_status_code"}})",
            passing, "bad response status code 503"},
        status_case{
            "no channel, newer words", 503,
            envelope("分组 default 下模型 gpt-4 无可用渠道（distributor）", "model_not_found"),
            passing, "分组 default 下模型 gpt-4 无可用渠道（distributor）", 2}));

INSTANTIATE_TEST_SUITE_P(
    Gateways, HttpFailure,
    testing::Values(
        status_case{"nginx holds back a burst", 503,
                    "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>",
                    passing, "503 Service Temporarily Unavailable"},
        status_case{"a gateway's timeout", 504, "<title>504 Gateway Time-out</title>", passing,
                    "504 Gateway Time-out"},
        status_case{"Azure's timeout", 408, envelope("The operation was timeout.", "Timeout"),
                    passing, "The operation was timeout."},
        status_case{
            "Anthropic is overloaded", 529,
            R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"})",
            passing, "Overloaded"},
        status_case{"a validator", 422, R"({"detail":"unknown field"})", permanent,
                    "unknown field"},
        status_case{"a guard that throttles", 429, "<title>Too many requests</title>", throttled,
                    "Too many requests"},
        status_case{"redirects that keep the method", 307, "", wrong_address,
                    "HTTP 307 Temporary Redirect"},
        status_case{"a redirect found", 302, "", wrong_address, "HTTP 302 Found"}));

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

reply_head head_of(int status) {
  reply_head head;
  head.status = status;
  return head;
}

TEST(HttpFailureHints, ARedirectNamesItsTarget) {
  reply_head head = head_of(308);
  head.location = "https://example.com/v1";
  EXPECT_EQ(http_failure(head, "<title>moved</title>", 0).message,
            "HTTP 308 redirects to https://example.com/v1");
}

TEST(HttpFailureHints, OnlyWhatMayBeRepeatedHasAHint) {
  for (const int status : {429, 500, 503, 408, 409}) {
    reply_head head = head_of(status);
    head.hints["retry-after"] = "7";
    EXPECT_EQ(http_failure(head, "", 0).retry_after, std::chrono::seconds(7)) << status;
  }
  for (const int status : {400, 401, 403, 404, 501}) {
    reply_head head = head_of(status);
    head.hints["retry-after"] = "7";
    EXPECT_EQ(http_failure(head, "", 0).retry_after, std::nullopt) << status;
  }
}

TEST(HttpFailureHints, TheRelaysWordsAreOne) {
  const auto hint = [](int status, const std::string& body) {
    return http_failure(head_of(status), body, 0).retry_after;
  };
  using namespace std::chrono_literals;
  const std::string words = "Limit 3, Used 3, Requested 1. Please try again in 6m0s. Visit x";
  EXPECT_EQ(hint(429, envelope(words, "rate_limit_exceeded", "requests")), 360s);
  EXPECT_EQ(hint(429, R"({"detail":")" + words + "\"}"), 360s);
  EXPECT_EQ(hint(503, words), 360s);
  EXPECT_EQ(hint(429, envelope(words, "insufficient_quota")), std::nullopt) << "it has ended";
  EXPECT_EQ(hint(400, envelope(words)), std::nullopt);
}

TEST(HttpFailureHints, AFieldOfTheBodyIsOne) {
  using namespace std::chrono_literals;
  const auto hint = [](const std::string& body) {
    return http_failure(head_of(429), body, 1741305570).retry_after;
  };
  EXPECT_EQ(hint(R"({"error":{"code":429,"message":"m","details":[{"retryDelay":"34.4s"}]}})"),
            34400ms);
  EXPECT_EQ(hint(R"({"error":{"code":429,"message":"Rate limit exceeded",)"
                 R"("metadata":{"headers":{"X-RateLimit-Reset":"1741305600000"}}}})"),
            30s);
}

TEST(HttpFailureEnd, SaysWhyTheKeyCannotBeUsed) {
  const auto end = [](int status, const std::string& body) {
    const failure why = http_failure(head_of(status), body, 0);
    EXPECT_EQ(why.kind, key_ended) << body;
    return why.ends_with;
  };
  EXPECT_EQ(end(401, envelope("Invalid token")), stop_reason::key_ended);
  EXPECT_EQ(end(403, envelope("用户已被封禁")), stop_reason::key_ended);
  EXPECT_EQ(end(401, envelope("该令牌额度已用尽")), stop_reason::quota_spent);
  EXPECT_EQ(end(402, ""), stop_reason::quota_spent);
  EXPECT_EQ(end(429, envelope("none left", "insufficient_quota")), stop_reason::quota_spent);
  EXPECT_EQ(end(403, "<title>Attention Required! | Cloudflare</title>"), stop_reason::blocked);
  EXPECT_EQ(end(403, "error code: 1020"), stop_reason::blocked);
  EXPECT_EQ(reported_failure(envelope("none left", "insufficient_quota"), "", 0).ends_with,
            stop_reason::quota_spent);
}

TEST(ReportedFailure, OfARateLimitSaysWhenToTryAgain) {
  using namespace std::chrono_literals;
  const auto reported = [](const std::string& body) { return reported_failure(body, "", 1e9); };
  const failure slow =
      reported(envelope("Rate limit reached, please try again in 20s.", "rate_limit_exceeded"));
  EXPECT_EQ(slow.kind, throttled);
  EXPECT_EQ(slow.retry_after, 20s);
  // https://openrouter.ai/docs/api-reference/errors
  EXPECT_EQ(reported(R"({"error":{"code":429,"message":"Rate limited"},"choices":[]})").kind,
            throttled);
  const failure mini_max =
      reported(R"({"choices":null,"base_resp":{"status_code":1002,"status_msg":"rate limit"}})");
  EXPECT_EQ(mini_max.kind, throttled);
  EXPECT_FALSE(mini_max.retry_after.has_value());
  const failure in_body =
      reported(R"({"error":{"code":"rate_limit_exceeded","message":"slow","retry_after":7}})");
  EXPECT_EQ(in_body.retry_after, 7s);
}

TEST(HttpFailureModel, IsMarkedAsMissing) {
  EXPECT_TRUE(
      http_failure(head_of(404), envelope("m does not exist", "model_not_found"), 0).model_missing);
  EXPECT_FALSE(http_failure(head_of(400), envelope("too hot", "invalid_value"), 0).model_missing);
  EXPECT_FALSE(
      http_failure(head_of(503), envelope("no channel", "model_not_found"), 0).model_missing)
      << "it has an upstream at other times";
}

TEST(HttpFailureHints, TheServerMayForbidARetry) {
  for (const auto& [status, kind] : {std::pair(429, throttled), {500, passing}, {503, passing}}) {
    reply_head head = head_of(status);
    head.hints["x-should-retry"] = "false";
    EXPECT_EQ(http_failure(head, "", 0).kind, kind) << "a later run may try it: " << status;
    EXPECT_EQ(http_failure(head, "", 0).max_retries, 0) << status;
    EXPECT_EQ(http_failure(head, envelope("none", "model_not_found"), 0).max_retries, 0) << status;
    head.hints["x-should-retry"] = "true";
    EXPECT_EQ(http_failure(head, "", 0).kind, kind) << status;
    EXPECT_EQ(http_failure(head, "", 0).max_retries, -1) << status;
  }
  reply_head head = head_of(400);
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
