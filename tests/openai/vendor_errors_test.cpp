#include "openai/vendor_errors.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include "openai/http_failure.hpp"
#include "openai/reading.hpp"

namespace sluice::openai {
namespace {

using enum failure_class;

/// What a refusal means in addition to its class.
enum class flag : std::uint8_t { none, model_out, tier_full };

struct refusal_case {
  const char* name;
  int status;
  const char* body;
  failure_class kind;
  flag out = flag::none;
};
std::ostream& operator<<(std::ostream& out, const refusal_case& row) {
  return out << row.name;
}

/// The model that every request of these tests asks for.
constexpr const char* model = "acme/tiny:free";

failure refused(int status, const std::string& body) {
  reply_head head;
  head.status = status;
  return http_failure(head, body, 0, model);
}

class VendorError : public testing::TestWithParam<refusal_case> {};

TEST_P(VendorError, HasItsClass) {
  const refusal_case& row = GetParam();
  const failure failed = refused(row.status, row.body);
  EXPECT_EQ(failed.kind, row.kind) << row.body;
  EXPECT_EQ(failed.model_out, row.out == flag::model_out) << row.body;
  EXPECT_EQ(failed.tier_full, row.out == flag::tier_full) << row.body;
  EXPECT_EQ(failed.max_retries, row.out == flag::model_out ? 2 : -1) << row.body;
  EXPECT_FALSE(failed.message.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Spent, VendorError,
    testing::
        Values(refusal_case{"OpenAI: a spent quota", 429,
                            R"j({"error":{"message":"You exceeded your current quota, please check your plan and billing details. For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}})j",
                            key_ended},
               refusal_case{
                   "OpenAI through a relay that lost the code", 429,
                   R"j({"error":{"message":"You exceeded your current quota, please check your plan and billing details. For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.","type":"upstream_error","param":"429","code":null}})j",
                   key_ended},
               refusal_case{
                   "OpenAI: the images API's billing limit is a 400", 400,
                   R"j({"error":{"code":"billing_hard_limit_reached","message":"Billing hard limit has been reached","param":null,"type":"invalid_request_error"}})j",
                   key_ended},
               refusal_case{
                   "OpenAI: the same limit by its words", 400,
                   R"j({"error":{"code":null,"message":"Billing hard limit has been reached","param":null,"type":"invalid_request_error"}})j",
                   key_ended},
               refusal_case{
                   "OpenAI: an account that is not paid", 429,
                   R"j({"error":{"message":"Your account is not active, please check your billing details on our website.","type":"billing_not_active","param":null,"code":"billing_not_active"}})j",
                   key_ended},
               refusal_case{
                   "a relay's server error around OpenAI's code", 500,
                   R"j({"error":{"message":"You exceeded your current quota","type":"upstream_error","code":"insufficient_quota"}})j",
                   key_ended},
               refusal_case{"the same as a 502", 502,
                            R"j({"error":{"message":"upstream","code":"insufficient_quota"}})j",
                            key_ended},
               refusal_case{
                   "OpenRouter: the key's own limit", 403,
                   R"j({"error":{"message":"Key limit exceeded. Manage it using https://openrouter.ai/settings/keys","code":403}})j",
                   key_ended},
               refusal_case{
                   "OpenRouter: the same, with the kind of limit", 403,
                   R"j({"error":{"message":"Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys","code":403},"user_id":"u"})j",
                   key_ended},
               refusal_case{
                   "OpenRouter: no credits", 402,
                   R"j({"error":{"message":"Insufficient credits. Add more using https://openrouter.ai/settings/credits","code":402}})j",
                   key_ended},
               refusal_case{
                   "OpenRouter: no credits for so long a reply", 402,
                   R"j({"error":{"message":"This request requires more credits, or fewer max_tokens. You requested up to 4096 tokens, but can only afford 222.","code":402}})j",
                   key_ended},
               refusal_case{
                   "OpenRouter: its upstream's account is spent, told in a string of JSON", 429,
                   R"j({"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"{\"error\":{\"message\":\"Your account org-1 <ak-1> is suspended due to insufficient balance, please recharge your account or check your plan and billing details\",\"type\":\"exceeded_current_quota_error\"}}","provider_name":"Moonshot AI"}}})j",
                   key_ended},
               refusal_case{
                   "OpenRouter: an error inside an error", 402,
                   R"j({"error":{"error":{"message":"More credits are required to run this request.","code":402},"code":402}})j",
                   key_ended},
               refusal_case{
                   "Anthropic: no credit is a 400 for an invalid request", 400,
                   R"j({"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."},"request_id":"req_1"})j",
                   key_ended},
               refusal_case{
                   "Anthropic: the limit that its owner set", 400,
                   R"j({"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-07-01 at 00:00 UTC."}})j",
                   key_ended},
               refusal_case{
                   "Anthropic: a billing error", 402,
                   R"j({"type":"error","error":{"type":"billing_error","message":"There is an issue with your billing."}})j",
                   key_ended},
               refusal_case{
                   "Anthropic through litellm, as JSON behind its own words", 400,
                   R"j({"error":{"message":"litellm.BadRequestError: AnthropicException - {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"Your credit balance is too low to access the Anthropic API.\"}}. Received Model Group=claude","type":null,"param":null,"code":"400"}})j",
                   key_ended},
               refusal_case{
                   "Gemini: prepaid credits used up", 429,
                   R"j([{"error":{"code":429,"message":"Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing.","status":"RESOURCE_EXHAUSTED"}}])j",
                   key_ended},
               refusal_case{
                   "Gemini: the project's spending cap", 429,
                   R"j({"error":{"code":429,"message":"Your project has exceeded its monthly spending cap. Please go to AI Studio at https://ai.studio/spend","status":"RESOURCE_EXHAUSTED"}})j",
                   key_ended},
               refusal_case{
                   "Gemini: the quota of the day", 429,
                   R"j({"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"250"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"19s"}]}})j",
                   key_ended},
               refusal_case{
                   "Gemini: a plan that has nothing of the model", 429,
                   R"j({"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 0, model: gemini-3-pro\nPlease retry in 20.04s.","status":"RESOURCE_EXHAUSTED"}})j",
                   key_ended},
               refusal_case{
                   "Gemini through a gateway that keeps its JSON as the message", 429,
                   R"j({"error":{"message":"{\n \"error\": {\n \"code\": 429,\n \"message\": \"Your prepayment credits are depleted.\",\n \"status\": \"RESOURCE_EXHAUSTED\"\n }\n}\n","code":429,"status":"Too Many Requests"}})j",
                   key_ended},
               refusal_case{
                   "DeepSeek: no balance", 402,
                   R"j({"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}})j",
                   key_ended},
               refusal_case{
                   "DeepSeek through a relay that makes it a 400", 400,
                   R"j({"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}})j",
                   key_ended},
               refusal_case{
                   "Moonshot: no balance", 429,
                   R"j({"error":{"message":"Your account org-1 <ak-1> is suspended due to insufficient balance, please recharge your account or check your plan and billing details","type":"exceeded_current_quota_error"}})j",
                   key_ended},
               refusal_case{
                   "Moonshot: the same as a 403", 403,
                   R"j({"error":{"message":"Your account org-1<ak-1> is not active, organization <org-1> exceeded current quota, please check your plan and billing details","type":"exceeded_current_quota_error"}})j",
                   key_ended},
               refusal_case{
                   "Kimi Code: the billing cycle", 403,
                   R"j({"error":{"type":"permission_error","message":"You've reached your usage limit for this billing cycle. Your quota will be refreshed in the next cycle."},"type":"error"})j",
                   key_ended},
               refusal_case{
                   "Kimi Code: the month", 429,
                   R"j({"error":{"type":"rate_limit_error","message":"You've reached kimi monthly usage limit"}})j",
                   key_ended},
               refusal_case{
                   "Zhipu: no balance", 429,
                   R"j({"error":{"code":"1113","message":"余额不足或无可用资源包,请充值。"}})j",
                   key_ended},
               refusal_case{
                   "Zhipu: the code as a number", 429,
                   R"j({"error":{"code":1113,"message":"Insufficient balance or no resource package. Please recharge."}})j",
                   key_ended},
               refusal_case{
                   "Zhipu: the code at the top", 429,
                   R"j({"code":1113,"msg":"您的账户已欠费,请充值后重试","success":false})j",
                   key_ended},
               refusal_case{
                   "Zhipu: the five hours' limit", 429,
                   R"j({"error":{"code":"1308","message":"已达到 5 小时 的使用上限。您的限额将在 2026-07-01 12:00:00 重置。"}})j",
                   key_ended},
               refusal_case{
                   "Zhipu: the plan has run out", 429,
                   R"j({"error":{"code":"1309","message":"您的 GLM Coding Plan 套餐已到期,暂无法使用"}})j",
                   key_ended},
               refusal_case{
                   "Z.ai: the five hours' limit by its words", 429,
                   R"j({"error":{"code":"1316","message":"Usage limit reached for the past 5 hours. Insufficient balance for extra usage"}})j",
                   key_ended},
               refusal_case{
                   "DashScope: bills not paid are a 400", 400,
                   R"j({"code":"Arrearage","message":"Access denied, please make sure your account is in good standing.","request_id":"r"})j",
                   key_ended},
               refusal_case{
                   "DashScope: the same in OpenAI's envelope", 400,
                   R"j({"error":{"code":"Arrearage","param":null,"message":"Access denied, please make sure your account is in good standing.","type":"Arrearage"},"id":"chatcmpl-1","request_id":"r"})j",
                   key_ended},
               refusal_case{
                   "DashScope: only the free tier, and that is used up", 403,
                   R"j({"error":{"message":"The free quota has been exhausted. To continue accessing the model on a paid basis, please complete your payment information.","type":"AllocationQuota.FreeTierOnly","param":null,"code":"AllocationQuota.FreeTierOnly"}})j",
                   key_ended},
               refusal_case{
                   "DashScope: a bill overdue", 429,
                   R"j({"code":"PostpaidBillOverdue","message":"The postpaid bill is overdue."})j",
                   key_ended},
               refusal_case{
                   "DashScope: the free quota, under the code of a rate limit", 429,
                   R"j({"error":{"code":"Throttling.AllocationQuota","message":"Free allocated quota exceeded."}})j",
                   key_ended},
               refusal_case{
                   "Volcengine: bills not paid", 403,
                   R"j({"error":{"code":"AccountOverdueError","message":"The request failed because your account has an overdue balance. Request id: 02","param":"","type":"Forbidden"}})j",
                   key_ended},
               refusal_case{
                   "Volcengine: the limit that its owner set", 429,
                   R"j({"error":{"code":"SetLimitExceeded","message":"Your account [1] has reached the set inference limit for the [doubao] model, and the model service has been paused.","param":"","type":"TooManyRequests"}})j",
                   key_ended},
               refusal_case{
                   "Volcengine: the plan's month", 429,
                   R"j({"error":{"code":"AccountQuotaExceeded","message":"You have exceeded the monthly usage quota. It will reset at 2026-08-03 23:59:59 +0800 CST."}})j",
                   key_ended},
               refusal_case{
                   "Volcengine: the free quota", 429,
                   R"j({"error":{"code":"QuotaExceeded","message":"Your account 1 has exhausted its free trial quota for the doubao model.","type":"TooManyRequests"}})j",
                   key_ended},
               refusal_case{
                   "SiliconFlow: no balance", 403,
                   R"j({"code":30001,"message":"Sorry, your account balance is insufficient","data":null})j",
                   key_ended},
               refusal_case{
                   "SiliconFlow through a relay, as JSON behind its own words", 500,
                   R"j({"error":{"message":"[models] Error: API request failed with status code 403: {\"code\":30001,\"message\":\"Sorry, your account balance is insufficient\",\"data\":null}"}})j",
                   key_ended},
               refusal_case{
                   "MiniMax: no balance", 429,
                   R"j({"error":{"http_code":"429","message":"insufficient balance (1008)","type":"insufficient_balance_error"},"request_id":"x"})j",
                   key_ended},
               refusal_case{
                   "MiniMax: the same as a 500", 500,
                   R"j({"type":"error","error":{"type":"api_error","message":"insufficient balance (1008)"},"request_id":"0"})j",
                   key_ended},
               refusal_case{
                   "MiniMax: its own form", 403,
                   R"j({"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}})j",
                   key_ended},
               refusal_case{"xAI: no credits", 403, R"j({"code":"The caller does not have permission to execute the specified operation","error":"Your team 16f2151a has either used all available credits or reached its monthly spending limit. To continue making API requests, please purchase more credits or raise your spending limit."})j", key_ended}, refusal_case{"xAI: the same as a 429", 429, R"j({"code":"Some resource has been exhausted","error":"Your team 16f2151a has either used all available credits or reached its monthly spending limit."})j", key_ended},
               refusal_case{
                   "xAI: a team without credits", 403,
                   R"j({"code":"forbidden","error":"Your newly created team doesn't have any credits or licenses yet. You can purchase those on https://console.x.ai/team/4."})j",
                   key_ended},
               refusal_case{
                   "Together: no credit", 402,
                   R"j({"id":"o","error":{"message":"Credit limit exceeded. Please navigate to https://api.together.xyz/settings/billing to add credit or upgrade your plan.","type":"credit_limit","param":null,"code":null}})j",
                   key_ended},
               refusal_case{
                   "Together, printed by Python behind a gateway's words", 400,
                   R"j({"error":{"message":"Error code: 402 - {'id': 'o', 'error': {'message': \"Credit limit exceeded. Don't wait.\", 'type': 'credit_limit', 'param': None, 'code': None}}","code":"400"}})j",
                   key_ended},
               refusal_case{
                   "Fireworks: the month's spending limit is a 412", 412,
                   R"j({"error":{"message":"Account acme is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices. Please go to https://fireworks.ai/account/billing for more information.","param":null,"code":"PRECONDITION_FAILED","type":"error"},"request_id":"r"})j",
                   key_ended},
               refusal_case{
                   "Fireworks through litellm", 412,
                   R"j({"error":{"message":"Flux.APIError: APIError: Fireworks_aiException - {\"error\":{\"message\":\"Account a is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices.\",\"param\":null,\"code\":\"PRECONDITION_FAILED\",\"type\":\"error\"}}. Received Model Group=glm","type":null,"param":null,"code":"412"}})j",
                   key_ended},
               refusal_case{
                   "litellm: a budget, by its type", 400,
                   R"j({"error":{"message":"Budget has been exceeded! Current cost: 26.075, Max budget: 0.25","type":"budget_exceeded","param":null,"code":"400"}})j",
                   key_ended},
               refusal_case{
                   "litellm: a budget, as later versions have it", 429,
                   R"j({"error":{"message":"LiteLLM User: engineer-1, exceeded budget for model=claude","type":"budget_exceeded","param":null,"code":"429"}})j",
                   key_ended},
               refusal_case{
                   "litellm: a budget, by its words", 400,
                   R"j({"error":{"message":"Budget has been exceeded! Current cost: 0.0010747, Max budget: 0.0","type":"auth_error","param":null,"code":400}})j",
                   key_ended},
               refusal_case{
                   "litellm: one litellm behind another", 400,
                   R"j({"error":{"message":"litellm.BadRequestError: OpenAIException - Budget has been exceeded! Current cost: 14.1, Max budget: 10. Received Model Group=m","type":null,"param":null,"code":"400"}})j",
                   key_ended},
               refusal_case{
                   "litellm: a customer's budget", 400,
                   R"j({"error":{"message":"ExceededBudget: End User=ishaan3 over budget. Spend=0.0008, Budget=0.0001","type":"auth_error","param":"None","code":400}})j",
                   key_ended},
               refusal_case{
                   "litellm: every deployment crossed its budget", 429,
                   R"j({"error":{"message":"No deployments available - crossed budget: Exceeded budget for deployment model_name: m","type":"None","code":"429"}})j",
                   key_ended},
               refusal_case{
                   "sub2api: no balance", 403,
                   R"j({"code":"INSUFFICIENT_BALANCE","message":"Insufficient account balance"})j",
                   key_ended},
               refusal_case{"sub2api: the code in lower case, in an envelope", 403,
                            R"j({"error":{"code":"insufficient_balance","message":"no"}})j",
                            key_ended},
               refusal_case{
                   "sub2api: the key's own quota", 429,
                   R"j({"code":"API_KEY_QUOTA_EXHAUSTED","message":"API key 额度已用完"})j",
                   key_ended},
               refusal_case{
                   "sub2api: the subscription's window", 429,
                   R"j({"code":"USAGE_LIMIT_EXCEEDED","message":"daily usage limit exceeded"})j",
                   key_ended},
               refusal_case{"a relay: the words at a 400", 400,
                            R"j({"error":{"message":"用户额度不足, 剩余额度: $0.1","code":""}})j",
                            key_ended},
               refusal_case{"a relay: a balance by words", 403,
                            R"j({"message":"账户余额不足，请充值"})j", key_ended},
               refusal_case{
                   "Azure's API management: the volume of the week", 403,
                   R"j({"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 5.12:00:00."})j",
                   key_ended},
               refusal_case{
                   "Cohere: a trial key's month", 429,
                   R"j({"message":"You are using a Trial key, which is limited to 1000 API calls / month."})j",
                   key_ended}));

INSTANTIATE_TEST_SUITE_P(
    Barred, VendorError,
    testing::Values(
        refusal_case{
            "Gemini: a wrong key is a 400", 400,
            R"j([{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}])j",
            key_ended},
        refusal_case{
            "Gemini: an API that is not switched on", 403,
            R"j({"error":{"code":403,"message":"Generative Language API has not been used in project 1 before or it is disabled.","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED"}]}})j",
            key_ended},
        refusal_case{
            "Gemini: a country", 400,
            R"j([{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}])j",
            key_ended},
        refusal_case{
            "Anthropic: an organization that is shut out", 400,
            R"j({"type":"error","error":{"type":"invalid_request_error","message":"This organization has been disabled."}})j",
            key_ended},
        refusal_case{
            "Groq: an organization that is shut out", 400,
            R"j({"error":{"message":"Organization has been restricted.","type":"invalid_request_error","code":"organization_restricted"}})j",
            key_ended},
        refusal_case{"Zhipu: an account that is locked", 429,
                     R"j({"error":{"code":"1112","message":"您的账户已被锁定,请联系客服解锁"}})j",
                     key_ended},
        refusal_case{"sub2api: a key past its time", 403,
                     R"j({"code":"API_KEY_EXPIRED","message":"API key 已过期"})j", key_ended},
        refusal_case{
            "sub2api: no subscription", 403,
            R"j({"code":"SUBSCRIPTION_NOT_FOUND","message":"No active subscription found for this group"})j",
            key_ended},
        refusal_case{"sub2api: an address", 403,
                     R"j({"code":"ACCESS_DENIED","message":"Access denied"})j", key_ended}));

INSTANTIATE_TEST_SUITE_P(
    Throttled, VendorError,
    testing::Values(
        refusal_case{
            "Gemini: the quota of a minute speaks of plan and billing, too", 429,
            R"j({"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_input_token_count","quotaId":"GenerateContentInputTokensPerModelPerMinute-FreeTier","quotaValue":"250000"}]}]}})j",
            throttled},
        refusal_case{
            "Vertex: no capacity for this project", 429,
            R"j([{"error":{"code":429,"message":"Resource exhausted. Please try again later.","status":"RESOURCE_EXHAUSTED"}}])j",
            throttled},
        refusal_case{
            "Google: a rate limit that is a 403", 403,
            R"j({"error":{"code":403,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED"}})j",
            throttled},
        refusal_case{
            "DashScope: the tokens of a minute, under the code of a spent quota", 429,
            R"j({"error":{"message":"You exceeded your current quota, please check your plan and billing details. For details, see: https://help.aliyun.com/zh/model-studio/error-code#token-limit","type":"insufficient_quota","param":null,"code":"insufficient_quota"}})j",
            throttled},
        refusal_case{
            "DashScope: the same in other words", 429,
            R"j({"error":{"message":"Allocated quota exceeded, please increase your quota limit.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}})j",
            throttled},
        refusal_case{
            "DashScope: requests", 429,
            R"j({"code":"Throttling.RateQuota","message":"Requests rate limit exceeded, please try again later.","request_id":"r"})j",
            throttled},
        refusal_case{
            "OpenAI: requests of a day", 429,
            R"j({"error":{"message":"Rate limit reached for gpt-4o on requests per day (RPD): Limit 200, Used 200, Requested 1. Please try again in 7m12s.","type":"requests","param":null,"code":"rate_limit_exceeded"}})j",
            throttled},
        refusal_case{
            "Groq: tokens of a minute", 429,
            R"j({"error":{"message":"Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_1` on tokens per minute (TPM): Limit 6000, Used 5800, Requested 500. Please try again in 3s.","type":"tokens","code":"rate_limit_exceeded"}})j",
            throttled},
        refusal_case{
            "OpenRouter: the free models of a day, with a moment in a header", 429,
            R"j({"error":{"message":"Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day","code":429,"metadata":{"headers":{"X-RateLimit-Limit":"50","X-RateLimit-Remaining":"0"}}}})j",
            throttled},
        refusal_case{
            "OpenRouter: its upstream", 429,
            R"j({"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"acme/tiny:free is temporarily rate-limited upstream. Please retry shortly.","provider_name":"Chutes"}}})j",
            throttled},
        refusal_case{
            "Moonshot: tokens of a day", 429,
            R"j({"error":{"message":"Your account org-1 request reached organization TPD rate limit, current: 1500100, limit: 1500000","type":"rate_limit_reached_error"}})j",
            throttled},
        refusal_case{
            "Moonshot: overloaded", 429,
            R"j({"error":{"message":"The engine is currently overloaded, please try again later","type":"engine_overloaded_error"}})j",
            throttled},
        refusal_case{
            "Zhipu: too many at once", 429,
            R"j({"error":{"code":"1302","message":"您当前使用该 API 的并发数过高，请降低并发，或联系客服增加限额"}})j",
            throttled},
        refusal_case{
            "Zhipu: the model is overloaded", 429,
            R"j({"error":{"code":"1305","message":"该模型当前访问量过大，请您稍后再试"}})j",
            throttled},
        refusal_case{
            "Volcengine: requests of a minute", 429,
            R"j({"error":{"code":"RateLimitExceeded.EndpointRPMExceeded","message":"The Requests Per Minute (RPM) limit of the associated endpoint for your account has been exceeded.","type":"TooManyRequests"}})j",
            throttled},
        refusal_case{
            "Volcengine: overloaded", 429,
            R"j({"error":{"code":"ServerOverloaded","message":"The service is currently unable to process additional requests","type":"TooManyRequests"}})j",
            throttled},
        refusal_case{
            "Mistral: its rate limit has the number of another vendor", 429,
            R"j({"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429})j",
            throttled},
        refusal_case{
            "Anthropic: its rate limit", 429,
            R"j({"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit of 40,000 input tokens per minute."}})j",
            throttled},
        refusal_case{
            "Codex: a plan's window, which says when it ends", 429,
            R"j({"error":{"type":"usage_limit_reached","message":"The usage limit has been reached","plan_type":"plus","resets_in_seconds":4500}})j",
            throttled},
        refusal_case{
            "SiliconFlow: its rate limit", 429,
            R"j({"code":20015,"message":"Request was rejected due to rate limiting. Details: TPM limit reached.","data":null})j",
            throttled},
        refusal_case{"MiniMax: its rate limit", 429,
                     R"j({"base_resp":{"status_code":1002,"status_msg":"rate limit"}})j",
                     throttled},
        refusal_case{
            "Azure: its rate limit", 429,
            R"j({"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-02-01 have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 6 seconds."}})j",
            throttled},
        refusal_case{
            "Cohere: a trial key's minute", 429,
            R"j({"message":"You are using a Trial key, which is limited to 40 API calls / minute."})j",
            throttled},
        refusal_case{
            "a request that is called too large, and would pass alone", 429,
            R"j({"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 29000.","type":"tokens","code":"rate_limit_exceeded"}})j",
            throttled}));

INSTANTIATE_TEST_SUITE_P(
    Passing, VendorError,
    testing::Values(
        refusal_case{
            "Anthropic: overloaded", 529,
            R"j({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})j",
            passing},
        refusal_case{
            "Anthropic through a relay that makes it a 400", 400,
            R"j({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})j",
            passing},
        refusal_case{
            "Gemini: overloaded", 503,
            R"j([{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}])j",
            passing},
        refusal_case{
            "llama.cpp: not loaded yet", 503,
            R"j({"error":{"code":503,"message":"Loading model","type":"unavailable_error"}})j",
            passing},
        refusal_case{
            "DeepSeek: overloaded", 503,
            R"j({"error":{"message":"Service is too busy.","type":"service_unavailable"}})j",
            passing},
        refusal_case{
            "SiliconFlow: overloaded", 503,
            R"j({"code":50505,"message":"Model service overloaded. Please try again later.","data":null})j",
            passing},
        refusal_case{"Cloudflare: the origin is silent", 520, "error code: 520", passing},
        refusal_case{"Cloudflare: the origin is down", 521, "", passing},
        refusal_case{"Cloudflare: the origin cannot be reached", 523, "", passing},
        refusal_case{"Cloudflare: no TLS to the origin", 525, "<title>525</title>", passing},
        refusal_case{"a client's own end, told by a gateway", 499, "", passing},
        refusal_case{"the same with a page", 499, "<title>499</title>", passing},
        refusal_case{
            "vLLM: an engine that died", 500,
            R"j({"object":"error","message":"EngineCore encountered an issue","type":"InternalServerError","param":null,"code":500})j",
            passing},
        refusal_case{
            "Ollama: too many at once", 503,
            R"j({"error":"server busy, please try again.  maximum pending requests exceeded"})j",
            passing}));

INSTANTIATE_TEST_SUITE_P(
    TierFull, VendorError,
    testing::Values(
        refusal_case{
            "Groq: no flex capacity", 498,
            R"j({"error":{"message":"Flex tier capacity exceeded","type":"flex","code":"capacity_exceeded"}})j",
            passing, flag::tier_full},
        refusal_case{"Groq: the same without a word", 498, "", passing, flag::tier_full},
        refusal_case{"Groq: a relay made it a 429", 429,
                     R"j({"error":{"message":"no capacity","code":"capacity_exceeded"}})j", passing,
                     flag::tier_full},
        refusal_case{
            "OpenAI: no flex capacity", 429,
            R"j({"error":{"message":"Resource Unavailable","type":"rate_limit_error","param":null,"code":"resource_unavailable"}})j",
            passing, flag::tier_full},
        refusal_case{"OpenAI: the same by its words", 429,
                     R"j({"error":{"message":"Resource Unavailable","code":null}})j", passing,
                     flag::tier_full},
        refusal_case{
            "Mistral: no capacity in the tier", 429,
            R"j({"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","param":null,"code":"3505"})j",
            passing, flag::tier_full},
        refusal_case{
            "Mistral: the same without a code", 429,
            R"j({"object":"error","message":"Service tier capacity exceeded for this model.","type":"invalid_request_error","param":null,"code":null})j",
            passing, flag::tier_full}));

INSTANTIATE_TEST_SUITE_P(
    ModelOut, VendorError,
    testing::Values(
        refusal_case{"new-api: no channel, by its code", 503,
                     R"j({"error":{"message":"none","code":"model_not_found"}})j", passing,
                     flag::model_out},
        refusal_case{"one-api: no channel, by its words", 503,
                     R"j({"error":{"message":"当前分组 default 下对于模型 gpt-4 无可用渠道"}})j",
                     passing, flag::model_out},
        refusal_case{"a relay that says it with a 429", 429,
                     R"j({"error":{"message":"当前分组 default 下对于模型 gpt-4 无可用渠道"}})j",
                     passing, flag::model_out},
        refusal_case{"a relay that says it with a 404", 404,
                     R"j({"error":{"message":"No available channel for model acme/tiny:free"}})j",
                     passing, flag::model_out},
        refusal_case{
            "new-api: the channel has no key", 500,
            R"j({"error":{"message":"no enabled keys","code":"channel:no_available_key"}})j",
            passing, flag::model_out},
        refusal_case{
            "sub2api: no account", 503,
            R"j({"error":{"type":"api_error","message":"No available accounts: no available accounts"}})j",
            passing, flag::model_out},
        refusal_case{"OpenRouter: no instance", 503,
                     R"j({"error":{"message":"No instances available","code":503}})j", passing,
                     flag::model_out},
        refusal_case{
            "OpenRouter: no provider", 503,
            R"j({"error":{"message":"There is no available model provider that meets your routing requirements","code":503}})j",
            passing, flag::model_out},
        refusal_case{
            "litellm: every deployment cools down", 429,
            R"j({"error":{"message":"No deployments available for selected model, Try again in 5 seconds. Passed model=m. pre-call-checks=False","type":"None","code":"429"}})j",
            passing, flag::model_out},
        refusal_case{
            "ZenMux: no provider", 502,
            R"j({"error":{"code":"502","type":"no_provider_available","message":"No upstream provider available"}})j",
            passing, flag::model_out},
        refusal_case{
            "NVIDIA: a function that is out is a 400", 400,
            R"j({"status":400,"title":"Bad Request","detail":"Function id '87ea0ddc': DEGRADED function cannot be invoked"})j",
            passing, flag::model_out},
        refusal_case{
            "Volcengine: an endpoint that is closed", 400,
            R"j({"error":{"code":"InvalidEndpoint.ClosedEndpoint","message":"The request targeted an endpoint that is currently closed or temporarily unavailable.","type":"BadRequest"}})j",
            passing, flag::model_out}));

INSTANTIATE_TEST_SUITE_P(
    RequestsOwn, VendorError,
    testing::Values(
        refusal_case{
            "OpenRouter: no endpoints for the model", 404,
            R"j({"error":{"message":"No endpoints found for acme/tiny:free.","code":404}})j",
            permanent},
        refusal_case{
            "OpenRouter: a policy", 404,
            R"j({"error":{"message":"No endpoints found matching your data policy (Free model publication).","code":404}})j",
            permanent},
        refusal_case{
            "OpenRouter: no provider that is allowed", 404,
            R"j({"error":{"message":"No allowed providers are available for it.","code":404}})j",
            permanent},
        refusal_case{"a refusal that holds only the model's name", 404,
                     R"j({"error":"acme/tiny:free: not found"})j", permanent},
        refusal_case{"a refusal that holds the name in another member", 404,
                     R"j({"error":{"message":"not found","metadata":{"slug":"acme/tiny:free"}}})j",
                     permanent},
        refusal_case{
            "NVIDIA: a function", 404,
            R"j({"status":404,"title":"Not Found","detail":"Function '23d4f03a-b8a6-4adb-a183-7daa083a09cc': Not found for account 'Qawmu2vUw3rd'"})j",
            permanent},
        refusal_case{
            "Azure: a deployment", 404,
            R"j({"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."}})j",
            permanent},
        refusal_case{
            "Volcengine: an endpoint", 404,
            R"j({"error":{"code":"InvalidEndpointOrModel.NotFound","message":"The model or endpoint ep-1 does not exist or you do not have access to it.","type":"NotFound"}})j",
            permanent},
        refusal_case{
            "Volcengine: a model that is not activated", 404,
            R"j({"error":{"code":"ModelNotOpen","message":"Your account 1 has not activated it.","type":"NotFound"}})j",
            permanent},
        refusal_case{
            "Ollama: a model", 404,
            R"j({"error":{"message":"model \"tiny\" not found, try pulling it first","type":"api_error","param":null,"code":null}})j",
            permanent},
        refusal_case{
            "vLLM: a model", 404,
            R"j({"object":"error","message":"The model `tiny` does not exist.","type":"NotFoundError","param":null,"code":404})j",
            permanent},
        refusal_case{
            "Gemini: a model", 404,
            R"j([{"error":{"code":404,"message":"models/tiny is not found for API version v1main, or is not supported for generateContent.","status":"NOT_FOUND"}}])j",
            permanent},
        refusal_case{
            "Moonshot: a model", 404,
            R"j({"error":{"message":"Not found the model kimi-9 or Permission denied","type":"resource_not_found_error"}})j",
            permanent},
        refusal_case{
            "Fireworks: a model", 404,
            R"j({"error":{"object":"error","type":"invalid_request_error","code":"NOT_FOUND","message":"Model not found, inaccessible, and/or not deployed"}})j",
            permanent},
        refusal_case{
            "SiliconFlow: a model is a 400", 400,
            R"j({"code":20012,"message":"Model does not exist. Please check it carefully.","data":null})j",
            permanent},
        refusal_case{"Zhipu: a model is a 400", 400,
                     R"j({"error":{"code":"1211","message":"模型不存在，请检查模型代码。"}})j",
                     permanent},
        refusal_case{"Zhipu: a model that the plan has not", 403,
                     R"j({"error":{"code":"1311","message":"当前订阅套餐暂未开放GLM-5权限"}})j",
                     permanent},
        refusal_case{
            "OpenAI: a request that can never pass", 429,
            R"j({"error":{"message":"Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested 36000. The input or output tokens must be reduced in order to run successfully. Visit https://platform.openai.com/account/rate-limits to learn more.","type":"tokens","param":null,"code":"rate_limit_exceeded"}})j",
            permanent},
        refusal_case{
            "Groq: the same", 413,
            R"j({"error":{"message":"Request too large for model `openai/gpt-oss-120b` in organization `org_1` service tier `on_demand` on tokens per minute (TPM): Limit 8000, Requested 10013, please reduce your message size and try again. Need more tokens? Upgrade to Dev Tier today","type":"tokens","code":"rate_limit_exceeded"}})j",
            permanent},
        refusal_case{
            "Groq: the same through a relay that makes it a 429", 429,
            R"j({"error":{"message":"Request too large for model `m` on tokens per minute (TPM): Limit 8000, Requested 10013, please reduce your message size and try again.","type":"tokens","code":"rate_limit_exceeded"}})j",
            permanent},
        refusal_case{
            "Anthropic: a context that the plan has not", 429,
            R"j({"type":"error","error":{"type":"rate_limit_error","message":"Extra usage is required for long context requests."}})j",
            permanent},
        refusal_case{
            "a context too long that a relay calls a server error", 500,
            R"j({"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.","type":"upstream_error","code":null}})j",
            permanent},
        refusal_case{"the same by its code", 502,
                     R"j({"error":{"message":"too long","code":"context_length_exceeded"}})j",
                     permanent},
        refusal_case{
            "DashScope: content that a relay calls a server error", 500,
            R"j({"error":{"message":"Input data may contain inappropriate content.","code":"data_inspection_failed"}})j",
            permanent},
        refusal_case{
            "Zhipu: content that a relay calls a server error", 500,
            R"j({"error":{"code":"1301","message":"系统检测到输入或生成内容可能包含不安全或敏感内容"}})j",
            permanent},
        refusal_case{"MiniMax: content", 400,
                     R"j({"base_resp":{"status_code":1026,"status_msg":"new sensitive"}})j",
                     permanent},
        refusal_case{
            "GitHub Models: too many tokens", 413,
            R"j({"error":{"code":"tokens_limit_reached","message":"Request body too large for gpt-4o model. Max size: 8000 tokens."}})j",
            permanent}));

INSTANTIATE_TEST_SUITE_P(
    WrongPath, VendorError,
    testing::Values(
        refusal_case{"FastAPI", 404, R"j({"detail":"Not Found"})j", wrong_address},
        refusal_case{"Ollama and NVIDIA", 404, R"j({"error":"404 page not found"})j",
                     wrong_address},
        refusal_case{
            "new-api", 404,
            R"j({"error":{"message":"Invalid URL (POST /v1/v1/chat/completions)","type":"invalid_request_error","param":"","code":""}})j",
            wrong_address},
        refusal_case{
            "new-api: a path that speaks of models", 404,
            R"j({"error":{"message":"Invalid URL (POST /v1/models/chat/completions)","type":"invalid_request_error"}})j",
            wrong_address},
        refusal_case{
            "OpenAI", 404,
            R"j({"error":{"message":"Unknown request URL: POST /models/x. Please check the URL for typos","type":"invalid_request_error","param":null,"code":"unknown_url"}})j",
            wrong_address},
        refusal_case{
            "Moonshot", 404,
            R"j({"code":5,"error":"url.not_found","message":"没找到对象","method":"POST","url":"/v2/chat"})j",
            wrong_address},
        refusal_case{"Azure", 404, R"j({"error":{"code":"404","message":"Resource not found"}})j",
                     wrong_address},
        refusal_case{"Kong", 404, R"j({"message":"no Route matched with those values"})j",
                     wrong_address},
        refusal_case{
            "llama.cpp", 404,
            R"j({"error":{"code":404,"message":"File Not Found","type":"not_found_error"}})j",
            wrong_address},
        refusal_case{"Gemini, with nothing to say", 404,
                     R"j([{"error":{"code":404,"message":"","status":"NOT_FOUND"}}])j",
                     wrong_address},
        refusal_case{
            "sub2api", 404,
            R"j({"error":{"code":"endpoint_not_found","message":"The requested endpoint does not exist"}})j",
            wrong_address},
        refusal_case{
            "LM Studio", 404,
            R"j({"error":"Unexpected endpoint or method. (POST /v1/v1/chat/completions)"})j",
            wrong_address},
        refusal_case{"text that is no JSON, whatever it speaks of", 404, "model not found",
                     wrong_address},
        refusal_case{"a longer name than the model's", 404,
                     R"j({"error":"acme/tiny:free-2 was not found"})j", wrong_address}));

// An error may repeat text of the user. This text must not end a run.
INSTANTIATE_TEST_SUITE_P(
    PromptsRepeated, VendorError,
    testing::Values(
        refusal_case{
            "a code in the message", 400,
            R"j({"error":{"message":"Invalid value: insufficient_quota","type":"invalid_request_error","code":"invalid_value"}})j",
            permanent},
        refusal_case{
            "words inside a validator's message", 400,
            R"j({"object":"error","message":"[{'type': 'missing', 'loc': ('body', 'messages'), 'msg': 'Field required', 'input': {'prompt': 'Your credit balance is too low'}}]","type":"BadRequestError","code":400})j",
            permanent},
        refusal_case{
            "an error of another vendor as the input of a validator", 422,
            R"j({"detail":[{"type":"string_type","loc":["body","prompt"],"msg":"Input should be a valid string","input":{"error":{"code":"insufficient_quota","message":"Insufficient Balance"}}}]})j",
            permanent},
        refusal_case{
            "JSON in the middle of a message", 400,
            R"j({"error":{"message":"Could not parse the content: {\"error\":{\"code\":\"insufficient_quota\"}}","type":"invalid_request_error","code":null}})j",
            permanent},
        refusal_case{
            "quoted JSON that looks like litellm's", 400,
            R"j({"error":{"message":"Invalid 'messages': 'OpenAIException - {\"error\":{\"code\":\"insufficient_quota\"}}'","code":null}})j",
            permanent},
        refusal_case{
            "words in the middle of a message", 400,
            R"j({"error":{"message":"The prompt says: insufficient balance, key limit exceeded, 余额不足","code":null}})j",
            permanent},
        refusal_case{
            "quoted words of a 429", 429,
            R"j({"error":{"message":"Rate limit reached while handling 'you have run out of credits, insufficient balance'","code":null}})j",
            throttled},
        refusal_case{
            "quoted words of a 403 from a filter", 403,
            R"j({"error":{"message":"Your input was flagged: \"Your account is out of credits\". No credits were charged.","code":403,"metadata":{"reasons":["violence"],"flagged_input":"insufficient balance"}}})j",
            permanent},
        refusal_case{
            "quoted words of a server error", 500,
            R"j({"error":{"message":"cannot render “insufficient balance”","code":null}})j",
            passing},
        refusal_case{
            "a quotation that does not end", 503,
            R"j({"error":{"message":"failed at: \"the user's balance is insufficient","code":null}})j",
            passing},
        refusal_case{
            "a context too long", 400,
            R"j({"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}})j",
            permanent},
        refusal_case{
            "a context too long, with the word quota", 400,
            R"j({"error":{"message":"Prompt is too long: the quota is not enough","code":null}})j",
            permanent},
        refusal_case{
            "a moderation", 400,
            R"j({"error":{"message":"The request was rejected because it was considered high risk","type":"content_filter"}})j",
            permanent},
        refusal_case{
            "OpenRouter's moderation", 403,
            R"j({"error":{"message":"acme/tiny requires moderation on Acme. Your input was flagged for \"violence\". No credits were charged.","code":403,"metadata":{"reasons":["violence"],"flagged_input":"insufficient_quota","provider_name":"Acme"}}})j",
            permanent},
        refusal_case{
            "a known code says what words deny", 400,
            R"j({"error":{"message":"Insufficient balance is not allowed here","code":"content_policy_violation"}})j",
            permanent},
        refusal_case{"a page is no proof", 503, "<html><title>Insufficient balance</title></html>",
                     passing}));

TEST(VendorErrorHints, AFullTierIsTriedAgainWhenItSays) {
  reply_head head;
  head.status = 498;
  head.hints["retry-after"] = "7";
  EXPECT_EQ(http_failure(head, "", 0).retry_after, std::chrono::seconds(7));
}

struct reported_case {
  const char* name;
  const char* error;
  failure_class kind;
  flag out = flag::none;
};
std::ostream& operator<<(std::ostream& out, const reported_case& row) {
  return out << row.name;
}

class VendorErrorUnderASuccess : public testing::TestWithParam<reported_case> {};

TEST_P(VendorErrorUnderASuccess, HasItsClassAsABodyAndInAStream) {
  const reported_case& row = GetParam();
  const std::string error = row.error;
  const std::string streamed = test::events({test::said(R"j({"content":"a"})j"), error, "[DONE]"});
  for (const auto& from : {test::response{.body = error, .content_type = "application/json"},
                           test::response{.body = streamed}}) {
    const auto seen = test::read(from);
    ASSERT_FALSE(seen.outcome.has_value());
    const failure& failed = seen.outcome.error();
    EXPECT_EQ(failed.code, errc::invalid_response);
    EXPECT_EQ(failed.kind, row.kind) << from.body;
    EXPECT_EQ(failed.model_out, row.out == flag::model_out) << from.body;
    EXPECT_EQ(failed.tier_full, row.out == flag::tier_full) << from.body;
    EXPECT_EQ(failed.http_status, 200);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rows, VendorErrorUnderASuccess,
    testing::Values(
        reported_case{
            "MiniMax: no balance",
            R"j({"id":"0","choices":null,"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}})j",
            key_ended},
        reported_case{"MiniMax: the plan's limit",
                      R"j({"base_resp":{"status_code":2056,"status_msg":"usage limit exceeded"}})j",
                      key_ended},
        reported_case{"MiniMax: a wrong key",
                      R"j({"base_resp":{"status_code":1004,"status_msg":"login fail"}})j",
                      key_ended},
        reported_case{"OpenRouter: no credits",
                      R"j({"error":{"message":"Insufficient credits","code":402}})j", key_ended},
        reported_case{"OpenAI's code",
                      R"j({"error":{"message":"quota","code":"insufficient_quota"}})j", key_ended},
        reported_case{"a dashboard's words",
                      R"j({"success":false,"message":"用户额度不足, 剩余额度: $0"})j", key_ended},
        reported_case{"a context too long",
                      R"j({"error":{"message":"too long","code":"context_length_exceeded"}})j",
                      permanent},
        reported_case{"MiniMax: content",
                      R"j({"base_resp":{"status_code":1027,"status_msg":"output new_sensitive"}})j",
                      permanent},
        reported_case{"no channel",
                      R"j({"error":{"message":"No available channel for model m","code":"x"}})j",
                      passing, flag::model_out},
        reported_case{"no capacity in the tier",
                      R"j({"error":{"message":"full","code":"capacity_exceeded"}})j", passing,
                      flag::tier_full},
        reported_case{"an upstream's trouble",
                      R"j({"error":{"message":"Provider returned error","code":502}})j", passing},
        reported_case{"an upstream's words in the middle of a message",
                      R"j({"error":{"message":"while reading: insufficient balance","code":500}})j",
                      passing}));

TEST(VendorErrorUnderASuccessInAResponse, IsToldByTheResponsesError) {
  const auto seen = test::read(
      {.body = test::events(
           {R"j({"type":"response.created","response":{"id":"r","status":"in_progress"}})j",
            R"j({"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"insufficient_quota","message":"You exceeded your current quota"}}})j"}),
       .target = endpoint::responses});
  ASSERT_FALSE(seen.outcome.has_value());
  EXPECT_EQ(seen.outcome.error().kind, key_ended);
}

// ---------------------------------------------------------------- the table

TEST(VendorErrorTable, EachRowHasAVendorASourceAndATextOfItsOwn) {
  std::set<std::string> seen;
  for (const vendor_error& row : vendor_errors()) {
    SCOPED_TRACE(row.text);
    EXPECT_FALSE(row.vendor.empty());
    EXPECT_TRUE(row.source.starts_with("https://"));
    EXPECT_NE(row.text.empty(), row.where != vendor_error::place::status);
    std::string key(row.text);
    std::transform(key.begin(), key.end(), key.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    key += '/' + std::to_string(static_cast<int>(row.where)) + '/' + std::to_string(row.status) +
           '/' + std::string(row.also);
    EXPECT_TRUE(seen.insert(key).second) << "no row stands twice";
  }
}

// If one row of the table hid another one, the hidden row would never be used.
TEST(VendorErrorTable, EachRowIsReached) {
  for (const vendor_error& row : vendor_errors()) {
    SCOPED_TRACE(row.text);
    using place = vendor_error::place;
    if (row.where == place::finish_reason) {
      EXPECT_TRUE(is_broken_off(row.text));
      continue;
    }
    error_body error;
    error.structured = true;
    const bool coded = row.where == place::code || row.where == place::in_code;
    if (coded) error.codes.emplace_back(row.text);
    if (!coded) error.message = std::string(row.text) + " " + std::string(row.also);
    const int status = row.status == 0 ? 418 : row.status < 10 ? 100 * row.status + 18 : row.status;
    EXPECT_EQ(meaning_of(error, status), row.meaning);
  }
}

TEST(VendorErrorTable, StandsInTheDocumentation) {
  std::ifstream file(SLUICE_DOCS "/errors.md");
  std::stringstream read;
  read << file.rdbuf();
  const std::string page = read.str();
  ASSERT_FALSE(page.empty());
  for (const vendor_error& row : vendor_errors()) {
    if (row.text.empty()) continue;
    EXPECT_NE(page.find("`" + std::string(row.text) + "`"), std::string::npos) << row.text;
  }
}

TEST(FinishReasons, ThatMeanBrokenOff) {
  for (const char* reason :
       {"error", "ERROR", "abort", "aborted", "network_error", "network-error", "Network_Error",
        "insufficient_system_resource", "INSUFFICIENT-SYSTEM-RESOURCE", "server_error", "timeout",
        "cancelled"}) {
    EXPECT_TRUE(is_broken_off(reason)) << reason;
  }
  for (const char* reason : {"stop", "length", "tool_calls", "content_filter", "eos", "eos_token",
                             "end_turn", "max_tokens", "sensitive", "", "_error", "errors"}) {
    EXPECT_FALSE(is_broken_off(reason)) << reason;
  }
}

}  // namespace
}  // namespace sluice::openai
