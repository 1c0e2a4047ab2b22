#include "loadtest/load_record.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/histogram_json.hpp"

namespace sluice::bench {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t most_slow = 10;
constexpr std::size_t most_failures = 20;
constexpr std::string_view throttled_error = "429";

double milliseconds(duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}
double in_seconds(duration time) {
  return std::chrono::duration<double>(time).count();
}

// Six significant digits, because a rate may be far below one per second.
ordered_json six_digits(std::optional<double> value) {
  if (!value || *value == 0) return value ? ordered_json(0) : ordered_json();
  const double scale = std::pow(10, 5 - std::floor(std::log10(*value)));
  return std::round(*value * scale) / scale;
}

ordered_json whole_numbers(const std::vector<double>& amounts) {
  auto list = ordered_json::array();
  for (const double amount : amounts) list.push_back(std::llround(amount));
  return list;
}

ordered_json money(const std::optional<usd>& amount) {
  return amount ? ordered_json(amount->to_string()) : ordered_json();
}

// Tokens that were visible in the stream. Hidden reasoning tokens were not sent between the first
// piece and the last, so they do not count.
std::int64_t shown_tokens(const measurement& one) {
  const auto& used = *one.usage;
  return used.completion_tokens - (one.thought_aloud ? 0 : used.reasoning_tokens);
}

}  // namespace

load_record::load_record(const load& asked, unsigned cap, time_point begin, double begin_unix)
    : asked_(asked), cap_(cap), begin_(begin), begin_unix_(begin_unix) {}

double load_record::seconds(time_point when) const {
  return in_seconds(when - begin_);
}

void load_record::add_gap(duration gap) {
  inter_chunk_.add(milliseconds(gap));
}

void load_record::add_vain_wait(time_point wanted, time_point ended, const own_waits& waited) {
  ++never_started_;
  waited_until_ = std::max(waited_until_.value_or(ended), ended);
  add_waits(waited);
  if (asked_.open()) from_intended_.add(milliseconds(ended - wanted));
}

void load_record::add_waits(const own_waits& waited) {
  waited_for_cap_s_ += in_seconds(waited.for_cap);
  waited_for_budget_s_ += in_seconds(waited.for_budget);
}

void load_record::note_start(time_point sending) {
  ++sent_;
  meter_.count(sending);
  timeline_.add(started, seconds(sending));
  first_start_ = std::min(first_start_.value_or(sending), sending);
  last_start_ = std::max(last_start_.value_or(sending), sending);
}

void load_record::add(const measurement& one) {
  const time_point sent = one.sending.value_or(one.granted);
  add_waits(one.waited);
  in_flight_s_ += in_seconds(one.ended - one.granted);
  first_sent_ = std::min(first_sent_.value_or(sent), sent);
  last_end_ = std::max(last_end_.value_or(one.ended), one.ended);
  timeline_.spread(in_flight, seconds(sent), seconds(one.ended), in_seconds(one.ended - sent));
  if (one.cost) cost_ = cost_.value_or(usd{}) + *one.cost;
  if (one.error.empty()) {
    add_success(one, sent);
  } else {
    add_failure(one);
  }
}

void load_record::add_success(const measurement& one, time_point sent) {
  const auto since_sent = [&](const std::optional<time_point>& moment) {
    return moment ? std::optional(milliseconds(*moment - sent)) : std::nullopt;
  };
  ++succeeded_;
  model_share& share = models_[one.model];
  ++share.requests;
  if (one.usage) share.tokens += *one.usage;
  if (one.cost) share.cost = share.cost.value_or(usd{}) + *one.cost;
  timeline_.add(ended_well, seconds(one.ended));
  const double latency = milliseconds(one.ended - sent);
  latency_.add(latency);
  if (asked_.open()) from_intended_.add(milliseconds(one.ended - one.wanted));
  const auto ttft = since_sent(one.first_piece);
  if (one.connected_anew) connect_.add(milliseconds(sent - one.granted));
  if (one.head) ttfb_.add(*since_sent(one.head));
  if (ttft) ttft_.add(*ttft);
  if (one.first_content) first_content_.add(*since_sent(one.first_content));
  if (one.usage) {
    tokens_ += *one.usage;
    ++with_usage_;
    if (one.estimated) ++estimated_;
    const auto written = static_cast<double>(one.usage->completion_tokens);
    timeline_.spread(tokens, seconds(one.first_piece.value_or(one.ended)),
                     seconds(one.last_piece.value_or(one.ended)), written);
    if (latency > 0) tokens_each_.add(written / latency * 1000);
    if (one.first_piece && *one.last_piece > *one.first_piece && shown_tokens(one) > 1) {
      inter_token_.add(milliseconds(*one.last_piece - *one.first_piece) /
                       static_cast<double>(shown_tokens(one) - 1));
    }
  }
  add_slow(one, latency, ttft);
}

void load_record::add_slow(const measurement& one, double latency_ms,
                           std::optional<double> ttft_ms) {
  if (slowest_.size() == most_slow && slowest_.back().latency_ms >= latency_ms) return;
  told_request slow{.id = one.id,
                    .request_id = one.request_id,
                    .started_unix = one.started_unix,
                    .latency_ms = latency_ms,
                    .ttft_ms = ttft_ms,
                    .completion_tokens = {},
                    .error = {},
                    .message = {}};
  if (one.usage) slow.completion_tokens = one.usage->completion_tokens;
  const auto place =
      std::upper_bound(slowest_.begin(), slowest_.end(), latency_ms,
                       [](double value, const auto& other) { return value > other.latency_ms; });
  slowest_.insert(place, std::move(slow));
  if (slowest_.size() > most_slow) slowest_.pop_back();
}

void load_record::add_failure(const measurement& one) {
  ++failed_;
  ++errors_[one.error];
  timeline_.add(ended_badly, seconds(one.ended));
  if (one.error == throttled_error) {
    ++throttled_;
    timeline_.add(throttled, seconds(one.ended));
  }
  if (failures_.size() == most_failures) return;
  failures_.push_back({.id = one.id,
                       .request_id = one.request_id,
                       .started_unix = one.started_unix,
                       .latency_ms = 0,
                       .ttft_ms = {},
                       .completion_tokens = {},
                       .error = one.error,
                       .message = one.message});
}

std::optional<double> load_record::throughput() const {
  if (!first_sent_ || *last_end_ <= *first_sent_) return std::nullopt;
  return static_cast<double>(succeeded_) / in_seconds(*last_end_ - *first_sent_);
}

double load_record::share_of_time(double waited_s) const {
  const double meant = waited_for_cap_s_ + waited_for_budget_s_ + in_flight_s_;
  return meant > 0 ? waited_s / meant : 0;
}

ordered_json load_record::to_json(const client& ran,
                                  const std::optional<std::string>& stopped) const {
  const bool any = first_sent_.has_value();
  const double lasted = any ? in_seconds(*last_end_ - *first_sent_) : 0;
  std::optional<double> start_rate;
  if (asked_.open() && never_started_ > 0) {
    // Between the first start and the last, requests went out as fast as the limit allowed, so the
    // rate is computed from the whole time of waiting.
    start_rate = static_cast<double>(sent_) / in_seconds(*waited_until_ - begin_);
  } else if (sent_ > 1 && *last_start_ > *first_start_) {
    start_rate = static_cast<double>(sent_ - 1) / in_seconds(*last_start_ - *first_start_);
  }
  std::optional<double> token_rate;
  if (with_usage_ > 0 && lasted > 0) {
    token_rate = static_cast<double>(tokens_.completion_tokens) / lasted;
  }
  std::optional<double> cpu_each;
  if (ran.requests > 0) {
    cpu_each = ran.used.cpu_s * 1e6 / static_cast<double>(ran.requests);
  }
  const bool open = asked_.open();

  ordered_json told;
  told["concurrency"] = open ? ordered_json() : ordered_json(asked_.concurrency);
  told["rate"] = open ? ordered_json(asked_.rate) : ordered_json();
  told["rate_kind"] = open ? ordered_json(to_string(asked_.arrivals)) : ordered_json();
  told["rpm"] = cap_;
  told["requests"] = requests();
  told["succeeded"] = succeeded_;
  told["failed"] = failed_;
  told["throttled"] = throttled_;
  told["never_started"] = never_started_;
  told["warmup"] = asked_.warmup;
  told["started_at"] = rounded(begin_unix_);
  told["duration_s"] = rounded(lasted);
  told["requests_per_s"] = six_digits(throughput());
  told["started_per_s"] = six_digits(start_rate);
  told["asked_per_s"] = open ? six_digits(asked_.rate / 60) : ordered_json();
  told["output_tokens_per_s"] = six_digits(token_rate);
  told["tokens"] = {
      {"prompt", tokens_.prompt_tokens},
      {"cached", tokens_.cached_tokens},
      {"cache_write", saturated_sum(tokens_.cache_write_tokens, tokens_.cache_write_1h_tokens)},
      {"completion", tokens_.completion_tokens},
      {"reasoning", tokens_.reasoning_tokens},
      {"estimated_requests", estimated_}};
  told["connect_ms"] = summary_json(connect_);
  told["ttfb_ms"] = summary_json(ttfb_);
  told["ttft_ms"] = summary_json(ttft_);
  told["first_content_ms"] = summary_json(first_content_);
  told["inter_token_ms"] = summary_json(inter_token_);
  told["inter_chunk_ms"] = summary_json(inter_chunk_);
  told["latency_ms"] = summary_json(latency_);
  told["latency_from_intended_ms"] = summary_json(from_intended_);
  told["output_tokens_per_s_each"] = summary_json(tokens_each_);
  told["errors"] = ordered_json::object();
  for (const auto& [error, count] : errors_) told["errors"][error] = count;
  told["cost_usd"] = money(cost_);
  told["models"] = ordered_json::object();
  for (const auto& [model, share] : models_) {
    told["models"][model] = {{"requests", share.requests},
                             {"prompt_tokens", share.tokens.prompt_tokens},
                             {"completion_tokens", share.tokens.completion_tokens},
                             {"cost_usd", money(share.cost)}};
  }
  told["client_cpu_us_per_request"] = rounded_or_null(cpu_each);
  told["client_busy"] = rounded(ran.wall_s > 0 ? std::min(ran.used.busy_s / ran.wall_s, 1.0) : 0);
  told["held_by_cap"] = rounded(held_by_cap());
  told["held_by_budget"] = rounded(held_by_budget());
  told["most_in_60s"] = meter_.most();
  told["stopped"] = stopped ? ordered_json(*stopped) : ordered_json();
  told["histograms"] = {{"ttft_ms", steps_json(ttft_)},
                        {"first_content_ms", steps_json(first_content_)},
                        {"inter_token_ms", steps_json(inter_token_)},
                        {"latency_ms", steps_json(latency_)},
                        {"latency_from_intended_ms", steps_json(from_intended_)}};
  auto flying = ordered_json::array();
  for (const double amount : timeline_.amounts(in_flight)) {
    flying.push_back(rounded(amount / timeline_.step_s()));
  }
  told["timeline"] = {{"step_s", timeline_.step_s()},
                      {"started", whole_numbers(timeline_.amounts(started))},
                      {"succeeded", whole_numbers(timeline_.amounts(ended_well))},
                      {"failed", whole_numbers(timeline_.amounts(ended_badly))},
                      {"throttled", whole_numbers(timeline_.amounts(throttled))},
                      {"in_flight", std::move(flying)},
                      {"output_tokens", whole_numbers(timeline_.amounts(tokens))}};
  told["slowest"] = ordered_json::array();
  for (const auto& slow : slowest_) {
    told["slowest"].push_back(
        {{"id", slow.id},
         {"request_id", slow.request_id},
         {"started_at", rounded(slow.started_unix)},
         {"latency_ms", rounded(slow.latency_ms)},
         {"ttft_ms", rounded_or_null(slow.ttft_ms)},
         {"completion_tokens",
          slow.completion_tokens ? ordered_json(*slow.completion_tokens) : ordered_json()}});
  }
  told["failures"] = ordered_json::array();
  for (const auto& failed : failures_) {
    told["failures"].push_back({{"id", failed.id},
                                {"request_id", failed.request_id},
                                {"started_at", rounded(failed.started_unix)},
                                {"error", failed.error},
                                {"message", failed.message}});
  }
  return told;
}

}  // namespace sluice::bench
