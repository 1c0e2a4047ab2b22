#include "server/server_metrics.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include "server/metrics.hpp"
#include "sluice/version.hpp"

namespace sluice::server {
namespace {

using enum metrics_text::kind;

void write_requests(metrics_text& to, const request_counts& requests) {
  to.family(counter, "sluice_http_requests_total",
            "Requests of clients, by route and status; status 0: the client was gone.");
  for (const auto& [route, counts] : requests.by_route()) {
    for (const auto& [status, count] : counts.by_status) {
      to.sample({{"route", route}, {"status", std::to_string(status)}}, count);
    }
  }
  to.family(histogram, "sluice_http_request_duration_seconds",
            "From the head of a client's request to the end of its answer.");
  for (const auto& [route, times] : requests.by_route()) {
    to.histogram({{"route", route}}, time_classes::bounds, times.at_most, times.sum_s);
  }
}

void write_batches(metrics_text& to, const metrics_facts& facts) {
  to.family(gauge, "sluice_batches", "Batches in the store that have not ended, by status.");
  std::uint64_t open = 0;
  for (const auto status : {store::batch_status::validating, store::batch_status::in_progress,
                            store::batch_status::finalizing, store::batch_status::cancelling}) {
    const auto found = facts.open_batches.find(status);
    const std::uint64_t count = found == facts.open_batches.end() ? 0 : found->second;
    open += count;
    to.sample({{"status", store::name_of(status)}}, count);
  }
  to.family(gauge, "sluice_batches_running", "Batches that this server works on.");
  to.sample({}, std::uint64_t{facts.batches_at_work});
  to.family(gauge, "sluice_batches_queued",
            "Batches that have not ended and that this server does not work on.");
  to.sample({}, open - std::min<std::uint64_t>(open, facts.batches_at_work));
  to.family(counter, "sluice_batches_ended_total",
            "Batches that have ended since the start, by status.");
  for (const auto status : {store::batch_status::completed, store::batch_status::failed,
                            store::batch_status::expired, store::batch_status::cancelled}) {
    const auto found = facts.figures.ended.find(status);
    to.sample({{"status", store::name_of(status)}},
              found == facts.figures.ended.end() ? std::uint64_t{0} : found->second);
  }
}

struct token_kind {
  std::string_view name;
  std::int64_t token_usage::*count;
};
constexpr std::array<token_kind, 6> token_kinds{
    {{"input", &token_usage::prompt_tokens},
     {"cached", &token_usage::cached_tokens},
     {"cache_write", &token_usage::cache_write_tokens},
     {"cache_write_1h", &token_usage::cache_write_1h_tokens},
     {"output", &token_usage::completion_tokens},
     {"reasoning", &token_usage::reasoning_tokens}}};

using model_map = std::map<std::string, server_figures::model_sums>;

void write_tokens(metrics_text& to, const model_map& models) {
  for (const auto& [model, sum] : models) {
    for (const auto& each : token_kinds) {
      to.sample({{"model", model}, {"kind", each.name}},
                static_cast<std::uint64_t>(sum.tokens.*each.count));
    }
  }
}

void write_costs(metrics_text& to, const model_map& models) {
  for (const auto& [model, sum] : models) {
    if (sum.cost) to.sample_text({{"model", model}}, sum.cost->to_string());
  }
}

void write_work(metrics_text& to, const server_figures::sums& all) {
  to.family(counter, "sluice_batch_lines_total", "Requests of batches that got their result.");
  to.sample({{"result", "succeeded"}}, all.succeeded);
  to.sample({{"result", "failed"}}, all.failed);
  to.family(counter, "sluice_batch_errors_total",
            "Requests of batches that have failed, by error code or HTTP status.");
  for (const auto& [code, count] : all.errors) to.sample({{"code", code}}, count);
  to.family(counter, "sluice_relay_requests_total",
            "Requests that were sent to the relays for batches and calls, each try.");
  to.sample({}, all.attempts);
  to.family(counter, "sluice_relay_retries_total", "Part of them: tries after a failed one.");
  to.sample({}, all.retries);
  to.family(counter, "sluice_tokens_total",
            "Tokens of batches and calls by model and kind. cached and cache_write are parts of "
            "input, reasoning is a part of output.");
  write_tokens(to, all.models);
  to.family(counter, "sluice_cost_usd_total", "Cost of batches and calls by model, in USD.");
  write_costs(to, all.models);
  to.family(counter, "sluice_unpriced_total",
            "Successful requests of batches and calls whose cost is unknown.");
  to.sample({}, all.unpriced);
  to.family(counter, "sluice_store_errors_total", "Calls of the store that have failed.");
  to.sample({}, all.store_errors);
}

void write_calls(metrics_text& to, const server_figures::call_sums& calls) {
  to.family(counter, "sluice_calls_total",
            "Interactive calls that have ended. gone: the client went away first.");
  to.sample({{"result", "succeeded"}}, calls.succeeded);
  to.sample({{"result", "failed"}}, calls.failed);
  to.sample({{"result", "gone"}}, calls.gone);
  to.family(counter, "sluice_calls_started_total", "Interactive calls that have begun.");
  to.sample({}, calls.started);
  to.family(gauge, "sluice_calls_open", "Interactive calls without a complete answer.");
  to.sample({}, calls.open);
  to.family(counter, "sluice_call_errors_total",
            "Interactive calls that have failed, by error code or HTTP status.");
  for (const auto& [code, count] : calls.errors) to.sample({{"code", code}}, count);
  to.family(counter, "sluice_call_tokens_total",
            "The part of sluice_tokens_total that interactive calls have used.");
  write_tokens(to, calls.models);
  to.family(counter, "sluice_call_cost_usd_total",
            "The part of sluice_cost_usd_total that interactive calls have cost.");
  write_costs(to, calls.models);
  to.family(counter, "sluice_call_unpriced_total",
            "The part of sluice_unpriced_total that are interactive calls.");
  to.sample({}, calls.unpriced);
  to.family(histogram, "sluice_call_duration_seconds",
            "From the end of an interactive request to the end of its answer, with all waits.");
  to.histogram({}, time_classes::bounds, calls.took.at_most, calls.took.sum_s);
  to.family(histogram, "sluice_call_first_byte_seconds",
            "From the end of an interactive request to the first byte of the relay's reply.");
  to.histogram({}, time_classes::bounds, calls.first_byte.at_most, calls.first_byte.sum_s);
}

void write_relays(metrics_text& to, const metrics_facts& facts) {
  const run_status& runs = facts.runs;
  to.family(gauge, "sluice_relay_starts_last_minute",
            "Requests to the relays that count for the limit of 60 s now.");
  to.sample({}, runs.started_last_minute + runs.started_by_others);
  to.family(gauge, "sluice_relay_starts_of_others",
            "The part of sluice_relay_starts_last_minute that other processes have sent, or this "
            "server before a restart.");
  to.sample({}, runs.started_by_others);
  to.family(gauge, "sluice_relay_starts_limit", "The limit of it; absent: there is none.");
  if (facts.requests_per_minute > 0) to.sample({}, std::uint64_t{facts.requests_per_minute});
  to.family(gauge, "sluice_relay_in_flight", "Requests to the relays without a complete answer.");
  to.sample({}, std::uint64_t{runs.in_flight});
  to.family(gauge, "sluice_requests_waiting", "Requests that wait, by what they wait for.");
  to.sample({{"for", "start"}}, std::uint64_t{runs.waiting});
  to.sample({{"for", "worker"}}, std::uint64_t{runs.queued});
  to.sample({{"for", "budget"}}, std::uint64_t{runs.waiting_for_budget});
  to.sample({{"for", "model"}}, std::uint64_t{runs.waiting_for_model});

  const auto each = [&](std::string_view name, std::string_view help, auto value) {
    to.family(gauge, name, help);
    for (const auto& relay : facts.relays) {
      to.sample({{"relay", relay.name.empty() ? std::string_view("relay") : relay.name}},
                value(relay));
    }
  };
  each("sluice_relay_up", "0: the relay rests and gets no requests.",
       [](const relay_status& one) { return std::uint64_t{one.resting ? 0U : 1U}; });
  each("sluice_relay_in_trouble", "1: the relay fails, and gets one request at a time.",
       [](const relay_status& one) { return std::uint64_t{one.one_at_a_time ? 1U : 0U}; });
  each("sluice_relay_pause_seconds", "How long the relay gets no new request.",
       [&](const relay_status& one) {
         return one.paused_until && *one.paused_until > facts.now
                    ? std::chrono::duration<double>(*one.paused_until - facts.now).count()
                    : 0.0;
       });
  each("sluice_relay_requests_in_flight", "Requests to this relay without a complete answer.",
       [](const relay_status& one) { return std::uint64_t{one.in_flight}; });
}

void write_process(metrics_text& to, const metrics_facts& facts) {
  const process_figures& own = facts.process;
  to.family(gauge, "sluice_http_connections", "Connections of clients.");
  to.sample({}, facts.connections);
  to.family(gauge, "sluice_build_info", "The version of sluice.");
  to.sample({{"version", SLUICE_VERSION}}, std::uint64_t{1});
  to.family(counter, "process_cpu_seconds_total", "User and system time of the process.");
  to.sample({}, own.cpu_seconds);
  to.family(gauge, "process_resident_memory_bytes", "Resident memory of the process.");
  to.sample({}, own.resident_bytes);
  to.family(gauge, "process_virtual_memory_bytes", "Virtual memory of the process.");
  to.sample({}, own.virtual_bytes);
  to.family(gauge, "process_open_fds", "Open files of the process.");
  to.sample({}, own.open_files);
  to.family(gauge, "process_max_fds", "How many files the process may open.");
  to.sample({}, own.most_open_files);
  to.family(gauge, "process_start_time_seconds", "Unix time at which the process has started.");
  to.sample({}, own.started_at);
}

}  // namespace

std::string server_metrics(const metrics_facts& facts) {
  metrics_text text;
  write_requests(text, facts.requests);
  write_batches(text, facts);
  write_work(text, facts.figures);
  write_calls(text, facts.figures.calls);
  write_relays(text, facts);
  write_process(text, facts);
  return text.text();
}

}  // namespace sluice::server
