#include "simulator/script.hpp"

#include <algorithm>

#include "simulator/json_append.hpp"
#include "simulator/random.hpp"

namespace sluice::simulator {
namespace {

constexpr std::string_view upstream_down = "upstream error: the model stopped answering";

/// Keeps the first part of the reply: of a stream, whole tokens without the finish; of a body,
/// half.
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

/// What is sent when the relay is to fail without a bill.
script refusal(const inference_request& request, fault_kind fault, random& random,
               std::string_view request_id) {
  const auto name = name_of(fault);
  script reply;
  switch (fault) {
    case fault_kind::refused_429:
      reply = error_reply({429, "当前分组上游负载已饱和，请稍后再试", "rate_limit_exceeded"},
                          request_id);
      break;
    case fault_kind::refused_429_hint:
      reply = error_reply({429,
                           "Rate limit reached for " + request.model +
                               " on requests per min (RPM). Please try again in 1s.",
                           "rate_limit_exceeded"},
                          request_id);
      reply.extra_headers = random.below(2) == 0 ? "Retry-After: 1\r\n" : "retry-after-ms: 500\r\n";
      break;
    case fault_kind::error_500:
      reply = error_reply({500, "请求上游地址失败", "do_request_failed"}, request_id);
      break;
    case fault_kind::error_502:
      reply = html_reply(502);
      break;
    case fault_kind::html_200:
      reply = html_reply(200);
      break;
    case fault_kind::error_in_200:
      reply = random.below(2) == 0
                  ? error_reply({200, std::string(upstream_down), "bad_response"}, request_id)
                  : json_reply(200, R"({"success":false,"message":"upstream error"})");
      break;
    default:
      reply.sends_nothing = true;
      reply.end = ending::reset;
      break;
  }
  reply.outcome = name;
  return reply;
}

/// Ends a stream in its middle with an error event.
void break_with_error(script& reply, const inference_request& request, random& random) {
  cut_in_middle(reply);
  std::string event;
  if (request.to == endpoint::responses)
    append(event, "event: error\ndata: ", R"({"type":"error","code":"server_error","message":)",
           quoted{upstream_down}, R"(,"param":null,"sequence_number":999})", "\n\n");
  else
    append(event, random.below(2) == 0 ? "" : "event: error\n", R"(data: {"error":{"message":)",
           quoted{upstream_down}, R"(,"type":"upstream_error","param":"","code":"bad_response"}})",
           "\n\ndata: [DONE]\n\n");
  append_to_stream(reply, event);
}

/// Ends a reply in its middle without a word, as a lost upstream does.
void break_off(script& reply, const inference_request& request, random& random) {
  const bool by_tokens = reply.steps.size() > 1;
  cut_in_middle(reply);
  const auto way = random.below(3);
  if (by_tokens && way == 0) {
    // The relay closes the stream properly, and says [DONE] whatever its upstream did.
    if (request.to != endpoint::responses) append_to_stream(reply, "data: [DONE]\n\n");
    return;
  }
  reply.end = way == 1 ? ending::reset : ending::closed;
}

}  // namespace

std::string_view reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
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
  random random(mix(request.digest, 0xfa));
  switch (fault) {
    case fault_kind::refused_429:
    case fault_kind::refused_429_hint:
    case fault_kind::error_500:
    case fault_kind::error_502:
    case fault_kind::reset:
    case fault_kind::html_200:
      return refusal(request, fault, random, request_id);
    case fault_kind::error_in_200:
      // Half of the streams break later, when something has been said and billed.
      if (!request.stream || random.below(2) == 0)
        return refusal(request, fault, random, request_id);
      break;
    default:
      break;
  }

  script reply;
  envelope.with_usage = fault != fault_kind::no_usage;
  if (request.stream) {
    auto events = events_of(request, answer, envelope);
    reply.content_type = "text/event-stream";
    reply.body = std::move(events.text);
    reply.steps = std::move(events.steps);
  } else {
    reply.body = body_of(request, answer, envelope);
    reply.announced = reply.body.size();
    reply.tokens_before =
        answer.choices.empty() ? 0 : answer.usage.completion / answer.choices.size();
  }
  reply.thinks = true;
  reply.billed = true;
  reply.outcome = "200";

  switch (fault) {
    case fault_kind::reset_late:
      reply.sends_nothing = true;
      reply.end = ending::reset;
      break;
    case fault_kind::stall:
      cut_in_middle(reply);
      reply.end = ending::silence;
      break;
    case fault_kind::cut:
      break_off(reply, request, random);
      break;
    case fault_kind::error_in_200:
      break_with_error(reply, request, random);
      break;
    case fault_kind::ragged:
      reply.ragged = true;
      [[fallthrough]];
    default:
      reply.delivered = true;
      return reply;
  }
  reply.outcome = name_of(fault);
  return reply;
}

}  // namespace sluice::simulator
