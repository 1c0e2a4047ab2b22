#include "openai/http_failure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "openai/error_body.hpp"
#include "openai/retry_hint.hpp"

namespace sluice::openai {
namespace {

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// Whether `text` holds `words`, which are in lower case, in any case of theirs.
bool speaks_of(std::string_view text, std::string_view words) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::search(text.begin(), text.end(), words.begin(), words.end(),
                     [&](char a, char b) { return lower(a) == b; }) != text.end();
}

bool quota_is_spent(const error_body& error) {
  return is_one_of(error.code, {"insufficient_quota", "insufficient_user_quota",
                                "billing_not_active", "pre_consume_token_quota_failed"}) ||
         error.code.starts_with("billing_hard_limit") || error.type == "insufficient_quota";
}

/// The same, from relays that give no code.
bool speaks_of_spent_quota(const error_body& error) {
  if (!error.structured || !error.code.empty()) return false;
  const std::string_view words = error.message;
  return speaks_of(words, "额度不足") || speaks_of(words, "额度已用尽") ||
         speaks_of(words, "预扣费额度失败") || speaks_of(words, "quota is not enough");
}

bool concerns_model(const error_body& error) {
  return error.code == "model_not_found" || error.param == "model" ||
         speaks_of(error.message, "model") || speaks_of(error.message, "模型");
}

/// The account behind the key, or the address that uses it, is shut out, whatever is asked for.
/// Relays give no code for it.
bool account_is_barred(const error_body& error) {
  const std::string_view words = error.message;
  if (speaks_of(words, "用户已被封禁") || speaks_of(words, "user has been banned") ||
      speaks_of(words, "user is banned") || speaks_of(words, "只能在指定网段使用") ||
      speaks_of(words, "ip 不在令牌允许") || speaks_of(words, "无法解析客户端 ip")) {
    return true;
  }
  const bool group = speaks_of(words, "分组") || speaks_of(words, "group");
  const bool refused = speaks_of(words, "无权") || speaks_of(words, "禁用") ||
                       speaks_of(words, "不存在") || speaks_of(words, "弃用") ||
                       speaks_of(words, "no permission") || speaks_of(words, "no access") ||
                       speaks_of(words, "no such group") || speaks_of(words, "does not exist") ||
                       speaks_of(words, "disabled");
  return group && refused && !concerns_model(error);
}

/// What asks is refused, whatever it asks for: its address, its country, or by a guard before the
/// API, which knows nothing of requests.
bool site_is_barred(const error_body& error) {
  constexpr std::string_view country = "unsupported_country_region_territory";
  return !error.structured || error.code == "access_denied" || error.code == country ||
         error.type == country;
}

/// Whose trouble a 403 is.
failure_class class_of_forbidden(const error_body& error) {
  if (quota_is_spent(error) || speaks_of_spent_quota(error) || account_is_barred(error)) {
    return failure_class::key_ended;
  }
  if (!error.page && concerns_model(error)) return failure_class::permanent;
  return site_is_barred(error) ? failure_class::key_ended : failure_class::permanent;
}

/// A web page in place of a refusal: what answered is not this API. These statuses mean the same
/// whoever answers: the key, the moment, or a request that is too large.
bool is_foreign(int status, const error_body& error) {
  constexpr std::array plain{401, 402, 407, 408, 409, 413, 425, 429};
  return error.page && status >= 400 && status < 500 &&
         std::find(plain.begin(), plain.end(), status) == plain.end();
}

/// A relay's server error that is the request's own fault: the same request would meet it again.
bool request_is_at_fault(const error_body& error) {
  return is_one_of(error.code, {"model_price_error", "invalid_request", "sensitive_words_detected",
                                "prompt_blocked", "context_length_exceeded"});
}

/// The relay has no upstream for the model: a lasting state that wears a passing status.
bool has_no_channel(const error_body& error) {
  return error.code == "model_not_found" || speaks_of(error.message, "无可用渠道") ||
         speaks_of(error.message, "no available channel");
}

failure_class class_of(int status, const error_body& error) {
  if (status == 500 && quota_is_spent(error)) return failure_class::key_ended;
  if (status >= 500) {
    return status == 501 || request_is_at_fault(error) ? failure_class::permanent
                                                       : failure_class::passing;
  }
  if (status < 400) return failure_class::wrong_address;
  switch (status) {
    case 401:
    case 402:
      return failure_class::key_ended;
    case 403:
      return class_of_forbidden(error);
    case 404:
      return error.structured && concerns_model(error) ? failure_class::permanent
                                                       : failure_class::wrong_address;
    case 405:
      return failure_class::wrong_address;
    case 407:
      return failure_class::bad_proxy;
    case 408:
    case 409:
    case 425:
      return failure_class::passing;
    case 429:
      return quota_is_spent(error) ? failure_class::key_ended : failure_class::throttled;
    default:
      return is_foreign(status, error) ? failure_class::wrong_address : failure_class::permanent;
  }
}

bool may_be_repeated(failure_class kind) {
  return kind == failure_class::passing || kind == failure_class::throttled;
}

bool server_forbids_retry(const response_head& head) {
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
    default:
      return "";
  }
}

std::string message_of(const response_head& head, const error_body& error, std::string_view body) {
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

failure http_failure(const response_head& head, std::string body, double now_unix) {
  const error_body error = read_error_body(body);
  failure failed;
  failed.code = errc::http_error;
  failed.kind = class_of(head.status, error);
  failed.foreign = is_foreign(head.status, error);
  failed.http_status = head.status;
  failed.message = message_of(head, error, body);
  failed.request_id = head.request_id;
  if (may_be_repeated(failed.kind)) {
    failed.retry_after = retry_hint(head, failed.message, now_unix, error.hints);
    if (head.status >= 500 && has_no_channel(error)) failed.max_retries = 2;
    if (server_forbids_retry(head)) failed.max_retries = 0;  // a later run may try it
  }
  failed.body = std::move(body);
  return failed;
}

}  // namespace sluice::openai
