#include "page/job_history.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/histogram_json.hpp"
#include "jobs/stored_line.hpp"
#include "json/members.hpp"
#include "json/text.hpp"
#include "openai/error_body.hpp"
#include "sluice/usage.hpp"

namespace sluice {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t longest_message = 300;
constexpr const char* quantile_names[] = {"p50", "p90", "p99"};

// A text that is stored as raw JSON, quotes included, and parsed only here.
ordered_json text_of(std::string_view raw) {
  const auto text = json_string(raw);
  return text ? ordered_json(*text) : ordered_json(nullptr);
}

// The id as valid UTF-8.
ordered_json id_of(const stored_line& line) {
  std::string quoted;
  append_json_wtf8(quoted, line.custom_id);
  return text_of(quoted);
}

double end_of(const stored_line& line) {
  return *line.started_at + line.facts.latency_ms / 1000;
}

std::optional<std::int64_t> completion_tokens(const stored_line& line) {
  if (!line.facts.usage) return std::nullopt;
  return std::clamp<std::int64_t>(line.facts.usage->completion_tokens, 0, most_tokens_of_a_reply);
}

std::optional<double> inter_token_ms_of(const stored_line& line) {
  const auto tokens = completion_tokens(line);
  if (!line.facts.ttft_ms || !tokens || *tokens < 2) return std::nullopt;
  return std::max(0.0, line.facts.latency_ms - *line.facts.ttft_ms) /
         static_cast<double>(*tokens - 1);
}

// Uses the quantiles of the totals, if they have them.
void take_quantiles(ordered_json& told, const ordered_json& totals, const char* name) {
  const auto found = totals.find(name);
  if (!told.is_object() || found == totals.end() || !found->is_object()) return;
  for (const char* quantile : quantile_names) {
    if (found->contains(quantile) && (*found)[quantile].is_number())
      told[quantile] = (*found)[quantile];
  }
}

std::optional<double> mean(double sum, double count) {
  return count == 0 ? std::nullopt : std::optional(sum / count);
}

// Whether this is a real time: after 1970, and before the year 5000.
bool is_moment(double unix_seconds) {
  return unix_seconds > 0 && unix_seconds < 1e11;
}

}  // namespace

void job_history::add(std::string_view line) {
  ++lines_;
  if (const auto stored = parse_stored_line(line)) {
    add_request(*stored);
  } else {
    ++unreadable_;
  }
}

void job_history::add_request(const stored_line& one) {
  streamed_ += one.streamed ? 1 : 0;
  simulated_ += one.simulated ? 1 : 0;
  if (one.started_at && one.attempts != 0) {
    started_at_ = std::min(started_at_.value_or(*one.started_at), *one.started_at);
    ended_at_ = std::max(ended_at_.value_or(end_of(one)), end_of(one));
    add_to_timeline(one);
  }
  if (!one.facts.succeeded) return keep_failure(one);
  if (one.facts.copied) return;  // it has no times of its own
  add_times(times_, one);
  auto model = models_.find(one.facts.model);
  if (model == models_.end() && models_.size() < most_models) {
    model = models_.emplace(one.facts.model, times{}).first;
  }
  if (model != models_.end()) add_times(model->second, one);
  keep_if_slow(one);
}

void job_history::add_to_timeline(const stored_line& one) {
  const double start = *one.started_at;
  const double end = end_of(one);
  if (is_moment(start)) {
    timeline_.add(started, start);
    const auto add_mean = [&](series sum, series count, const std::optional<double>& value) {
      if (!value || !one.facts.succeeded) return;
      timeline_.add(sum, start, *value);
      timeline_.add(count, start);
    };
    add_mean(ttft_ms, ttfts, one.facts.ttft_ms);
    add_mean(inter_token_ms, inter_tokens, inter_token_ms_of(one));
  }
  if (is_moment(end)) {
    timeline_.add(one.facts.succeeded ? succeeded : failed, end);
    timeline_.add(output_tokens, end, static_cast<double>(completion_tokens(one).value_or(0)));
  }
  if (is_moment(start) && is_moment(end)) timeline_.spread(in_flight, start, end, end - start);
}

void job_history::add_times(times& sums, const stored_line& one) {
  sums.latency_ms.add(one.facts.latency_ms);
  if (one.facts.ttft_ms) sums.ttft_ms.add(*one.facts.ttft_ms);
  if (const auto each = inter_token_ms_of(one)) sums.inter_token_ms.add(*each);
}

bool job_history::is_slower(const slow_request& a, const slow_request& b) {
  return a.latency_ms != b.latency_ms ? a.latency_ms > b.latency_ms : a.line < b.line;
}

void job_history::keep_if_slow(const stored_line& one) {
  slow_request slow{.latency_ms = one.facts.latency_ms, .line = one.line, .told = {}};
  if (slowest_.size() == most_slowest) {
    if (!is_slower(slow, slowest_.front())) return;
    std::pop_heap(slowest_.begin(), slowest_.end(), is_slower);
    slowest_.pop_back();
  }
  const auto tokens = completion_tokens(one);
  slow.told = {{"id", id_of(one)},
               {"line", one.line},
               {"request_id", text_of(one.request_id)},
               {"model", one.facts.model},
               {"started_at", rounded_or_null(one.started_at)},
               {"latency_ms", one.facts.latency_ms},
               {"ttft_ms", rounded_or_null(one.facts.ttft_ms)},
               {"completion_tokens", tokens ? ordered_json(*tokens) : ordered_json(nullptr)},
               {"attempts", one.attempts}};
  slowest_.push_back(std::move(slow));
  std::push_heap(slowest_.begin(), slowest_.end(), is_slower);
}

void job_history::keep_failure(const stored_line& one) {
  const std::string& name = one.facts.error;
  const std::string message = openai::one_line(failure_message(one), longest_message);
  auto kind = failures_.find(name);
  if (kind == failures_.end()) {
    if (failures_.size() == most_kinds) return;
    kind = failures_.try_emplace(name).first;
    reasons_.emplace(name, message);
  }
  auto& last = kind->second;
  last.push_back({.number = ++failed_,
                  .told = {{"id", id_of(one)},
                           {"line", one.line},
                           {"request_id", text_of(one.request_id)},
                           {"model", one.facts.model.empty() ? ordered_json(nullptr)
                                                             : ordered_json(one.facts.model)},
                           {"started_at", rounded_or_null(one.started_at)},
                           {"error", name},
                           {"message", message},
                           {"attempts", one.attempts}}});
  if (last.size() > most_failures) last.pop_front();
}

// The last failures of each kind, then the second last of each kind, and so on, until there are
// enough.
ordered_json job_history::failures_document() const {
  std::map<std::uint64_t, const ordered_json*> chosen;
  for (std::size_t turn = 1; turn <= most_failures; ++turn) {
    for (const auto& [name, last] : failures_) {
      if (last.size() < turn || chosen.size() == most_failures) continue;
      const failed_request& one = last[last.size() - turn];
      chosen.emplace(one.number, &one.told);
    }
  }
  auto told = ordered_json::array();
  for (const auto& [number, one] : chosen) told.push_back(*one);
  return told;
}

ordered_json job_history::timeline_document() const {
  ordered_json told = {{"started_at", timeline_.started_at()}, {"step_s", timeline_.step_s()}};
  const auto counts = [&](series of) {
    auto list = ordered_json::array();
    for (const double amount : timeline_.amounts(of)) list.push_back(std::llround(amount));
    return list;
  };
  told["started"] = counts(started);
  told["succeeded"] = counts(succeeded);
  told["failed"] = counts(failed);
  told["in_flight"] = ordered_json::array();
  for (const double amount : timeline_.amounts(in_flight)) {
    told["in_flight"].push_back(rounded(amount / timeline_.step_s()));
  }
  told["output_tokens"] = counts(output_tokens);
  return told;
}

// Groups the steps of the timeline by the number in flight, in powers of two.
ordered_json job_history::loads_document() const {
  std::map<int, std::array<double, series_count>> levels;  // key: at most 2^level in flight
  const auto& starts = timeline_.amounts(started);
  for (std::size_t step = 0; step < starts.size(); ++step) {
    if (starts[step] == 0) continue;
    const double mean_in_flight = timeline_.amounts(in_flight)[step] / timeline_.step_s();
    const int level = std::max(0, static_cast<int>(std::ceil(std::log2(mean_in_flight))));
    auto& sums = levels[level];
    for (std::size_t of = 0; of < series_count; ++of) sums[of] += timeline_.amounts(of)[step];
  }
  auto told = ordered_json::array();
  for (const auto& [level, sums] : levels) {
    told.push_back(
        {{"above", level == 0 ? 0.0 : std::exp2(level - 1)},
         {"up_to", std::exp2(level)},
         {"requests", std::llround(sums[started])},
         {"ttft_ms", rounded_or_null(mean(sums[ttft_ms], sums[ttfts]))},
         {"inter_token_ms", rounded_or_null(mean(sums[inter_token_ms], sums[inter_tokens]))}});
  }
  return told;
}

void job_history::add_to(ordered_json& job) const {
  const auto three = [](const times& each, auto tell) {
    return ordered_json{{"latency_ms", tell(each.latency_ms)},
                        {"ttft_ms", tell(each.ttft_ms)},
                        {"inter_token_ms", tell(each.inter_token_ms)}};
  };
  job["lines"] = lines_;
  job["unreadable_lines"] = unreadable_;
  job["streamed"] = streamed_;
  job["simulated"] = simulated_;
  job["started_at"] = rounded_or_null(started_at_);
  job["ended_at"] = rounded_or_null(ended_at_);
  job.update(three(times_, summary_json));
  job["model_times"] = ordered_json::object();
  for (const auto& [name, each] : models_) job["model_times"][name] = three(each, summary_json);
  job["histograms"] = three(times_, steps_json);
  job["timeline"] = timeline_document();
  job["by_in_flight"] = loads_document();
  job["reasons"] = reasons_;
  auto slowest = slowest_;
  std::sort(slowest.begin(), slowest.end(), is_slower);
  job["slowest"] = ordered_json::array();
  for (auto& slow : slowest) job["slowest"].push_back(std::move(slow.told));
  job["failures"] = failures_document();
}

ordered_json job_document(std::string_view job, const ordered_json& totals,
                          const job_history& history, std::uint64_t rpm, double as_of) {
  ordered_json told = {{"job", job}, {"as_of", rounded(as_of)}, {"rpm", rpm}, {"totals", totals}};
  history.add_to(told);
  take_quantiles(told["latency_ms"], totals, "latency_ms");
  take_quantiles(told["ttft_ms"], totals, "ttft_ms");
  return told;
}

}  // namespace sluice
