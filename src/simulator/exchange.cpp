#include "simulator/exchange.hpp"

#include <fmt/format.h>

#include <utility>

#include "simulator/pacing.hpp"

namespace sluice::simulator {
namespace {

/// The parts of the script, each with the time when the relay would send it.
std::vector<exchange::part> parts_of(const script& reply, pacing pace) {
  std::vector<exchange::part> parts;
  std::chrono::nanoseconds due{0};
  if (reply.thinks) due += pace.first() + pace.tokens(reply.tokens_before);
  if (reply.steps.empty()) parts.push_back({due, reply.body});
  std::size_t begin = 0;
  for (const auto end : reply.steps) {
    if (end > begin) parts.push_back({due, reply.body.substr(begin, end - begin)});
    begin = end;
    due += pace.next();
  }
  return parts;
}

}  // namespace

std::string exchange::body() const {
  std::string whole;
  for (const auto& each : parts) whole += each.text;
  return whole;
}

exchange exchange_with(inference_service& service, const options& settings, endpoint to,
                       std::string_view body, std::uint64_t number, std::int64_t unix_time) {
  const auto request_id = fmt::to_string(number);
  inference_service::outcome outcome;
  std::uint64_t pace = 0;
  const auto understood = service.understand(to, body, number);
  if (const auto* error = std::get_if<api_error>(&understood)) {
    outcome.reply = error_reply(*error, request_id);
  } else {
    const auto& request = std::get<inference_request>(understood);
    pace = request.digest;
    if (const auto refusal = service.refusal_of(request))
      outcome.reply = error_reply(*refusal, request_id);
    else
      outcome = service.serve(request, fault_kind::none, unix_time, request_id);
  }
  exchange done;
  done.status = outcome.reply.status;
  done.content_type = outcome.reply.content_type;
  done.parts = parts_of(outcome.reply, pacing(settings.ttft, settings.itl, pace));
  done.usage = outcome.usage;
  done.cost = outcome.cost;
  return done;
}

}  // namespace sluice::simulator
