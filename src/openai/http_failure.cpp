#include "openai/http_failure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "openai/error_body.hpp"
#include "openai/retry_hint.hpp"
#include "openai/vendor_errors.hpp"
#include "openai/whole_reply.hpp"

namespace sluice::openai {
namespace {

/// Whether a text contains a name as a whole word, not as part of a longer name.
bool names(std::string_view text, std::string_view name) {
  const auto is_letter = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  const auto goes_on = [&](std::size_t at) {
    const char c = at < text.size() ? text[at] : ' ';
    const char next = at + 1 < text.size() ? text[at + 1] : ' ';
    return is_letter(c) || c == '-' || c == '_' || (c == '.' && is_letter(next));
  };
  if (name.empty()) return false;
  for (std::size_t at = text.find(name); at != std::string_view::npos;
       at = text.find(name, at + 1)) {
    const char before = at == 0 ? ' ' : text[at - 1];
    const bool begins = !is_letter(before) && before != '-' && before != '_' && before != '.';
    if (begins && !goes_on(at + name.size())) return true;
  }
  return false;
}

/// One error response and what is known about it.
struct refusal {
  int status = 0;
  const error_body& error;
  std::string_view body;
  std::string_view model;  ///< the model of the request; empty: not known
  std::optional<error_meaning> meaning;

  bool is(error_meaning asked) const { return meaning == asked; }
};

/// The class of a 403. A response that is not JSON comes from a gateway in front of the API, so the
/// request is not its cause.
failure_class class_of_forbidden(const refusal& refused) {
  if (refused.is(error_meaning::throttled)) return failure_class::throttled;
  if (refused.is(error_meaning::overloaded)) return failure_class::passing;
  if (refused.is(error_meaning::model_missing) || refused.error.param == "model") {
    return failure_class::permanent;
  }
  return refused.error.structured ? failure_class::permanent : failure_class::key_ended;
}

/// Whether a 404 is about the model or another choice of the request, and not about the URL.
bool is_about_choice(const refusal& refused) {
  if (!refused.error.structured || refused.is(error_meaning::wrong_path)) return false;
  return refused.is(error_meaning::model_missing) || refused.error.param == "model" ||
         names(refused.error.message, refused.model) || names(refused.body, refused.model);
}

/// Whether the answer is a web page instead of an error, so that it is not from this API. Some
/// statuses mean the same from any server: a problem of the key, a temporary problem, or a request
/// that is too large.
bool is_foreign(int status, const error_body& error) {
  constexpr std::array plain{401, 402, 407, 408, 409, 413, 425, 429, 498, 499};
  return error.page && status >= 400 && status < 500 &&
         std::find(plain.begin(), plain.end(), status) == plain.end();
}

/// Whether the account of the key cannot be used any more. Relays, gateways and vendors report this
/// with almost any status.
bool ends_the_key(const refusal& refused) {
  return refused.status == 401 || refused.status == 402 || refused.is(error_meaning::spent) ||
         refused.is(error_meaning::barred);
}

/// How a refusal of the key ends a run. A 403 that is not an error of this API comes from a
/// gateway.
stop_reason end_of(const refusal& refused) {
  if (refused.status == 402 || refused.is(error_meaning::spent)) return stop_reason::quota_spent;
  const bool from_gateway =
      refused.status == 403 && !refused.error.structured && !refused.is(error_meaning::barred);
  return from_gateway ? stop_reason::blocked : stop_reason::key_ended;
}

failure_class class_of(const refusal& refused) {
  const int status = refused.status;
  if (status < 400) return failure_class::wrong_address;
  if (status == 407) return failure_class::bad_proxy;
  if (ends_the_key(refused)) return failure_class::key_ended;
  if (refused.is(error_meaning::model_out) || refused.is(error_meaning::tier_full)) {
    return failure_class::passing;
  }
  const bool too_large = refused.is(error_meaning::too_large);
  if (status >= 500) {
    return status == 501 || too_large || refused.is(error_meaning::at_fault)
               ? failure_class::permanent
               : failure_class::passing;
  }
  switch (status) {
    case 403:
      return class_of_forbidden(refused);
    case 404:
      return is_about_choice(refused) ? failure_class::permanent : failure_class::wrong_address;
    case 405:
      return failure_class::wrong_address;
    case 408:
    case 409:
    case 425:
    case 499:
      return failure_class::passing;
    case 413:
      return failure_class::permanent;
    case 429:
      return too_large ? failure_class::permanent : failure_class::throttled;
    default:
      break;
  }
  if (is_foreign(status, refused.error)) return failure_class::wrong_address;
  if (refused.is(error_meaning::throttled)) return failure_class::throttled;
  return refused.is(error_meaning::overloaded) ? failure_class::passing : failure_class::permanent;
}

/// The maximum number of retries if no upstream serves the model. That may be permanent although
/// the status says that it is temporary. A run that knows more may use another number.
constexpr int retries_for_a_model_that_is_out = 2;

void tell_what_is_out(failure& failed, std::optional<error_meaning> meaning) {
  failed.tier_full = meaning == error_meaning::tier_full;
  failed.model_out = meaning == error_meaning::model_out;
  if (failed.model_out) failed.max_retries = retries_for_a_model_that_is_out;
}

bool may_be_repeated(failure_class kind) {
  return kind == failure_class::passing || kind == failure_class::throttled;
}

bool server_forbids_retry(const reply_head& head) {
  const auto found = head.hints.find("x-should-retry");
  return found != head.hints.end() && found->second == "false";
}

std::string_view reason_of(int status) {
  switch (status) {
    case 300:
      return "Multiple Choices";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 407:
      return "Proxy Authentication Required";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Content";
    case 425:
      return "Too Early";
    case 429:
      return "Too Many Requests";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 524:
      return "A Timeout Occurred";
    case 529:
      return "Overloaded";
    default:
      return "";
  }
}

std::string message_of(const reply_head& head, const error_body& error, std::string_view body) {
  if (head.status < 400 && !head.location.empty()) {
    return fmt::format("HTTP {} redirects to {}", head.status, one_line(head.location, 200));
  }
  if (!error.message.empty()) return error.message;
  std::string message = fmt::format("HTTP {}", head.status);
  if (const auto reason = reason_of(head.status); !reason.empty()) {
    message.append(1, ' ').append(reason);
  }
  if (const std::string words = one_line(body, 200); !words.empty()) {
    message.append(": ").append(words);
  }
  return message;
}

}  // namespace

failure http_failure(const reply_head& head, std::string body, double now_unix,
                     std::string_view model) {
  const error_body error = read_error_body(body);
  const refusal refused{head.status, error, body, model, meaning_of(error, head.status)};
  failure failed;
  failed.code = errc::http_error;
  failed.kind = class_of(refused);
  failed.ends_with = end_of(refused);
  failed.foreign = is_foreign(head.status, error);
  failed.model_missing =
      failed.kind == failure_class::permanent && refused.is(error_meaning::model_missing);
  failed.http_status = head.status;
  failed.message = message_of(head, error, body);
  failed.request_id = head.request_id;
  if (may_be_repeated(failed.kind)) {
    failed.retry_after = retry_hint(head, failed.message, now_unix, error.hints);
    tell_what_is_out(failed, refused.meaning);
    if (server_forbids_retry(head)) failed.max_retries = 0;  // a later run may try again
  }
  failed.body = std::move(body);
  return failed;
}

failure reported_failure(std::string_view body, std::string_view otherwise, double now_unix) {
  constexpr int success = 200;
  const error_body error = read_error_body(body);
  failure failed = invalid_response(error.message.empty() ? std::string(otherwise) : error.message);
  const auto meaning = meaning_of(error, success);
  if (!meaning) return failed;
  switch (*meaning) {
    case error_meaning::spent:
      failed.ends_with = stop_reason::quota_spent;
      [[fallthrough]];
    case error_meaning::barred:
      failed.kind = failure_class::key_ended;
      break;
    case error_meaning::too_large:
    case error_meaning::at_fault:
      failed.kind = failure_class::permanent;
      break;
    case error_meaning::throttled:
      failed.kind = failure_class::throttled;
      failed.retry_after = retry_hint(reply_head{}, failed.message, now_unix, error.hints);
      break;
    default:
      tell_what_is_out(failed, meaning);
  }
  return failed;
}

}  // namespace sluice::openai
