#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace sluice {

/// Why a request has no reply to show. The names are those of `error.code` in an errors file.
enum class errc : std::uint8_t {
  invalid_json_line,     ///< the job line is not JSON
  invalid_request_line,  ///< it is JSON, but no request: wrong method or url, body missing…
  duplicate_custom_id,   ///< an earlier line of the job has the same custom_id
  http_error,            ///< the relay answered with an HTTP error status; told by the status alone
  connection_failed,     ///< no connection, or it broke before the head of the reply
  tls_failed,            ///< the TLS handshake or the certificate was refused
  request_timeout,       ///< one of the deadlines of an attempt passed
  stream_interrupted,    ///< the reply began and did not come to its end
  invalid_response,      ///< a 2xx whose body is no reply: HTML, an error object, empty choices…
  response_too_large,    ///< the body passed the limit for a response
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
  }
  return "unknown";
}

/// What a failure means for the request and for the key; the classes of the retry rules.
enum class failure_class : std::uint8_t {
  passing,          ///< try again after a backoff
  throttled,        ///< 429: the key is over its limit; try again, it costs no attempt
  permanent,        ///< the same request would fail again
  key_ended,        ///< key refused, or its quota spent: nothing more can be sent with it
  wrong_address,    ///< an answer that this API never gives: 404 without a model, a redirect
  unreachable,      ///< no connection could be opened: the relay's trouble, not the request's
  bad_certificate,  ///< the certificate does not verify
  bad_proxy,        ///< the proxy on the way refuses the credentials
};

/// One failed attempt, as data: never thrown.
struct failure {
  errc code = errc::http_error;
  failure_class kind = failure_class::passing;
  int http_status = 0;     ///< 0: no status arrived
  std::string message;     ///< one line for a person, in the relay's words where it has any
  std::string body;        ///< of an HTTP error: the body as received
  std::string request_id;  ///< the relay's id of the attempt; empty: none
  std::optional<std::chrono::nanoseconds> retry_after;  ///< the server's hint
  bool foreign = false;    ///< no answer of this API at all: a web page
  bool model_out = false;  ///< the relay has no upstream for the model that was asked for
  bool tier_full = false;  ///< no capacity in the service tier: says nothing of other requests
  bool unreadable =
      false;             ///< a reply came whole and could not be read; the same again is of no use
  bool goes_on = false;  ///< the relay works on it in the background: again would be paid again
  int max_retries = -1;  ///< a smaller bound on retries than the run's; -1: none
};

/// Why a run ended before its jobs did.
enum class stop_reason : std::uint8_t {
  none,
  interrupted,      ///< stop() or abort()
  key_ended,        ///< the relay refused the key, or its quota is spent
  wrong_address,    ///< what answers is not this API
  bad_certificate,  ///< the relay's certificate does not verify
  bad_proxy,        ///< the proxy on the way refuses the credentials
  relay_down,       ///< no success for as long as `give_up_after`
  come_back_later,  ///< the relay asked for a longer wait than `max_wait`
  refused_alike,    ///< the first requests of a job were all refused in the same way
  model_out,        ///< a model that had answered has no upstream any more; the others are done
  budget_spent,     ///< what is left of the budget does not pay one attempt more
};

/// The program cannot run, or go on: bad options, an unreadable job, an output that cannot be
/// written. what() is one sentence that names the thing and the next step; on one line, whatever
/// stands in the names.
class fatal_error : public std::runtime_error {
 public:
  enum class kind : std::uint8_t { cannot_start, cannot_write };
  fatal_error(kind why, std::string_view sentence);
  kind why() const noexcept { return why_; }

 private:
  kind why_;
};

}  // namespace sluice
