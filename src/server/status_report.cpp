#include "server/status_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sluice/version.hpp"

namespace sluice::server {
namespace {

using nlohmann::ordered_json;

double seconds_until(time_point then, time_point now) {
  const double left = std::chrono::duration<double>(then - now).count();
  return std::max(0.0, std::round(left * 10) / 10);
}

template <typename Number>
ordered_json or_null(Number value) {
  return value == Number{} ? ordered_json() : ordered_json(value);
}

std::string_view word_of(wait_cause cause) {
  switch (cause) {
    case wait_cause::limit:
      return "limit";
    case wait_cause::unknown:
      return "unknown";
    case wait_cause::pacing:
      return "pacing";
    case wait_cause::pause:
      return "pause";
    case wait_cause::unreachable:
      return "unreachable";
    case wait_cause::none:
      break;
  }
  return "none";
}

ordered_json waits_of(const status_facts& facts) {
  const run_status& runs = facts.runs;
  if (!runs.next_start || runs.cause == wait_cause::none) {
    if (!runs.full && !runs.slowed && runs.waiting_for_model == 0) return nullptr;
    const std::string_view cause = runs.full ? "concurrency" : runs.slowed ? "slow_relay" : "model";
    return {{"cause", cause}, {"text", wait_sentence(runs, 0)}};
  }
  const double left = seconds_until(*runs.next_start, facts.now);
  ordered_json waits = {{"cause", word_of(runs.cause)}, {"seconds", left}};
  if (runs.pause && runs.pause->http_status != 0) waits["http_status"] = runs.pause->http_status;
  waits["text"] = wait_sentence(runs, left);
  return waits;
}

ordered_json relay_of(const relay_status& relay, time_point now) {
  std::string_view state = "ok";
  std::optional<time_point> until;
  if (relay.resting) {
    state = relay.back_at ? "resting" : "ended";
    until = relay.back_at;
  } else if (relay.paused_until) {
    state = "paused";
    until = relay.paused_until;
  } else if (relay.one_at_a_time) {
    state = "failing";
  } else if (relay.served_per_minute > 0) {
    state = "slowed";
  }
  return {{"name", relay.name.empty() ? ordered_json() : ordered_json(relay.name)},
          {"state", state},
          {"seconds", until ? ordered_json(seconds_until(*until, now)) : ordered_json()},
          {"reason", relay.rest_reason.empty() ? ordered_json() : ordered_json(relay.rest_reason)},
          {"in_flight", relay.in_flight},
          {"requests_per_minute", or_null(relay.requests_per_minute)},
          {"served_per_minute", or_null(std::round(relay.served_per_minute))}};
}

ordered_json key_of(const status_facts& facts, const usd& spent) {
  if (!facts.has_keys) return nullptr;
  const client_key& key = facts.client;
  return {{"name", key.name},
          {"requests_per_minute", or_null(key.requests_per_minute)},
          {"tokens_per_minute", or_null(key.tokens_per_minute)},
          {"budget_usd", key.budget ? ordered_json(key.budget->to_string()) : ordered_json()},
          {"spent_usd", spent.to_string()}};
}

// The successes of one model in the batches and calls of one key.
struct model_sum {
  std::uint64_t requests = 0;
  std::uint64_t calls = 0;  // the part of `requests` that are calls
  std::int64_t input_tokens = 0;
  std::int64_t output_tokens = 0;
  usd cost;
};

class model_sums {
 public:
  void add(const std::string& model, const store::batch_progress& done) {
    if (done.counts.completed == 0) return;
    add(model,
        {done.counts.completed, 0, done.usage.input_tokens, done.usage.output_tokens, done.cost});
  }
  void add(const std::map<std::string, job_totals::share>& models) {
    for (const auto& [name, one] : models) {
      add(name, {one.requests, 0, one.tokens.prompt_tokens, one.tokens.completion_tokens,
                 one.cost.value_or(usd{})});
    }
  }
  void add_calls(const std::map<std::string, job_totals::share>& models) {
    for (const auto& [name, one] : models) {
      add(name, {one.requests, one.requests, one.tokens.prompt_tokens, one.tokens.completion_tokens,
                 one.cost.value_or(usd{})});
    }
  }
  void add_unnamed(const store::batch_progress& done) { add("", done); }

  ordered_json report() const {
    std::vector<std::pair<std::string, model_sum>> sorted(sums_.begin(), sums_.end());
    std::ranges::stable_sort(sorted, [](const auto& one, const auto& other) {
      return one.second.cost > other.second.cost;
    });
    ordered_json list = ordered_json::array();
    for (const auto& [name, one] : sorted) {
      list.push_back({{"model", name.empty() ? ordered_json() : ordered_json(name)},
                      {"requests", one.requests},
                      {"calls", one.calls},
                      {"input_tokens", one.input_tokens},
                      {"output_tokens", one.output_tokens},
                      {"cost_usd", one.cost.to_string()}});
    }
    return list;
  }

 private:
  void add(const std::string& model, const model_sum& more) {
    model_sum& sum = sums_[model];
    sum.requests += more.requests;
    sum.calls += more.calls;
    sum.input_tokens += more.input_tokens;
    sum.output_tokens += more.output_tokens;
    sum.cost += more.cost;
  }
  // By model. An empty name: batches with several models, whose shares are unknown.
  std::map<std::string, model_sum> sums_;
};

ordered_json recent_of(const status_facts& facts) {
  const auto hour = facts.figures.recent(facts.client.name, facts.unix_now);
  ordered_json completed = ordered_json::array();
  ordered_json failed = ordered_json::array();
  ordered_json tokens = ordered_json::array();
  for (const auto& step : hour.steps) {
    completed.push_back(step.completed);
    failed.push_back(step.failed);
    tokens.push_back(step.tokens);
  }
  return {{"begins_at", hour.begins_at},
          {"step_s", server_figures::step_s},
          {"completed", std::move(completed)},
          {"failed", std::move(failed)},
          {"tokens", std::move(tokens)}};
}

ordered_json tokens_of(const token_usage& tokens) {
  return {{"input", tokens.prompt_tokens},
          {"cached", tokens.cached_tokens},
          {"output", tokens.completion_tokens},
          {"total", tokens.total_tokens()}};
}

ordered_json calls_of(const server_figures::owner_calls& calls) {
  return {{"started", calls.started},
          {"started_last_minute", calls.started_last_minute},
          {"in_flight", calls.in_flight},
          {"waiting", calls.open - calls.in_flight},
          {"completed", calls.succeeded},
          {"failed", calls.failed},
          {"gone", calls.gone},
          {"tokens", tokens_of(calls.tokens)},
          {"cost_usd", calls.cost.to_string()},
          {"unpriced", calls.unpriced}};
}

ordered_json batches_of(const batch_sums& sums) {
  ordered_json counts = ordered_json::object();
  for (const auto& [status, count] : sums.by_status) {
    counts[std::string(store::name_of(status))] = count;
  }
  return counts;
}

}  // namespace

std::string wait_sentence(const run_status& runs, double seconds) {
  const std::string left = fmt::format("{:.0f} s", std::ceil(seconds));
  switch (runs.cause) {
    case wait_cause::limit:
      return "Requests wait for the limit; the next one starts in " + left + ".";
    case wait_cause::unknown:
      return "Earlier starts are not on record; the next request starts in " + left + ".";
    case wait_cause::pacing:
      return "Starts are spread; the next request starts in " + left + ".";
    case wait_cause::pause:
      return runs.pause && runs.pause->http_status != 0
                 ? fmt::format("The relay has answered {}; requests pause for {}.",
                               runs.pause->http_status, left)
                 : "The relay has refused a request; requests pause for " + left + ".";
    case wait_cause::unreachable:
      return "The relay cannot be reached; the next try is in " + left + ".";
    case wait_cause::none:
      break;
  }
  if (runs.full) return "As many requests are in flight as --concurrency allows.";
  if (runs.slowed) return "The relay answers too slowly for more requests at a time.";
  if (runs.waiting_for_model > 0) return "The relay has no upstream for a model now.";
  return {};
}

ordered_json status_report(const status_facts& facts) {
  store::batch_progress all = facts.sums.ended;
  model_sums models;
  for (const auto& [model, done] : facts.sums.by_model) models.add(model, done);
  for (const auto& batch : facts.sums.mixed) {
    if (const auto* known = facts.figures.batch(batch.id)) {
      models.add(known->models);
    } else {
      models.add_unnamed(batch.progress);
    }
  }
  for (const auto& batch : facts.sums.open) {
    const auto* known = facts.figures.batch(batch.id);
    all += known != nullptr ? known->progress : batch.progress;
    if (known != nullptr) {
      models.add(known->models);
    } else {
      models.add(batch.model.value_or(""), batch.progress);
    }
  }
  const auto calls = facts.figures.calls(facts.client.name, facts.now);
  models.add_calls(calls.models);
  token_usage tokens{.prompt_tokens = all.usage.input_tokens,
                     .cached_tokens = all.usage.cached_tokens,
                     .completion_tokens = all.usage.output_tokens};
  tokens += calls.tokens;
  std::uint64_t open = 0;
  std::uint64_t count = 0;
  for (const auto& [status, number] : facts.sums.by_status) {
    count += number;
    if (!store::has_ended(status)) open += number;
  }
  ordered_json errors = ordered_json::object();
  std::uint64_t named_errors = 0;
  for (const auto& [code, number] : facts.figures.batch_errors(facts.client.name)) {
    errors[code] = number;
    named_errors += number;
  }
  for (const auto& [code, number] : calls.errors) {
    errors[code] = errors.value(code, std::uint64_t{0}) + number;
  }
  ordered_json relays = ordered_json::array();
  for (const auto& relay : facts.relays) relays.push_back(relay_of(relay, facts.now));
  return {{"object", "sluice.status"},
          {"version", SLUICE_VERSION},
          {"now", facts.unix_now},
          {"started_at", facts.figures.started_at()},
          {"key", key_of(facts, all.spent + facts.spent_by_calls)},
          {"limit",
           {{"requests_per_minute", or_null(facts.requests_per_minute)},
            {"tokens_per_minute", or_null(facts.tokens_per_minute)},
            {"started_last_minute", facts.runs.started_last_minute},
            {"started_by_others", facts.runs.started_by_others},
            {"most_in_a_minute", facts.runs.most_in_a_minute}}},
          {"in_flight", facts.runs.in_flight},
          {"own_in_flight", facts.own.in_flight + calls.in_flight},
          {"own_waiting", facts.own.waiting + calls.open - calls.in_flight},
          {"waits", waits_of(facts)},
          {"relays", std::move(relays)},
          {"batches", {{"count", count}, {"open", open}, {"by_status", batches_of(facts.sums)}}},
          {"requests",
           {{"total", all.counts.total},
            {"completed", all.counts.completed},
            {"failed", all.counts.failed}}},
          {"calls", calls_of(calls)},
          {"tokens", tokens_of(tokens)},
          {"cost_usd", (all.cost + calls.cost).to_string()},
          {"unpriced_requests", all.unpriced + calls.unpriced},
          {"models", models.report()},
          {"errors",
           {{"by_code", std::move(errors)},
            {"earlier", all.counts.failed > named_errors ? all.counts.failed - named_errors : 0}}},
          {"recent", recent_of(facts)}};
}

}  // namespace sluice::server
