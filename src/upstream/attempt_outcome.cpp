#include "upstream/attempt_outcome.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <utility>

#include "http/base_url.hpp"
#include "openai/error_body.hpp"

namespace sluice {
namespace {

using how = exchange_end::how;

constexpr std::size_t longest_message = 1000;

// The failure of an attempt that got no response head.
failure transport_failure(const exchange_end& end) {
  failure why;
  why.message = openai::one_line(end.message, longest_message);
  switch (end.end) {
    case how::unreachable:
      why.code = errc::connection_failed;
      why.kind = failure_class::unreachable;
      break;
    case how::wrong_server:
      why.code = errc::connection_failed;
      why.kind = failure_class::wrong_address;
      break;
    case how::bad_certificate:
      why.code = errc::tls_failed;
      why.kind = failure_class::bad_certificate;
      break;
    case how::refused_by_proxy:
      why.code = errc::connection_failed;
      why.kind = failure_class::bad_proxy;
      break;
    case how::timed_out:
      why.code = errc::request_timeout;
      break;
    case how::broken:
    case how::undecodable:
    case how::complete:
      why.code = errc::connection_failed;
      break;
  }
  return why;
}

openai::reply_reader::ending ending_of(how end) {
  using enum openai::reply_reader::ending;
  switch (end) {
    case how::complete:
      return complete;
    case how::timed_out:
      return timeout;
    case how::undecodable:
      return undecodable;
    default:
      return cut;
  }
}

void redact_names(std::map<std::string, std::uint64_t>& counts, const secrets& hidden) {
  for (auto at = counts.begin(); at != counts.end();) {
    const auto next = std::next(at);
    std::string shown = at->first;
    hidden.redact(shown);
    if (shown != at->first) {
      auto node = counts.extract(at);
      counts[std::move(shown)] += node.mapped();
    }
    at = next;
  }
}

}  // namespace

attempt_outcome outcome_of(const exchange_end& end, openai::reply_reader& reader) {
  if (!end.head_arrived) return transport_failure(end);
  return reader.finish(ending_of(end.end), end.message);
}

void name_address(attempt_outcome& outcome, const relay_options& relay, endpoint target) {
  if (outcome) return;
  failure why = outcome.error();
  if (why.kind != failure_class::wrong_address && !why.foreign) return;
  why.message = fmt::format("request to {}: {}",
                            base_url::parse(relay.base_url).shown(to_string(target)), why.message);
  outcome = std::move(why);
}

attempt_end end_without_result(const exchange_end& end, const failure& why) {
  if (!end.sent_any) return attempt_end::unsent;
  if (!end.sent_whole) return attempt_end::answered;
  return why.code == errc::http_error ? end_by_status(why.http_status) : attempt_end::lost;
}

void redact(attempt_outcome& outcome, const secrets& hidden) {
  if (outcome) {
    hidden.redact(outcome->body);
    hidden.redact(outcome->request_id);
    if (outcome->service_tier) hidden.redact(*outcome->service_tier);
    hidden.redact(outcome->speed);
    hidden.redact(outcome->inference_geo);
    redact_names(outcome->finish_reasons, hidden);
    return;
  }
  failure why = outcome.error();
  hidden.redact(why.message);
  hidden.redact(why.body);
  hidden.redact(why.request_id);
  outcome = std::move(why);
}

}  // namespace sluice
