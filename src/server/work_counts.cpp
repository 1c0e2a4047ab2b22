#include "server/work_counts.hpp"

#include <string>
#include <utility>

namespace sluice::server {
namespace {

// Totals can go back: a failed request that is sent again has no result until it ends.
std::uint64_t grown(std::uint64_t before, std::uint64_t now) {
  return now > before ? now - before : 0;
}

}  // namespace

work_counts::seen work_counts::look_at(const job_totals& totals) {
  return {totals.succeeded, totals.failed,  totals.unpriced_requests,
          totals.attempts,  totals.retries, totals.models(),
          totals.errors};
}

std::string work_counts::counted_as(const std::string& model) const {
  const bool alone =
      is_known_(model) && (sums_.tokens.contains(model) || sums_.tokens.size() < most_models);
  return alone ? model : std::string(others);
}

void work_counts::began(const std::string& batch, const job_totals& totals) {
  running_[batch] = look_at(totals);
}

void work_counts::progressed(const std::string& batch, const job_totals& totals) {
  const auto found = running_.find(batch);
  if (found == running_.end()) return;
  seen& before = found->second;
  seen now = look_at(totals);
  sums_.succeeded += grown(before.succeeded, now.succeeded);
  sums_.failed += grown(before.failed, now.failed);
  sums_.unpriced += grown(before.unpriced, now.unpriced);
  sums_.attempts += grown(before.attempts, now.attempts);
  sums_.retries += grown(before.retries, now.retries);
  for (const auto& [model, share] : now.models) {
    const auto& old = before.models[model];
    token_usage tokens = share.tokens;
    tokens -= old.tokens;
    const std::string name = counted_as(model);
    sums_.tokens[name] += tokens;
    usd cost = share.cost.value_or(usd{});
    const usd old_cost = old.cost.value_or(usd{});
    if (cost > old_cost) {
      cost -= old_cost;
      sums_.cost[name] += cost;
    }
  }
  for (const auto& [code, count] : now.errors) {
    const std::uint64_t more = grown(before.errors[code], count);
    if (more == 0) continue;
    const bool counted = sums_.errors.contains(code) || sums_.errors.size() < most_errors;
    sums_.errors[counted ? code : std::string(others)] += more;
  }
  before = std::move(now);
}

void work_counts::stopped(const std::string& batch, const job_totals& totals) {
  progressed(batch, totals);
  running_.erase(batch);
}

}  // namespace sluice::server
