#include "server/server_figures.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sluice::server {
namespace {

std::int64_t step_number(double unix_time) {
  return static_cast<std::int64_t>(
      std::floor(unix_time / static_cast<double>(server_figures::step_s)));
}

// Totals can go back: a failed request that is sent again has no result until it ends.
template <typename Number>
Number grown(Number before, Number now) {
  return now > before ? now - before : Number{};
}

// As much of `whole` as falls into the first `part` of it.
template <typename Number>
Number portion(Number whole, double part) {
  return static_cast<Number>(std::llround(static_cast<double>(whole) * part));
}

}  // namespace

store::batch_progress progress_of(const job_totals& totals) {
  store::batch_progress progress;
  progress.counts = {totals.requests, totals.succeeded, totals.failed};
  progress.usage = {totals.tokens.prompt_tokens, totals.tokens.cached_tokens,
                    totals.tokens.completion_tokens, totals.tokens.reasoning_tokens,
                    totals.tokens.total_tokens()};
  progress.cost = totals.cost;
  progress.unpriced = totals.unpriced_requests;
  progress.spent = totals.cost + totals.kept;
  return progress;
}

void server_figures::began(std::string_view batch, std::string_view owner, const job_totals& totals,
                           double unix_now) {
  const auto [found, added] = batches_.try_emplace(std::string(batch));
  watched& one = found->second;
  if (added) order_.emplace_back(batch);
  one.owner = owner;
  one.now = {progress_of(totals), totals.models(), totals.errors};
  one.at = unix_now;
  one.running = true;
  forget_old();
}

void server_figures::progressed(std::string_view batch, const job_totals& totals, double unix_now) {
  const auto found = batches_.find(batch);
  if (found != batches_.end()) take(found->second, totals, unix_now);
}

void server_figures::ended(std::string_view batch, const job_totals& totals, double unix_now) {
  const auto found = batches_.find(batch);
  if (found == batches_.end()) return;
  take(found->second, totals, unix_now);
  found->second.running = false;
}

void server_figures::take(watched& one, const job_totals& totals, double unix_now) {
  const store::batch_progress progress = progress_of(totals);
  const auto& before = one.now.progress;
  const step done{grown(before.counts.completed, progress.counts.completed),
                  grown(before.counts.failed, progress.counts.failed),
                  grown(before.usage.total_tokens, progress.usage.total_tokens)};
  if (done.completed > 0 || done.failed > 0 || done.tokens > 0) {
    add(owners_[one.owner], done, one.at, unix_now);
  }
  one.now = {progress, totals.models(), totals.errors};
  one.at = unix_now;
}

void server_figures::move_to(owner_figures& to, std::int64_t number) {
  const auto most = static_cast<std::int64_t>(most_steps);
  for (std::int64_t next = std::max(to.last_step + 1, number - most + 1); next <= number; ++next) {
    to.steps[static_cast<std::size_t>(next % most)] = {};
  }
  to.last_step = std::max(to.last_step, number);
}

// What was done between two reports is spread evenly over the steps between them.
void server_figures::add(owner_figures& to, const step& done, double from, double until) {
  const std::int64_t last = step_number(until);
  move_to(to, last);
  const auto most = static_cast<std::int64_t>(most_steps);
  const std::int64_t oldest = std::max(to.last_step - most + 1, std::int64_t{0});
  std::int64_t number = std::clamp(step_number(from), oldest, to.last_step);
  step placed;
  for (; number < last; ++number) {
    const double part =
        (static_cast<double>((number + 1) * step_s) - from) / std::max(until - from, 1e-9);
    const step until_here{portion(done.completed, part), portion(done.failed, part),
                          portion(done.tokens, part)};
    step& here = to.steps[static_cast<std::size_t>(number % most)];
    here.completed += until_here.completed - placed.completed;
    here.failed += until_here.failed - placed.failed;
    here.tokens += until_here.tokens - placed.tokens;
    placed = until_here;
  }
  // The clock may have gone back: then it counts for the newest step.
  step& here = to.steps[static_cast<std::size_t>(std::max(number, oldest) % most)];
  here.completed += done.completed - placed.completed;
  here.failed += done.failed - placed.failed;
  here.tokens += done.tokens - placed.tokens;
}

server_figures::recent_hour server_figures::recent(std::string_view owner, double unix_now) const {
  const std::int64_t last = step_number(unix_now);
  const auto most = static_cast<std::int64_t>(most_steps);
  const std::int64_t first = std::min(std::max(step_number(started_at_), last - most + 1), last);
  recent_hour found{first * step_s, std::vector<step>(static_cast<std::size_t>(last - first + 1))};
  const auto known = owners_.find(owner);
  if (known == owners_.end()) return found;
  const owner_figures& own = known->second;
  for (std::int64_t number = first; number <= last; ++number) {
    if (number > own.last_step || number <= own.last_step - most) continue;
    found.steps[static_cast<std::size_t>(number - first)] =
        own.steps[static_cast<std::size_t>(number % most)];
  }
  return found;
}

std::map<std::string, std::uint64_t> server_figures::errors(std::string_view owner) const {
  std::map<std::string, std::uint64_t> sums;
  if (const auto known = owners_.find(owner); known != owners_.end()) {
    sums = known->second.old_errors;
  }
  for (const auto& [id, one] : batches_) {
    if (one.owner != owner) continue;
    for (const auto& [code, count] : one.now.errors) sums[code] += count;
  }
  return sums;
}

const server_figures::batch_figures* server_figures::batch(std::string_view id) const {
  const auto found = batches_.find(id);
  return found == batches_.end() ? nullptr : &found->second.now;
}

void server_figures::forget_old() {
  auto next = order_.begin();
  while (order_.size() > most_batches && next != order_.end()) {
    const auto found = batches_.find(*next);
    if (found->second.running) {
      ++next;
      continue;
    }
    auto& kept = owners_[found->second.owner].old_errors;
    for (const auto& [code, count] : found->second.now.errors) kept[code] += count;
    batches_.erase(found);
    next = order_.erase(next);
  }
}

}  // namespace sluice::server
