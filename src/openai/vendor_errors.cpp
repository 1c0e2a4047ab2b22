#include "openai/vendor_errors.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace sluice::openai {
namespace {

using enum error_meaning;
using place = vendor_error::place;

// Sources: documentation of the vendors, or public reports of their users.
constexpr std::string_view anthropic = "https://docs.anthropic.com/en/api/errors";
constexpr std::string_view anthropic_context =
    "https://docs.openclaw.ai/gateway/troubleshooting#anthropic-429-extra-usage-required";
constexpr std::string_view ark = "https://www.volcengine.com/docs/82379/1299023";
constexpr std::string_view azure = "https://github.com/chatboxai/chatbox/issues/861";
constexpr std::string_view azure_volume =
    "https://learn.microsoft.com/azure/api-management/quota-policy";
constexpr std::string_view claude_code = "https://github.com/anthropics/claude-code/issues/4208";
constexpr std::string_view codex = "https://github.com/openai/codex/issues/43337";
constexpr std::string_view cohere = "https://docs.cohere.com/reference/errors";
constexpr std::string_view dash_scope =
    "https://www.alibabacloud.com/help/en/model-studio/error-code";
constexpr std::string_view dash_scope_users = "https://github.com/axoviq-ai/synthadoc/issues/215";
constexpr std::string_view deep_seek = "https://api-docs.deepseek.com/quick_start/error_codes";
constexpr std::string_view deep_seek_reasons =
    "https://api-docs.deepseek.com/api/create-chat-completion";
constexpr std::string_view express = "https://expressjs.com/en/starter/faq.html";
constexpr std::string_view fastify = "https://fastify.dev/docs/latest/Reference/Server/";
constexpr std::string_view fireworks = "https://github.com/amd/gaia/issues/3766";
constexpr std::string_view gemini = "https://ai.google.dev/gemini-api/docs/troubleshooting";
constexpr std::string_view gemini_users = "https://github.com/google-gemini/gemini-cli/issues/8437";
constexpr std::string_view gemini_capacity =
    "https://github.com/google-gemini/gemini-cli/issues/23520";
constexpr std::string_view groq = "https://console.groq.com/docs/errors";
constexpr std::string_view groq_flex = "https://console.groq.com/docs/flex-processing";
constexpr std::string_view kimi_code =
    "https://www.kimi.com/code/docs/en/kimi-code/error-reference.html";
constexpr std::string_view kong = "https://docs.konghq.com/gateway/latest/get-started/";
constexpr std::string_view litellm_budget = "https://github.com/BerriAI/litellm/pull/4606";
constexpr std::string_view litellm_words = "https://github.com/BerriAI/litellm/issues/14144";
constexpr std::string_view llama_cpp =
    "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md";
constexpr std::string_view lm_studio = "https://lmstudio.ai/docs/developer/openai-compat";
constexpr std::string_view mini_max = "https://platform.minimax.io/docs/api-reference/errorcode.md";
constexpr std::string_view mini_max_users = "https://github.com/modelscope/modelscope/issues/1691";
constexpr std::string_view mistral = "https://github.com/BerriAI/litellm/pull/25078";
constexpr std::string_view moonshot = "https://platform.kimi.com/docs/api/errors.md";
constexpr std::string_view moonshot_users = "https://github.com/MoonshotAI/kimi-code/pull/1857";
constexpr std::string_view new_api =
    "https://github.com/QuantumNous/new-api/blob/main/types/error.go";
constexpr std::string_view nvidia = "https://github.com/Alishahryar1/free-claude-code/issues/1021";
constexpr std::string_view nvidia_degraded =
    "https://github.com/tashfeenahmed/freellmapi/issues/522";
constexpr std::string_view nvidia_path = "https://github.com/Hmbown/Codewhale/issues/1482";
constexpr std::string_view one_api =
    "https://github.com/songquanpeng/one-api/blob/main/middleware/auth.go";
constexpr std::string_view open_ai = "https://platform.openai.com/docs/guides/error-codes";
constexpr std::string_view open_ai_flex = "https://platform.openai.com/docs/guides/flex-processing";
constexpr std::string_view open_router = "https://openrouter.ai/docs/api-reference/errors";
constexpr std::string_view open_router_key = "https://github.com/RooCodeInc/Roo-Code/issues/515";
constexpr std::string_view phaseo =
    "https://ai-stats.phaseo.app/models/minimax/minimax-m2-5-2026-02-12/quickstart";
constexpr std::string_view sglang = "https://docs.sglang.ai/basic_usage/openai_api.html";
constexpr std::string_view silicon_flow = "https://docs.siliconflow.cn/cn/faqs/error-code.md";
constexpr std::string_view sub2api =
    "https://github.com/Wei-Shaw/sub2api/blob/main/backend/internal/server/middleware/"
    "api_key_auth.go";
constexpr std::string_view sub2api_gateway =
    "https://github.com/Wei-Shaw/sub2api/blob/main/backend/internal/handler/gateway_handler.go";
constexpr std::string_view tensor_rt =
    "https://nvidia.github.io/TensorRT-LLM/llm-api/reference.html";
constexpr std::string_view together = "https://github.com/expectedparrot/edsl/issues/2098";
constexpr std::string_view together_docs = "https://docs.together.ai/docs/error-codes";
constexpr std::string_view vllm =
    "https://github.com/vllm-project/vllm/blob/main/vllm/v1/engine/__init__.py";
constexpr std::string_view xai = "https://github.com/continuedev/continue/issues/10373";
constexpr std::string_view xai_new_team = "https://github.com/continuedev/continue/issues/12670";
constexpr std::string_view xai_credits = "https://github.com/Wei-Shaw/sub2api/issues/4069";
constexpr std::string_view zai = "https://docs.z.ai/api-reference/api-code";
constexpr std::string_view zen_mux = "https://docs.zenmux.ai/guide/advanced/error-codes.html";
constexpr std::string_view zhipu = "https://docs.bigmodel.cn/cn/api/api-code";
constexpr std::string_view zhipu_reasons =
    "https://docs.bigmodel.cn/api-reference/%E6%A8%A1%E5%9E%8B-api/%E5%AF%B9%E8%AF%9D%E8%A1%A5"
    "%E5%85%A8";

constexpr int any = 0;

constexpr vendor_error table[] = {
    // Exceptions come first: these errors have the code insufficient_quota, but are about the limit
    // of tokens per minute.
    vendor_error{"DashScope", place::mention, "error-code#token-limit", throttled, any, dash_scope},
    vendor_error{"DashScope", place::start, "allocated quota exceeded", throttled, any, dash_scope},
    vendor_error{"DashScope", place::start, "workspace allocated quota exceeded", throttled, any,
                 dash_scope},

    // The request is refused for its content or its size.
    vendor_error{"OpenAI", place::code, "context_length_exceeded", too_large, any, open_ai},
    vendor_error{"OpenAI", place::code, "string_above_max_length", too_large, any, open_ai},
    vendor_error{"Anthropic", place::code, "request_too_large", too_large, any, anthropic},
    vendor_error{"Zhipu", place::code, "1261", too_large, any, zhipu},
    vendor_error{"OpenAI", place::code, "content_filter", at_fault, any, open_ai},
    vendor_error{"OpenAI", place::code, "content_policy_violation", at_fault, any, open_ai},
    vendor_error{"OpenAI", place::code, "invalid_prompt", at_fault, any, open_ai},
    vendor_error{"OpenAI", place::code, "invalid_value", at_fault, any, open_ai},
    vendor_error{"OpenAI", place::code, "missing_required_parameter", at_fault, any, open_ai},
    vendor_error{"OpenAI", place::code, "unsupported_parameter", at_fault, any, open_ai},
    vendor_error{"OpenAI", place::code, "unsupported_value", at_fault, any, open_ai},
    vendor_error{"DashScope", place::code, "data_inspection_failed", at_fault, any, dash_scope},
    vendor_error{"DashScope", place::code, "DataInspectionFailed", at_fault, any, dash_scope},
    vendor_error{"DashScope", place::code, "InvalidParameter", at_fault, any, dash_scope},
    vendor_error{"DashScope", place::code, "invalid_parameter_error", at_fault, any, dash_scope},
    vendor_error{"Zhipu", place::code, "1210", at_fault, any, zhipu},
    vendor_error{"Zhipu", place::code, "1213", at_fault, any, zhipu},
    vendor_error{"Zhipu", place::code, "1214", at_fault, any, zhipu},
    vendor_error{"Zhipu", place::code, "1301", at_fault, any, zhipu},
    vendor_error{"MiniMax", place::code, "base_resp 1026", at_fault, any, mini_max},
    vendor_error{"MiniMax", place::code, "base_resp 1027", at_fault, any, mini_max},
    vendor_error{"MiniMax", place::code, "base_resp 2013", at_fault, any, mini_max},
    vendor_error{"new-api", place::code, "invalid_request", at_fault, any, new_api},
    vendor_error{"new-api", place::code, "model_price_error", at_fault, any, new_api},
    vendor_error{"new-api", place::code, "prompt_blocked", at_fault, any, new_api},
    vendor_error{"new-api", place::code, "sensitive_words_detected", at_fault, any, new_api},

    // The balance or quota of the account is used up, by code.
    vendor_error{"OpenAI", place::code, "insufficient_quota", spent, any, open_ai},
    vendor_error{"OpenAI", place::code, "billing_not_active", spent, any, open_ai},
    vendor_error{"OpenAI", place::in_code, "billing_hard_limit", spent, any, open_ai},
    vendor_error{"OpenRouter", place::code, "402", spent, any, open_router},
    vendor_error{"new-api", place::code, "insufficient_user_quota", spent, any, new_api},
    vendor_error{"new-api", place::code, "pre_consume_token_quota_failed", spent, any, new_api},
    vendor_error{"sub2api", place::code, "INSUFFICIENT_BALANCE", spent, any, sub2api},
    vendor_error{"sub2api", place::code, "API_KEY_QUOTA_EXHAUSTED", spent, any, sub2api},
    vendor_error{"sub2api", place::code, "USAGE_LIMIT_EXCEEDED", spent, any, sub2api},
    vendor_error{"Moonshot", place::code, "exceeded_current_quota_error", spent, any, moonshot},
    vendor_error{"Zhipu", place::code, "1113", spent, any, zhipu},
    vendor_error{"Zhipu", place::code, "1304", spent, any, zhipu},  // quota of the day
    vendor_error{"Zhipu", place::code, "1308", spent, any, zhipu},  // quota of five hours
    vendor_error{"Zhipu", place::code, "1309", spent, any, zhipu},  // the plan has expired
    vendor_error{"Zhipu", place::code, "1310", spent, any, zhipu},  // quota of the week or month
    vendor_error{"DashScope", place::code, "Arrearage", spent, any, dash_scope},
    vendor_error{"DashScope", place::code, "AllocationQuota.FreeTierOnly", spent, any,
                 dash_scope_users},
    vendor_error{"DashScope", place::code, "PostpaidBillOverdue", spent, any, dash_scope},
    vendor_error{"DashScope", place::code, "PrepaidBillOverdue", spent, any, dash_scope},
    vendor_error{"Volcengine", place::code, "AccountOverdueError", spent, any, ark},
    vendor_error{"Volcengine", place::code, "OperationDenied.ServiceOverdue", spent, any, ark},
    vendor_error{"Volcengine", place::code, "SetLimitExceeded", spent, any, ark},
    vendor_error{"Volcengine", place::code, "AccountQuotaExceeded", spent, any, ark},
    vendor_error{"SiliconFlow", place::code, "30001", spent, any, silicon_flow},
    vendor_error{"MiniMax", place::code, "insufficient_balance_error", spent, any, mini_max_users},
    vendor_error{"MiniMax", place::code, "base_resp 1008", spent, any, mini_max},
    vendor_error{"MiniMax", place::code, "base_resp 2056", spent, any, mini_max},
    vendor_error{"Together", place::code, "credit_limit", spent, any, together},
    vendor_error{"Anthropic", place::code, "billing_error", spent, any, anthropic},
    vendor_error{"litellm", place::code, "budget_exceeded", spent, any, litellm_budget},
    vendor_error{"Gemini", place::code, "dailyLimitExceeded", spent, any, gemini},
    vendor_error{"Gemini", place::code, "BILLING_DISABLED", spent, any, gemini},
    // Gemini uses RESOURCE_EXHAUSTED for both the quota of a day and that of a minute.
    vendor_error{"Gemini", place::in_code, "PerDay", spent, any, gemini_users},
    vendor_error{"relays", place::code, "insufficient_credits", spent, any, zen_mux},
    vendor_error{"relays", place::code, "insufficient_credit", spent, any, zen_mux},
    vendor_error{"relays", place::code, "reject_no_credit", spent, any, zen_mux},
    vendor_error{"relays", place::code, "insufficient_funds", spent, any, phaseo},

    // The key, its account or the place where it is used is refused, by code.
    vendor_error{"OpenAI", place::code, "invalid_api_key", barred, 4, open_ai},
    vendor_error{"OpenAI", place::code, "account_deactivated", barred, 4, open_ai},
    vendor_error{"OpenAI", place::code, "access_terminated", barred, 4, open_ai},
    vendor_error{"OpenAI", place::code, "unsupported_country_region_territory", barred, 4, open_ai},
    vendor_error{"Groq", place::code, "organization_restricted", barred, 4, groq},
    vendor_error{"Gemini", place::code, "API_KEY_INVALID", barred, 4, gemini},
    vendor_error{"Gemini", place::code, "API_KEY_SERVICE_BLOCKED", barred, 4, gemini},
    vendor_error{"Gemini", place::code, "API_KEY_IP_ADDRESS_BLOCKED", barred, 4, gemini},
    vendor_error{"Gemini", place::code, "CONSUMER_SUSPENDED", barred, 4, gemini},
    vendor_error{"Gemini", place::code, "SERVICE_DISABLED", barred, 4, gemini},
    vendor_error{"Zhipu", place::code, "1110", barred, 4, zhipu},
    vendor_error{"Zhipu", place::code, "1111", barred, 4, zhipu},
    vendor_error{"Zhipu", place::code, "1112", barred, 4, zhipu},
    vendor_error{"Zhipu", place::code, "1121", barred, 4, zhipu},
    vendor_error{"MiniMax", place::code, "base_resp 1004", barred, any, mini_max},
    vendor_error{"MiniMax", place::code, "base_resp 2049", barred, any, mini_max},
    vendor_error{"sub2api", place::code, "API_KEY_EXPIRED", barred, 4, sub2api},
    vendor_error{"sub2api", place::code, "API_KEY_DISABLED", barred, 4, sub2api},
    vendor_error{"sub2api", place::code, "USER_INACTIVE", barred, 4, sub2api},
    vendor_error{"sub2api", place::code, "SUBSCRIPTION_NOT_FOUND", barred, 4, sub2api},
    vendor_error{"sub2api", place::code, "SUBSCRIPTION_INVALID", barred, 4, sub2api},
    vendor_error{"sub2api", place::code, "GROUP_DISABLED", barred, 4, sub2api},
    vendor_error{"sub2api", place::code, "GROUP_DELETED", barred, 4, sub2api},
    vendor_error{"sub2api", place::code, "GROUP_NOT_ALLOWED", barred, 4, sub2api},

    // The service tier has no capacity.
    vendor_error{"Groq", place::status, "", tier_full, 498, groq},
    vendor_error{"Groq", place::code, "capacity_exceeded", tier_full, any, groq_flex},
    vendor_error{"OpenAI", place::code, "resource_unavailable", tier_full, 429, open_ai_flex},
    vendor_error{"OpenAI", place::start, "resource unavailable", tier_full, 429, open_ai_flex},
    vendor_error{"Mistral", place::code, "service_tier_capacity_exceeded", tier_full, any, mistral},
    vendor_error{"Mistral", place::code, "3505", tier_full, any, mistral},
    vendor_error{"Mistral", place::start, "service tier capacity exceeded", tier_full, any,
                 mistral},

    // No upstream serves the model now. new-api uses OpenAI's code for a model that does not exist.
    vendor_error{"new-api", place::code, "model_not_found", model_out, 5, new_api},
    vendor_error{"new-api", place::code, "channel:no_available_key", model_out, any, new_api},
    vendor_error{"ZenMux", place::code, "no_provider_available", model_out, any, zen_mux},
    vendor_error{"Volcengine", place::code, "InvalidEndpoint.ClosedEndpoint", model_out, any, ark},

    // The model does not exist, by code.
    vendor_error{"OpenAI", place::code, "model_not_found", model_missing, 4, open_ai},
    vendor_error{"Azure", place::code, "DeploymentNotFound", model_missing, 4, azure},
    vendor_error{"Volcengine", place::in_code, "InvalidEndpointOrModel", model_missing, 4, ark},
    vendor_error{"Volcengine", place::code, "InvalidEndpoint.NotFound", model_missing, 4, ark},
    vendor_error{"Volcengine", place::code, "ModelNotOpen", model_missing, 4, ark},
    vendor_error{"Volcengine", place::code, "UnsupportedModel", model_missing, 4, ark},
    vendor_error{"DashScope", place::code, "ModelNotFound", model_missing, 4, dash_scope},
    vendor_error{"DashScope", place::code, "Model.AccessDenied", model_missing, 4, dash_scope},
    vendor_error{"SiliconFlow", place::code, "20012", model_missing, 4, silicon_flow},
    vendor_error{"SiliconFlow", place::code, "30003", model_missing, 4, silicon_flow},
    vendor_error{"Zhipu", place::code, "1211", model_missing, 4, zhipu},
    vendor_error{"Zhipu", place::code, "1220", model_missing, 4, zhipu},
    vendor_error{"Zhipu", place::code, "1221", model_missing, 4, zhipu},
    vendor_error{"Zhipu", place::code, "1222", model_missing, 4, zhipu},
    vendor_error{"Zhipu", place::code, "1311", model_missing, 4, zhipu},
    vendor_error{"MiniMax", place::code, "base_resp 2061", model_missing, 4, mini_max},
    vendor_error{"Together", place::code, "model_not_available", model_missing, 4, together_docs},

    // The URL does not belong to the API, by code.
    vendor_error{"OpenAI", place::code, "unknown_url", wrong_path, 404, open_ai},
    vendor_error{"Moonshot", place::code, "url.not_found", wrong_path, 404, moonshot},
    vendor_error{"sub2api", place::code, "endpoint_not_found", wrong_path, 404, sub2api},

    // The request is too large, by message. These rows come before those of a used-up account,
    // because some of the messages name a plan that allows larger requests.
    vendor_error{"OpenAI, Groq", place::start, "request too large", too_large, any, groq},
    vendor_error{"OpenAI", place::words, "must be reduced in order to run successfully", too_large,
                 any, open_ai},
    vendor_error{"Groq", place::words, "please reduce your message size", too_large, any, groq},
    vendor_error{"OpenAI, vLLM", place::start, "this model's maximum context length", too_large,
                 any, open_ai},
    vendor_error{"Anthropic", place::start, "prompt is too long", too_large, any, anthropic},
    vendor_error{"Anthropic", place::start, "extra usage is required for long context", too_large,
                 any, anthropic_context},
    vendor_error{"Anthropic", place::start, "usage credits are required for long context",
                 too_large, any, anthropic_context},
    vendor_error{"Moonshot", place::start, "your request exceeded model token limit", too_large,
                 any, moonshot},
    vendor_error{"Moonshot", place::start, "input token length too long", too_large, any, moonshot},

    // The balance or quota of the account is used up, by message.
    vendor_error{"OpenAI", place::words,
                 "read the docs: https://platform.openai.com/docs/guides/error-codes", spent, 429,
                 open_ai},
    vendor_error{"OpenRouter", place::words, "key limit exceeded", spent, any, open_router_key},
    vendor_error{"OpenRouter", place::start, "this request requires more credits", spent, any,
                 open_router},
    vendor_error{"Anthropic", place::start, "your credit balance is too low", spent, any,
                 claude_code},
    vendor_error{"Anthropic", place::start, "you have reached your specified", spent, any,
                 anthropic},
    vendor_error{"Gemini", place::start, "your prepayment credits are depleted", spent, any,
                 gemini},
    vendor_error{"Gemini", place::words, "exceeded its monthly spending cap", spent, any, gemini},
    // The plan does not include this model: "limit: 0" does not change with time.
    vendor_error{"Gemini", place::words, "limit: 0, model:", spent, 429, gemini_users},
    vendor_error{"xAI", place::words, "used all available credits", spent, any, xai},
    vendor_error{"xAI", place::words, "doesn't have any credits", spent, any, xai_new_team},
    vendor_error{"xAI", place::words, "run out of credits", spent, any, xai_credits},
    vendor_error{"xAI, Fireworks", place::words, "monthly spending limit", spent, any, fireworks},
    vendor_error{"Together", place::start, "credit limit exceeded", spent, any, together},
    vendor_error{"litellm", place::start, "budget has been exceeded", spent, any, litellm_words},
    vendor_error{"litellm", place::start, "exceededbudget", spent, any, litellm_words},
    vendor_error{"litellm", place::words, "crossed budget", spent, any, litellm_words},
    vendor_error{"Kimi Code", place::words, "reached your usage limit", spent, any, kimi_code},
    vendor_error{"Kimi Code", place::words, "monthly usage limit", spent, any, kimi_code},
    vendor_error{"Z.ai", place::start, "usage limit reached", spent, any, zai},
    vendor_error{"DashScope", place::start, "free allocated quota exceeded", spent, any,
                 dash_scope},
    vendor_error{"DashScope", place::start, "hour allocated quota exceeded", spent, any,
                 dash_scope},
    vendor_error{"DashScope", place::start, "access denied, please make sure your account is in",
                 spent, any, dash_scope},
    vendor_error{"DashScope", place::start, "the free quota has been exhausted", spent, any,
                 dash_scope_users},
    vendor_error{"DashScope", place::start, "the free tier of the model has been exhausted", spent,
                 any, dash_scope},
    vendor_error{"Volcengine", place::words, "has reached the set inference limit", spent, any,
                 ark},
    vendor_error{"Volcengine", place::words, "has exhausted its free trial quota", spent, any, ark},
    vendor_error{"Volcengine", place::words, "usage quota. it will reset at", spent, any, ark},
    vendor_error{"Cohere", place::words, "api calls / month", spent, any, cohere},
    vendor_error{"Azure", place::start, "out of call volume quota", spent, any, azure_volume},
    vendor_error{"SiliconFlow", place::start, "sorry, your account balance is insufficient", spent,
                 any, silicon_flow},
    vendor_error{"OpenAI", place::start, "billing hard limit has been reached", spent, any,
                 open_ai},
    vendor_error{"DeepSeek, MiniMax", place::words, "insufficient balance", spent, any, deep_seek},
    vendor_error{"sub2api", place::words, "insufficient account balance", spent, any, sub2api},
    vendor_error{"relays", place::words, "insufficient credit", spent, any, open_router},
    vendor_error{"relays", place::words, "insufficient funds", spent, any, phaseo},
    vendor_error{"relays", place::words, "balance is insufficient", spent, any, silicon_flow},
    vendor_error{"relays", place::words, "balance is not enough", spent, any, one_api},
    vendor_error{"relays", place::words, "balance is too low", spent, any, claude_code},
    vendor_error{"relays", place::words, "not enough credits", spent, any, open_router},
    vendor_error{"relays", place::words, "out of credits", spent, any, xai},
    vendor_error{"one-api", place::words, "quota is not enough", spent, any, one_api},
    vendor_error{"one-api", place::words, "额度不足", spent, any, one_api},
    vendor_error{"one-api", place::words, "额度已用尽", spent, any, one_api},
    vendor_error{"sub2api", place::words, "额度已用完", spent, any, sub2api},
    vendor_error{"new-api", place::words, "预扣费额度失败", spent, any, new_api},
    vendor_error{"new-api", place::start, "用户额度不足", spent, any, new_api},
    vendor_error{"new-api", place::start, "令牌额度不足", spent, any, new_api},
    vendor_error{"Zhipu", place::words, "余额不足", spent, any, zhipu},
    vendor_error{"relays", place::start, "账户余额不足", spent, any, silicon_flow},
    vendor_error{"relays", place::start, "用户余额不足", spent, any, one_api},
    vendor_error{"Zhipu", place::words, "已欠费", spent, any, zhipu},
    vendor_error{"Zhipu", place::start, "您的账户已欠费", spent, any, zhipu},

    // No upstream serves the model now, by message.
    vendor_error{"one-api, new-api", place::mention, "无可用渠道", model_out, 5, one_api},
    vendor_error{"one-api, new-api", place::words, "无可用渠道", model_out, any, one_api},
    vendor_error{"new-api", place::mention, "no available channel", model_out, 5, new_api},
    vendor_error{"new-api", place::words, "no available channel", model_out, any, new_api},
    vendor_error{"sub2api", place::words, "no available accounts", model_out, any, sub2api_gateway},
    vendor_error{"sub2api", place::words, "all available accounts exhausted", model_out, any,
                 sub2api_gateway},
    vendor_error{"OpenRouter", place::words, "no instances available", model_out, 5, open_router},
    vendor_error{"OpenRouter", place::words, "no providers available", model_out, 5, open_router},
    vendor_error{"OpenRouter", place::words, "no available model provider", model_out, 5,
                 open_router},
    vendor_error{"litellm", place::start, "no deployments available", model_out, any,
                 litellm_words},
    vendor_error{"NVIDIA", place::mention, "degraded function cannot be invoked", model_out, 400,
                 nvidia_degraded},

    // The key, its account or the place is refused, by message.
    vendor_error{"Anthropic", place::start, "this organization has been disabled", barred, 4,
                 anthropic},
    vendor_error{"Gemini", place::start, "api key not valid", barred, 4, gemini},
    vendor_error{"Gemini", place::start, "api key expired", barred, 4, gemini},
    vendor_error{"Gemini", place::start, "user location is not supported", barred, 4, gemini},
    vendor_error{"one-api", place::mention, "用户已被封禁", barred, 403, one_api},
    vendor_error{"one-api", place::mention, "user has been banned", barred, 403, one_api},
    vendor_error{"one-api", place::mention, "user is banned", barred, 403, one_api},
    vendor_error{"one-api", place::mention, "只能在指定网段使用", barred, 403, one_api},
    vendor_error{"new-api", place::mention, "ip 不在令牌允许", barred, 403, new_api},
    vendor_error{"new-api", place::mention, "无法解析客户端 ip", barred, 403, new_api},

    // The URL does not belong to the API, by message. These rows come before the messages of a
    // missing model, because a URL may contain "models".
    vendor_error{"OpenAI, one-api", place::start, "invalid url", wrong_path, 404, one_api},
    vendor_error{"OpenAI", place::start, "unknown request url", wrong_path, 404, open_ai},
    vendor_error{"OpenAI", place::start, "unrecognized request url", wrong_path, 404, open_ai},
    vendor_error{"NVIDIA, Ollama", place::mention, "404 page not found", wrong_path, 404,
                 nvidia_path},
    vendor_error{"Azure", place::start, "resource not found", wrong_path, 404, azure},
    vendor_error{"Kong", place::mention, "no route matched", wrong_path, 404, kong},
    vendor_error{"Fastify", place::start, "route post:", wrong_path, 404, fastify},
    vendor_error{"Express", place::start, "cannot post", wrong_path, 404, express},
    vendor_error{"relays", place::mention, "endpoint not found", wrong_path, 404, sub2api},
    vendor_error{"relays", place::mention, "unknown endpoint", wrong_path, 404, sub2api},
    vendor_error{"LM Studio", place::start, "unexpected endpoint", wrong_path, 404, lm_studio},
    vendor_error{"relays", place::mention, "requested endpoint", wrong_path, 404, sub2api},

    // A message about something that the request chose is about the request.
    vendor_error{"many", place::mention, "model", model_missing, 404, open_ai},
    vendor_error{"many", place::mention, "模型", model_missing, 404, one_api},
    vendor_error{"Azure", place::mention, "deployment", model_missing, 404, azure},
    vendor_error{"OpenRouter", place::mention, "endpoint", model_missing, 404, open_router},
    vendor_error{"OpenRouter", place::mention, "provider", model_missing, 404, open_router},
    vendor_error{"Volcengine", place::mention, "接入点", model_missing, 404, ark},
    vendor_error{"NVIDIA", place::mention, "function", model_missing, 404, nvidia},
    vendor_error{"many", place::mention, "model", model_missing, 403, open_ai},
    vendor_error{"many", place::mention, "模型", model_missing, 403, one_api},

    // The group of the key. These rows come after the messages about a model, because the group may
    // only lack that model.
    vendor_error{"new-api", place::mention, "分组", barred, 403, new_api, "无权"},
    vendor_error{"new-api", place::mention, "分组", barred, 403, new_api, "禁用"},
    vendor_error{"new-api", place::mention, "分组", barred, 403, new_api, "不存在"},
    vendor_error{"new-api", place::mention, "分组", barred, 403, new_api, "弃用"},
    vendor_error{"new-api", place::mention, "group", barred, 403, new_api, "no permission"},
    vendor_error{"new-api", place::mention, "group", barred, 403, new_api, "no access"},
    vendor_error{"new-api", place::mention, "group", barred, 403, new_api, "no such group"},
    vendor_error{"new-api", place::mention, "group", barred, 403, new_api, "does not exist"},
    vendor_error{"new-api", place::mention, "group", barred, 403, new_api, "disabled"},

    // The client is refused, whatever it requests.
    vendor_error{"new-api", place::code, "access_denied", barred, 403, new_api},

    // Rate limit or overload, if the status does not show it. These rows are last, because the same
    // errors may also have a more exact message.
    vendor_error{"Zhipu", place::code, "1302", throttled, any, zhipu},
    vendor_error{"Zhipu", place::code, "1303", throttled, any, zhipu},
    vendor_error{"Zhipu", place::code, "1313", throttled, any, zhipu},
    vendor_error{"MiniMax", place::code, "base_resp 1002", throttled, any, mini_max},
    vendor_error{"MiniMax", place::code, "base_resp 1039", throttled, any, mini_max},
    vendor_error{"MiniMax", place::code, "base_resp 1041", throttled, any, mini_max},
    vendor_error{"OpenAI", place::code, "rate_limit_exceeded", throttled, any, open_ai},
    vendor_error{"OpenRouter", place::code, "429", throttled, any, open_router},
    // The time window of a plan. The error says when it ends; the run waits for that or stops with
    // a message.
    vendor_error{"Codex", place::code, "usage_limit_reached", throttled, any, codex},
    vendor_error{"Anthropic", place::code, "rate_limit_error", throttled, any, anthropic},
    vendor_error{"Moonshot", place::code, "rate_limit_reached_error", throttled, any, moonshot},
    vendor_error{"Mistral", place::code, "rate_limited", throttled, any, mistral},
    vendor_error{"Volcengine", place::in_code, "RateLimitExceeded", throttled, any, ark},
    vendor_error{"DashScope", place::in_code, "Throttling", throttled, any, dash_scope},
    vendor_error{"DashScope", place::code, "LimitRequests", throttled, any, dash_scope},
    vendor_error{"Gemini", place::code, "RESOURCE_EXHAUSTED", throttled, any, gemini},
    vendor_error{"Zhipu", place::code, "1305", overloaded, any, zhipu},
    vendor_error{"Zhipu", place::code, "1312", overloaded, any, zhipu},
    vendor_error{"Anthropic", place::code, "overloaded_error", overloaded, any, anthropic},
    vendor_error{"OpenAI", place::code, "server_is_overloaded", overloaded, any, codex},
    vendor_error{"Moonshot", place::code, "engine_overloaded_error", overloaded, any,
                 moonshot_users},
    vendor_error{"Volcengine", place::code, "ServerOverloaded", overloaded, any, ark},
    vendor_error{"DashScope", place::code, "ModelUnavailable", overloaded, any, dash_scope},
    vendor_error{"SiliconFlow", place::code, "50505", overloaded, any, silicon_flow},
    vendor_error{"Gemini", place::code, "MODEL_CAPACITY_EXHAUSTED", overloaded, any,
                 gemini_capacity},
    vendor_error{"llama.cpp", place::code, "unavailable_error", overloaded, any, llama_cpp},

    // Finish reasons of a reply that broke off. Every other one that ends in "_error" counts too.
    vendor_error{"OpenRouter, Cohere", place::finish_reason, "error", broken_off, any, open_router},
    vendor_error{"vLLM, SGLang", place::finish_reason, "abort", broken_off, any, vllm},
    vendor_error{"SGLang", place::finish_reason, "aborted", broken_off, any, sglang},
    vendor_error{"Zhipu", place::finish_reason, "network_error", broken_off, any, zhipu_reasons},
    vendor_error{"DeepSeek", place::finish_reason, "insufficient_system_resource", broken_off, any,
                 deep_seek_reasons},
    vendor_error{"TensorRT-LLM, Cohere", place::finish_reason, "timeout", broken_off, any,
                 tensor_rt},
    vendor_error{"TensorRT-LLM", place::finish_reason, "cancelled", broken_off, any, tensor_rt},
};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_letter(char a, char b) {
  return lower(a) == lower(b);
}

bool equal(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_letter);
}

std::size_t find(std::string_view text, std::string_view words) {
  const auto found = std::search(text.begin(), text.end(), words.begin(), words.end(), same_letter);
  return found == text.end() ? std::string_view::npos
                             : static_cast<std::size_t>(found - text.begin());
}

bool holds(std::string_view text, std::string_view words) {
  return find(text, words) != std::string_view::npos;
}

bool starts(std::string_view text, std::string_view words) {
  return equal(text.substr(0, words.size()), words);
}

bool is_word_byte(char c) {
  return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
         static_cast<unsigned char>(c) >= 0x80;
}

/// A message without its quotations, which may be the user's text. An apostrophe is not a quotation
/// mark.
std::string without_quotations(std::string_view message) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5> marks{
      {{"\"", "\""}, {"'", "'"}, {"`", "`"}, {"“", "”"}, {"「", "」"}}};
  std::string kept;
  for (std::size_t i = 0; i < message.size();) {
    const auto* const mark = std::find_if(marks.begin(), marks.end(), [&](const auto& pair) {
      const bool inside_word = pair.first == "'" && i > 0 && is_word_byte(message[i - 1]);
      return message.substr(i).starts_with(pair.first) && !inside_word;
    });
    if (mark == marks.end()) {
      kept += message[i++];
      continue;
    }
    std::size_t end = message.find(mark->second, i + mark->first.size());
    // An apostrophe in the user's text does not end the quotation.
    while (mark->second == "'" && end != std::string_view::npos && end + 1 < message.size() &&
           is_word_byte(message[end + 1])) {
      end = message.find(mark->second, end + 1);
    }
    kept += ' ';
    i = end == std::string_view::npos ? message.size() : end + mark->second.size();
  }
  return kept;
}

/// A message without the prefixes of gateways: "litellm.BadRequestError: OpenAIException - ",
/// "Error code: 400 - ", "status_code=400, ".
std::string_view without_prefix(std::string_view message) {
  constexpr std::size_t longest_prefix = 120;
  for (const auto& [mark, end] : {std::pair<std::string_view, std::string_view>{"exception - ", ""},
                                  {"error code: ", " - "},
                                  {"status_code=", ", "}}) {
    const std::size_t begin = find(message.substr(0, longest_prefix), mark);
    if (begin == std::string_view::npos) continue;
    const std::size_t past = begin + mark.size();
    const std::size_t close = end.empty() ? past : message.find(end, past);
    if (close != std::string_view::npos && close < past + 8)
      return message.substr(close + end.size());
  }
  return message;
}

/// The number after the first `words` in a message, as in "Limit 30000, Requested 36000".
std::optional<std::uint64_t> number_behind(std::string_view message, std::string_view words) {
  const std::size_t found = find(message, words);
  if (found == std::string_view::npos) return std::nullopt;
  std::uint64_t number = 0;
  std::size_t digits = 0;
  for (const char c : message.substr(found + words.size())) {
    if (c == ',') continue;
    if (c < '0' || c > '9' || ++digits > 15) break;
    number = 10 * number + static_cast<std::uint64_t>(c - '0');
  }
  return digits == 0 ? std::nullopt : std::optional(number);
}

/// Whether a request that is refused as too large is allowed when it is the only one. Then only the
/// rate was too high.
bool fits_alone(std::string_view message) {
  const auto limit = number_behind(message, "limit ");
  const auto requested = number_behind(message, "requested ");
  return limit && requested && *requested <= *limit;
}

bool is_about_content(int status) {
  constexpr std::array refusals{400, 404, 413, 422};
  return status < 400 || std::find(refusals.begin(), refusals.end(), status) != refusals.end();
}

bool applies(const vendor_error& row, int status) {
  return row.status == any || row.status == status || row.status == status / 100;
}

/// One message of an error, prepared for the comparison.
struct spoken {
  std::string_view whole;
  std::string_view start;
  std::string unquoted;
};

bool matches(const vendor_error& row, const error_body& error, const std::vector<spoken>& messages,
             int status) {
  const auto in_messages = [&](auto said) {
    return std::any_of(messages.begin(), messages.end(), said);
  };
  const auto begins = [&](const spoken& message) { return starts(message.start, row.text); };
  switch (row.where) {
    case place::status:
      return row.status == status;
    case place::code:
      return std::any_of(error.codes.begin(), error.codes.end(),
                         [&](const std::string& code) { return equal(code, row.text); });
    case place::in_code:
      return std::any_of(error.codes.begin(), error.codes.end(),
                         [&](const std::string& code) { return holds(code, row.text); });
    case place::start:
      return error.structured && in_messages(begins);
    case place::words:
      if (!error.structured) return false;
      if (is_about_content(status)) return in_messages(begins);
      return in_messages([&](const spoken& message) { return holds(message.unquoted, row.text); });
    case place::mention:
      return !error.page && in_messages([&](const spoken& message) {
        return holds(message.whole, row.text) && holds(message.whole, row.also);
      });
    case place::finish_reason:
      return false;
  }
  return false;
}

}  // namespace

std::span<const vendor_error> vendor_errors() {
  return table;
}

std::optional<error_meaning> meaning_of(const error_body& error, int status) {
  std::vector<spoken> messages;
  messages.push_back(
      {error.message, without_prefix(error.message), without_quotations(error.message)});
  for (const std::string& message : error.upstream) {
    messages.push_back({message, without_prefix(message), without_quotations(message)});
  }
  for (const vendor_error& row : table) {
    if (!applies(row, status) || !matches(row, error, messages, status)) continue;
    const bool passes_alone =
        row.meaning == too_large && row.where != place::code && fits_alone(error.message);
    if (!passes_alone) return row.meaning;
  }
  return std::nullopt;
}

bool is_broken_off(std::string_view finish_reason) {
  // A fast path: almost every reply ends with one of these.
  if (finish_reason == "stop" || finish_reason == "length" || finish_reason == "tool_calls")
    return false;
  std::string reason(finish_reason);
  std::replace(reason.begin(), reason.end(), '-', '_');
  constexpr std::string_view suffix = "_error";
  if (reason.size() > suffix.size() &&
      equal(std::string_view(reason).substr(reason.size() - suffix.size()), suffix)) {
    return true;
  }
  return std::any_of(std::begin(table), std::end(table), [&](const vendor_error& row) {
    return row.where == place::finish_reason && equal(row.text, reason);
  });
}

}  // namespace sluice::openai
