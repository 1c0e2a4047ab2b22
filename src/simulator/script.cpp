#include "simulator/script.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "simulator/json_append.hpp"
#include "simulator/random.hpp"
#include "simulator/stream_shape.hpp"

namespace sluice::simulator {
namespace {

using namespace std::chrono_literals;

/// Keeps the first half of the reply: half of the tokens of a stream, half of the bytes of a body.
void cut_in_middle(script& reply) {
  if (reply.steps.size() > 1) {
    reply.steps.resize(reply.steps.size() / 2);
    reply.body.resize(reply.steps.back());
  } else {
    reply.body.resize(reply.body.size() / 2);
    if (!reply.steps.empty()) reply.steps.back() = reply.body.size();
  }
}

void append_to_stream(script& reply, std::string_view text) {
  reply.body += text;
  reply.steps.back() = reply.body.size();
}

struct refusal_form {
  fault_kind kind;
  int status;
  std::string_view message;  ///< "{}" is replaced by the model
  std::string_view code;
  std::string_view headers = {};
  std::string_view body = {};         ///< replaces the usual error object, if not empty
  std::chrono::milliseconds hint{0};  ///< the wait that the headers ask for
};

/// All forms of one kind are equally likely.
constexpr std::array refusal_forms{
    refusal_form{fault_kind::refused_429, 429, "当前分组上游负载已饱和，请稍后再试",
                 "rate_limit_exceeded"},
    refusal_form{fault_kind::refused_429_hint, 429,
                 "Rate limit reached for {} on requests per min (RPM). Please try again in 1s.",
                 "rate_limit_exceeded", "Retry-After: 1\r\n", "", 1s},
    refusal_form{fault_kind::refused_429_hint, 429,
                 "Rate limit reached for {} on requests per min (RPM). Please try again in 1s.",
                 "rate_limit_exceeded", "retry-after-ms: 500\r\n", "", 500ms},
    refusal_form{fault_kind::refused_429_reset, 429, "Rate limit reached for {}",
                 "rate_limit_exceeded",
                 "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 850ms\r\n"
                 "x-ratelimit-remaining-tokens: 7\r\nx-ratelimit-reset-tokens: 1h2m3s\r\n",
                 "", 850ms},
    refusal_form{fault_kind::refused_429_reset, 429, "Rate limit reached for {}",
                 "rate_limit_exceeded",
                 "x-ratelimit-reset-requests: -1\r\nx-ratelimit-reset-tokens: 1\r\n", "", 1s},
    refusal_form{fault_kind::error_500, 500, "请求上游地址失败", "do_request_failed"},
    refusal_form{fault_kind::no_channel, 503, "当前分组 default 下对于模型 {} 无可用渠道", ""},
    refusal_form{fault_kind::no_channel, 503,
                 "No available channel for model {} under group default", "model_not_found"},
    refusal_form{fault_kind::no_price, 500, "模型 {} 倍率或价格未配置，请联系管理员设置",
                 "model_price_error"},
    refusal_form{fault_kind::model_denied, 403, "该令牌无权使用模型：{}", ""},
    refusal_form{fault_kind::model_denied, 403, "该令牌无权访问模型 {}", "access_denied"},
    refusal_form{fault_kind::key_spent, 401, "该令牌额度已用尽", ""},
    refusal_form{fault_kind::quota, 403, "用户额度不足, 剩余额度: $0.000000",
                 "insufficient_user_quota"},
    refusal_form{fault_kind::quota, 403, "token quota is not enough, token remain quota: 0",
                 "pre_consume_token_quota_failed"},
    refusal_form{fault_kind::quota, 429, "You exceeded your current quota", "insufficient_quota"},
    refusal_form{fault_kind::quota_in_words, 403,
                 "Key limit exceeded (total limit). Manage it using https://openrouter.ai/keys",
                 "403"},
    refusal_form{fault_kind::quota_in_words, 403, "", "", "",
                 R"({"code":"INSUFFICIENT_BALANCE","message":"Insufficient account balance"})"},
    refusal_form{fault_kind::quota_in_words, 400,
                 "Access denied, please make sure your account is in good standing.", "Arrearage"},
    refusal_form{fault_kind::quota_in_words, 400,
                 "Your credit balance is too low to access the Anthropic API.", ""},
    refusal_form{fault_kind::quota_in_words, 429, "余额不足或无可用资源包,请充值。", "1113"},
    refusal_form{fault_kind::quota_in_words, 500, "insufficient balance (1008)", ""},
    refusal_form{fault_kind::no_model, 404, "No endpoints found for {}.", "404"},
    refusal_form{fault_kind::no_model, 404, "The API deployment for this resource does not exist.",
                 "DeploymentNotFound"},
    refusal_form{fault_kind::no_model, 404, "{}: not found", ""},
    refusal_form{fault_kind::too_large, 429,
                 "Request too large for {} on tokens per min (TPM): Limit 30000, Requested 36000. "
                 "The input or output tokens must be reduced in order to run successfully.",
                 "rate_limit_exceeded"},
    refusal_form{fault_kind::tier_full, 498, "Flex tier capacity exceeded", "capacity_exceeded"},
    refusal_form{fault_kind::tier_full, 429, "Resource Unavailable", "resource_unavailable"},
    refusal_form{fault_kind::no_stream, 500, "This gateway cannot stream",
                 "convert_request_failed"},
    refusal_form{fault_kind::error_in_200, 200, upstream_down, "bad_response"},
    refusal_form{fault_kind::error_in_200, 200, "", "", "",
                 R"({"success":false,"message":"upstream error"})"},
};

std::vector<const refusal_form*> forms_of(fault_kind kind) {
  std::vector<const refusal_form*> forms;
  for (const auto& form : refusal_forms)
    if (form.kind == kind) forms.push_back(&form);
  return forms;
}

/// The reply for a fault that is not billed.
script refusal(const inference_request& request, fault_kind fault, random& random,
               std::string_view request_id) {
  script reply;
  if (fault == fault_kind::reset) {
    reply.sends_nothing = true;
    reply.end = ending::reset;
  } else if (fault == fault_kind::error_502 || fault == fault_kind::html_200) {
    reply = html_reply(fault == fault_kind::error_502 ? 502 : 200);
  } else {
    const auto forms = forms_of(fault);
    const auto& form = *forms[random.below(static_cast<std::uint32_t>(forms.size()))];
    reply = form.body.empty()
                ? error_reply({form.status, fmt::format(fmt::runtime(form.message), request.model),
                               std::string(form.code)},
                              request_id)
                : json_reply(form.status, std::string(form.body));
    reply.extra_headers = form.headers;
    reply.hint = form.hint;
  }
  reply.outcome = name_of(fault);
  return reply;
}

/// Ends a stream in the middle, between two events, with an error.
void break_with_error(script& reply, const inference_request& request, random& random) {
  cut_in_middle(reply);
  const auto blank_line = reply.body.rfind("\n\n");
  reply.body.resize(blank_line == std::string::npos ? 0 : blank_line + 2);
  append_to_stream(reply, stream_error(request.to, random));
}

/// Ends a reply in the middle without an error message, as if the upstream was lost.
void break_off(script& reply, const inference_request& request, random& random) {
  const bool by_tokens = reply.steps.size() > 1;
  cut_in_middle(reply);
  const auto way = random.below(3);
  if (by_tokens && way == 0) {
    // The relay ends the stream properly, with [DONE], although its upstream did not.
    if (request.to != endpoint::responses) append_to_stream(reply, "data: [DONE]\n\n");
    return;
  }
  reply.end = way == 1 ? ending::reset : ending::closed;
}

/// Whether the reply is a stream. Some faults ignore what the client requested.
bool is_streamed(const inference_request& request, fault_kind fault) {
  if (fault == fault_kind::json_for_stream || fault == fault_kind::filtered) return false;
  if (fault == fault_kind::stream_for_json) return request.to != endpoint::embeddings;
  return request.stream;
}

/// Makes the reply a 400 with a completion that a filter ended. Only chat and completions have it.
void end_with_filter(script& reply, const inference_request& request) {
  if (request.to != endpoint::chat && request.to != endpoint::completions) return;
  reply.status = 400;
  for (const auto* reason : {"stop", "length", "tool_calls"})
    reply.body = replaced(reply.body, fmt::format(R"("finish_reason":"{}")", reason),
                          R"("finish_reason":"content_filter")");
  reply.announced = reply.body.size();
}

/// The complete, billed reply. A stream gets the form that the fault requires.
script whole_reply(const inference_request& request, const answer& answer, const envelope& envelope,
                   fault_kind shape, random& random) {
  script reply;
  if (request.stream) {
    auto events = reshaped(events_of(request, answer, envelope), shape, random);
    reply.content_type = "text/event-stream";
    reply.body = std::move(events.text);
    reply.steps = std::move(events.steps);
  } else {
    reply.body = body_of(request, answer, envelope);
    reply.announced = reply.body.size();
    reply.tokens_before = answer.choices.empty() ? 0 : answer.generated / answer.choices.size();
  }
  reply.thinks = true;
  reply.billed = true;
  return reply;
}

}  // namespace

std::string_view reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 301:
      return "Moved Permanently";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 413:
      return "Payload Too Large";
    case 429:
      return "Too Many Requests";
    case 498:
      return "Flex Tier Capacity Exceeded";
    case 500:
      return "Internal Server Error";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Temporarily Unavailable";
    default:
      return "Unknown";
  }
}

std::string_view outcome_of(int status) {
  switch (status) {
    case 200:
      return "200";
    case 400:
      return "400";
    case 401:
      return "401";
    case 403:
      return "403";
    case 404:
      return "404";
    case 413:
      return "413";
    case 429:
      return "429";
    case 498:
      return "498";
    case 500:
      return "500";
    case 502:
      return "502";
    case 503:
      return "503";
    default:
      return "other";
  }
}

script json_reply(int status, std::string body) {
  script reply;
  reply.status = status;
  reply.announced = body.size();
  reply.body = std::move(body);
  reply.outcome = outcome_of(status);
  return reply;
}

script html_reply(int status) {
  const auto title = status == 200 ? std::string("Just a moment...")
                                   : fmt::format("{} {}", status, reason_of(status));
  auto reply =
      json_reply(status, fmt::format("<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n"
                                     "<center><h1>{0}</h1></center>\r\n<hr><center>nginx"
                                     "</center>\r\n</body>\r\n</html>\r\n",
                                     title));
  reply.content_type = "text/html";
  return reply;
}

script error_reply(const api_error& error, std::string_view request_id) {
  std::string body;
  append(body, R"({"error":{"message":)",
         quoted{fmt::format("{} (request id: {})", error.message, request_id)}, R"(,"type":)",
         quoted{error.type}, R"(,"param":"","code":)", quoted{error.code}, "}}");
  return json_reply(error.status, std::move(body));
}

script reply_script(const inference_request& request, const answer& answer, envelope envelope,
                    fault_kind fault, std::string_view request_id) {
  if (const bool streamed = is_streamed(request, fault); streamed != request.stream) {
    auto other = request;
    other.stream = streamed;
    other.include_usage = true;
    return reply_script(other, answer, std::move(envelope), fault, request_id);
  }
  random random(mix(request.digest, 0xfa));
  switch (fault) {
    case fault_kind::refused_429:
    case fault_kind::refused_429_hint:
    case fault_kind::refused_429_reset:
    case fault_kind::error_500:
    case fault_kind::error_502:
    case fault_kind::reset:
    case fault_kind::html_200:
    case fault_kind::no_channel:
    case fault_kind::no_price:
    case fault_kind::model_denied:
    case fault_kind::key_spent:
    case fault_kind::quota:
    case fault_kind::quota_in_words:
    case fault_kind::no_model:
    case fault_kind::too_large:
    case fault_kind::tier_full:
      return refusal(request, fault, random, request_id);
    case fault_kind::no_stream:
      if (request.stream) return refusal(request, fault, random, request_id);
      break;
    case fault_kind::error_in_200:
      // The other half of the streams fail later, after some billed content.
      if (!request.stream || random.below(2) == 0)
        return refusal(request, fault, random, request_id);
      break;
    case fault_kind::error_mid_stream:
    case fault_kind::no_finish:
    case fault_kind::broken_off:
      if (!request.stream) return refusal(request, fault_kind::error_in_200, random, request_id);
      break;
    default:
      break;
  }

  envelope.with_usage = fault != fault_kind::no_usage;
  if (fault == fault_kind::usage_dialect)
    envelope.dialect = static_cast<usage_dialect>(random.below(usage_dialects));
  auto reply = whole_reply(request, answer, envelope, fault, random);
  switch (fault) {
    case fault_kind::reset_late:
      reply.sends_nothing = true;
      reply.end = ending::reset;
      break;
    case fault_kind::hang:
      reply.sends_nothing = true;
      reply.thinks = false;
      reply.end = ending::silence;
      break;
    case fault_kind::stall:
      cut_in_middle(reply);
      reply.end = ending::silence;
      break;
    case fault_kind::cut:
      break_off(reply, request, random);
      break;
    case fault_kind::error_in_200:
    case fault_kind::error_mid_stream:
      break_with_error(reply, request, random);
      break;
    case fault_kind::ragged:
      reply.ragged = true;
      break;
    case fault_kind::early_head:
      reply.early_head = true;
      break;
    case fault_kind::held_open:
      if (request.stream) reply.end = ending::silence;
      break;
    case fault_kind::filtered:
      end_with_filter(reply, request);
      break;
    default:
      break;
  }
  reply.delivered = is_good_reply(fault) || fault == fault_kind::no_stream;
  reply.outcome = reply.delivered ? outcome_of(reply.status) : name_of(fault);
  return reply;
}

}  // namespace sluice::simulator
