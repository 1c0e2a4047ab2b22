#include "sluice/totals.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using nlohmann::ordered_json;

ordered_json quantiles(const histogram& times) {
  ordered_json told;
  for (const auto& [name, q] : {std::pair{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}}) {
    const auto value = times.quantile(q);
    told[name] = value ? ordered_json(std::round(*value * 10) / 10) : ordered_json(nullptr);
  }
  return told;
}

ordered_json tokens_json(const token_usage& tokens) {
  return {{"prompt", tokens.prompt_tokens},
          {"cached", tokens.cached_tokens},
          {"cache_write", saturated_sum(tokens.cache_write_tokens, tokens.cache_write_1h_tokens)},
          {"completion", tokens.completion_tokens},
          {"reasoning", tokens.reasoning_tokens},
          {"total", tokens.total_tokens()}};
}

ordered_json share_json(const job_totals::share& share) {
  return {{"requests", share.requests},
          {"tokens", tokens_json(share.tokens)},
          {"cost_usd", share.cost ? ordered_json(share.cost->to_string()) : ordered_json(nullptr)}};
}

// Members are appended without a search. A search in an ordered object takes time proportional to
// its number of members, and a relay may send very many names.
template <typename Map, typename ToJson>
ordered_json members_json(const Map& members, const ToJson& to_json) {
  ordered_json told = ordered_json::object();
  auto& list = told.get_ref<ordered_json::object_t&>();
  for (const auto& [name, value] : members) list.push_back({name, to_json(value)});
  return told;
}
ordered_json counts_json(const std::map<std::string, std::uint64_t>& counts) {
  return members_json(counts, [](std::uint64_t count) { return ordered_json(count); });
}
ordered_json shares_json(const std::map<std::string, job_totals::share>& shares) {
  return members_json(shares, [](const job_totals::share& one) { return share_json(one); });
}

}  // namespace

std::string_view to_string(job_status status) noexcept {
  switch (status) {
    case job_status::running:
      return "running";
    case job_status::completed:
      return "completed";
    case job_status::stopped:
      return "stopped";
    case job_status::interrupted:
      return "interrupted";
  }
  return "";
}

void job_totals::share::add(const line_facts& line) {
  ++requests;
  if (line.usage) tokens += *line.usage;
  if (line.cost) cost = cost.value_or(usd{}) + *line.cost;
}

std::optional<usd> line_facts::whole_cost() const {
  std::optional<usd> whole = cost;
  if (!succeeded && !rejected.empty()) whole = usd{};
  for (const rejected_reply& one : rejected) {
    if (!whole || !one.cost) return std::nullopt;
    *whole += *one.cost;
  }
  return whole;
}

usd line_facts::known_cost() const {
  usd known = cost.value_or(usd{});
  for (const rejected_reply& one : rejected) known += one.cost.value_or(usd{});
  return known;
}

void job_totals::add_rejected(const std::string& model, const rejected_reply& one) {
  ++rejected.replies;
  share& of_model = models_[model];
  share* const of_relay = one.relay.empty() ? nullptr : &relays_[one.relay];
  if (one.usage) {
    for (token_usage* sum : {&tokens, &rejected.tokens, &of_model.tokens}) *sum += *one.usage;
    if (of_relay != nullptr) of_relay->tokens += *one.usage;
  }
  if (!one.cost) {
    ++rejected.unpriced_replies;
  } else {
    for (usd* sum : {&cost, &rejected.cost}) *sum += *one.cost;
    of_model.cost = of_model.cost.value_or(usd{}) + *one.cost;
    if (of_relay != nullptr) of_relay->cost = of_relay->cost.value_or(usd{}) + *one.cost;
  }
  if (one.reported_cost) reported_cost = reported_cost.value_or(usd{}) + *one.reported_cost;
  if (!one.cache_saved) {
    cache_saved.reset();
  } else if (cache_saved) {
    *cache_saved += *one.cache_saved;
  }
}

void job_totals::take_back_rejected(const std::string& model, const rejected_reply& one) {
  --rejected.replies;
  share& of_model = models_[model];
  share* const of_relay = one.relay.empty() ? nullptr : &relays_[one.relay];
  if (one.usage) {
    for (token_usage* sum : {&tokens, &rejected.tokens, &of_model.tokens}) *sum -= *one.usage;
    if (of_relay != nullptr) of_relay->tokens -= *one.usage;
  }
  if (!one.cost) {
    --rejected.unpriced_replies;
  } else {
    for (usd* sum : {&cost, &rejected.cost}) *sum -= *one.cost;
    if (of_model.cost) *of_model.cost -= *one.cost;
    if (of_relay != nullptr && of_relay->cost) *of_relay->cost -= *one.cost;
  }
  if (one.reported_cost && reported_cost) *reported_cost -= *one.reported_cost;
  if (one.cache_saved && cache_saved) *cache_saved -= *one.cache_saved;
}

void job_totals::add(const line_facts& line) {
  if (!line.succeeded) {
    ++failed;
    if (line.retryable) ++retryable_failures;
    ++errors[line.error];
    return;
  }
  ++succeeded;
  models_[line.model].add(line);
  if (!line.relay.empty()) relays_[line.relay].add(line);
  if (line.usage) tokens += *line.usage;
  if (line.estimated) ++estimated_requests;
  if (line.cost) {
    cost += *line.cost;
  } else {
    ++unpriced_requests;
  }
  if (line.reported_cost) reported_cost = reported_cost.value_or(usd{}) + *line.reported_cost;
  if (!line.cache_saved) {
    cache_saved.reset();
  } else if (cache_saved) {
    *cache_saved += *line.cache_saved;
  }
  for (const auto& [reason, count] : line.finish_reasons) finish_reasons_[reason] += count;
  if (line.copied) return;
  latency_.add(line.latency_ms);
  if (line.ttft_ms) ttft_.add(*line.ttft_ms);
}

std::optional<double> job_totals::cache_read_share() const noexcept {
  if (tokens.prompt_tokens <= 0) return std::nullopt;
  const double read =
      static_cast<double>(tokens.cached_tokens) / static_cast<double>(tokens.prompt_tokens);
  return std::clamp(std::round(read * 1e6) / 1e6, 0.0, 1.0);
}

void job_totals::take_back_failure(const std::string& error, bool retryable) {
  --failed;
  if (retryable) --retryable_failures;
  const auto counted = errors.find(error);
  if (counted != errors.end() && --counted->second == 0) errors.erase(counted);
}

std::string job_totals::to_json(std::string_view job, job_status status) const {
  ordered_json told;
  told["job"] = job;
  told["status"] = to_string(status);
  if (simulated) told["simulated"] = true;
  told["requests"] = requests;
  told["succeeded"] = succeeded;
  told["failed"] = failed;
  told["pending"] = pending();
  told["attempts"] = attempts;
  told["retries"] = retries;
  told["tokens"] = tokens_json(tokens);
  told["tokens"]["estimated_requests"] = estimated_requests;
  told["cost_usd"] = cost.to_string();
  if (reported_cost) told["reported_cost_usd"] = reported_cost->to_string();
  if (kept != usd{}) told["kept_usd"] = kept.to_string();
  const auto read_share = cache_read_share();
  told["cache"] = {
      {"read_share", read_share ? ordered_json(*read_share) : ordered_json(nullptr)},
      {"saved_usd", cache_saved ? ordered_json(cache_saved->to_string()) : ordered_json(nullptr)}};
  told["unpriced_requests"] = unpriced_requests;
  if (rejected.replies > 0) {
    told["rejected"] = {{"replies", rejected.replies},
                        {"unpriced_replies", rejected.unpriced_replies},
                        {"tokens", tokens_json(rejected.tokens)},
                        {"cost_usd", rejected.cost.to_string()}};
  }
  told["maybe_billed_attempts"] = maybe_billed_attempts;
  told["finish_reasons"] = counts_json(finish_reasons_);
  told["models"] = shares_json(models_);
  if (!relays_.empty()) told["relays"] = shares_json(relays_);
  told["wall_s"] = std::round(wall_s * 1000) / 1000;
  told["max_requests_in_60s"] = max_requests_in_60s;
  told["rpm"] = rpm ? ordered_json(*rpm) : ordered_json(nullptr);
  told["latency_ms"] = quantiles(latency_);
  told["ttft_ms"] = quantiles(ttft_);
  told["errors"] = counts_json(errors);
  return told.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace sluice
