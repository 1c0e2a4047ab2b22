#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace sluice {

/// Why a request has no reply. The names are the values of `error.code` in an errors file.
enum class errc : std::uint8_t {
  invalid_json_line,     ///< the job line is not JSON
  invalid_request_line,  ///< it is JSON, but not a request: wrong method or url, no body…
  duplicate_custom_id,   ///< an earlier line of the job has the same custom_id
  /// The relay answered with an HTTP error status; the status is shown instead of this name.
  http_error,
  connection_failed,   ///< no connection, or it broke before the response headers came
  tls_failed,          ///< the TLS handshake or the certificate was refused
  request_timeout,     ///< a timeout of the attempt expired
  stream_interrupted,  ///< the reply began, but its end never came
  invalid_response,    ///< a 2xx whose body is not a reply: HTML, an error object, no choices…
  response_too_large,  ///< the body is larger than `max_response_bytes`
  reply_rejected,      ///< complete replies, but none had the shape that is expected
};

constexpr std::string_view to_string(errc code) noexcept {
  switch (code) {
    case errc::invalid_json_line:
      return "invalid_json_line";
    case errc::invalid_request_line:
      return "invalid_request_line";
    case errc::duplicate_custom_id:
      return "duplicate_custom_id";
    case errc::http_error:
      return "http_error";
    case errc::connection_failed:
      return "connection_failed";
    case errc::tls_failed:
      return "tls_failed";
    case errc::request_timeout:
      return "request_timeout";
    case errc::stream_interrupted:
      return "stream_interrupted";
    case errc::invalid_response:
      return "invalid_response";
    case errc::response_too_large:
      return "response_too_large";
    case errc::reply_rejected:
      return "reply_rejected";
  }
  return "unknown";
}

/// What a failure means for the request and the key. The retry rules are based on it.
enum class failure_class : std::uint8_t {
  passing,    ///< temporary: retry after a backoff
  throttled,  ///< 429: the key is over its limit; a retry that does not count as an attempt
  permanent,  ///< the same request would fail again
  key_ended,  ///< the key is refused or its quota is used up; it can send nothing more
  /// An answer that this API never gives: a 404 that is not about a model, or a redirect.
  wrong_address,
  unreachable,      ///< no connection could be opened; not the fault of the request
  bad_certificate,  ///< the certificate cannot be verified
  bad_proxy,        ///< the proxy refuses the credentials
};

/// Why a run ended before its jobs were complete.
enum class stop_reason : std::uint8_t {
  none,
  interrupted,      ///< stop() or abort()
  key_ended,        ///< the relay refused the key
  quota_spent,      ///< the key's quota, or the balance of its account, is used up
  blocked,          ///< a gateway in front of the relay refuses access, for example Cloudflare
  wrong_address,    ///< the server at this address does not speak this API
  bad_certificate,  ///< the relay's certificate cannot be verified
  bad_proxy,        ///< the proxy refuses the credentials
  relay_down,       ///< no success for `give_up_after`
  unreachable,      ///< the same, and no connection to the relay was ever opened
  come_back_later,  ///< the relay asked for a longer wait than `max_wait`
  refused_alike,    ///< many requests of a job failed in a row with the same message
  model_out,        ///< a model lost its upstream; the requests for other models are done
  budget_spent,     ///< the rest of the budget is too small for another attempt
};

/// One failed attempt. It is returned, never thrown.
struct failure {
  errc code = errc::http_error;
  failure_class kind = failure_class::passing;
  int http_status = 0;     ///< 0: no status arrived
  std::string message;     ///< one readable line, in the relay's words if it sent any
  std::string body;        ///< for an HTTP error: as received; for a rejected reply: as in a result
  std::string request_id;  ///< the relay's id of the attempt; empty: none
  std::optional<std::chrono::nanoseconds> retry_after;  ///< how long the server asks to wait
  bool foreign = false;        ///< not an answer of this API, for example a web page
  bool model_missing = false;  ///< the relay has no such model, or not for this key
  bool model_out = false;      ///< the relay has no upstream for the model
  bool tier_full = false;      ///< the service tier has no capacity; other requests may succeed
  bool unreadable = false;     ///< a complete reply that could not be parsed; retrying is useless
  /// The relay keeps working in the background; a retry would be billed again.
  bool goes_on = false;
  int max_retries = -1;  ///< a smaller limit on retries than the run's; -1: none
  /// For key_ended: the reason with which the run ends.
  stop_reason ends_with = stop_reason::key_ended;
};

/// Describes a failure for a person in one clause: its message, with the HTTP status and the model
/// of the request unless the message already contains them. If there is no status, it is the
/// message alone. Thread safe.
std::string described(const failure& why, std::string_view model);

/// The program cannot start or continue: bad options, an unreadable job, an output that cannot be
/// written. what() is one sentence on one line: what is wrong, and what to do.
class fatal_error : public std::runtime_error {
 public:
  enum class kind : std::uint8_t { cannot_start, cannot_write };
  fatal_error(kind why, std::string_view sentence);
  kind why() const noexcept { return why_; }

 private:
  kind why_;
};

}  // namespace sluice
