#include "server/server_figures.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <tuple>
#include <utility>

namespace sluice::server {
namespace {

std::int64_t step_number(double unix_time) {
  return static_cast<std::int64_t>(
      std::floor(unix_time / static_cast<double>(server_figures::step_s)));
}

// Totals can decrease: a failed request that is sent again has no result until it ends.
template <typename Number>
Number grown(Number before, Number now) {
  return now > before ? now - before : Number{};
}

using error_counts = std::map<std::string, std::uint64_t>;

void add_error(error_counts& to, const std::string& code, std::uint64_t count) {
  const bool alone = to.contains(code) || to.size() < server_figures::most_errors;
  to[alone ? code : std::string(server_figures::others)] += count;
}

void add_cost(std::optional<usd>& to, const usd& more) {
  to = to.value_or(usd{}) + more;
}

// Returns the part of `whole` that belongs to the share `part` (0 to 1).
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

namespace {

server_figures::batch_figures figures_of(const job_totals& totals) {
  return {progress_of(totals), totals.models(), totals.errors, totals.attempts, totals.retries};
}

}  // namespace

// Returns the name under which the sums count a model from now on.
std::string server_figures::counted_as(const std::string& model) {
  const bool known = !is_known_ || is_known_(model);
  const bool alone = known && (sums_.models.contains(model) || sums_.models.size() < most_models);
  std::string name = alone ? model : std::string(others);
  sums_.models.try_emplace(name);
  return name;
}

void server_figures::batch_began(std::string_view batch, std::string_view owner,
                                 const job_totals& totals, double unix_now) {
  const auto [found, added] = batches_.try_emplace(std::string(batch));
  watched& one = found->second;
  if (added) order_.emplace_back(batch);
  one.owner = owner;
  one.now = figures_of(totals);
  one.at = unix_now;
  one.running = true;
  forget_old();
}

void server_figures::batch_progressed(std::string_view batch, const job_totals& totals,
                                      double unix_now) {
  const auto found = batches_.find(batch);
  if (found != batches_.end()) take(found->second, totals, unix_now);
}

void server_figures::batch_stopped(std::string_view batch, const job_totals& totals,
                                   double unix_now) {
  const auto found = batches_.find(batch);
  if (found == batches_.end()) return;
  take(found->second, totals, unix_now);
  found->second.running = false;
}

void server_figures::take(watched& one, const job_totals& totals, double unix_now) {
  batch_figures now = figures_of(totals);
  const auto& before = one.now.progress;
  const step done{grown(before.counts.completed, now.progress.counts.completed),
                  grown(before.counts.failed, now.progress.counts.failed),
                  grown(before.usage.total_tokens, now.progress.usage.total_tokens)};
  if (done.completed > 0 || done.failed > 0 || done.tokens > 0) {
    add(owners_[one.owner], done, one.at, unix_now);
  }
  add_to_sums(one.now, now);
  one.now = std::move(now);
  one.at = unix_now;
}

void server_figures::add_to_sums(const batch_figures& before, const batch_figures& now) {
  sums_.succeeded += grown(before.progress.counts.completed, now.progress.counts.completed);
  sums_.failed += grown(before.progress.counts.failed, now.progress.counts.failed);
  sums_.unpriced += grown(before.progress.unpriced, now.progress.unpriced);
  sums_.attempts += grown(before.attempts, now.attempts);
  sums_.retries += grown(before.retries, now.retries);
  for (const auto& [model, share] : now.models) {
    const auto found = before.models.find(model);
    const job_totals::share old =
        found == before.models.end() ? job_totals::share{} : found->second;
    model_sums& sum = sums_.models[counted_as(model)];
    token_usage tokens = share.tokens;
    tokens -= old.tokens;
    sum.tokens += tokens;
    usd cost = share.cost.value_or(usd{});
    const usd old_cost = old.cost.value_or(usd{});
    if (cost > old_cost) {
      cost -= old_cost;
      add_cost(sum.cost, cost);
    }
  }
  for (const auto& [code, count] : now.errors) {
    const auto found = before.errors.find(code);
    const std::uint64_t more = grown(found == before.errors.end() ? 0 : found->second, count);
    if (more > 0) add_error(sums_.errors, code, more);
  }
}

// Forgets the starts that are older than a minute.
void server_figures::minute::advance(time_point now) {
  const auto then = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch());
  const std::int64_t passed = then.count() - second;
  if (passed <= 0) return;
  const auto old = std::min<std::int64_t>(passed, seconds);
  for (std::int64_t i = 1; i <= old; ++i) {
    starts.at(static_cast<std::size_t>((second + i) % std::int64_t{seconds})) = 0;
  }
  second = then.count();
}

void server_figures::minute::add(time_point now) {
  advance(now);
  ++starts.at(static_cast<std::size_t>(second) % seconds);
}

std::uint64_t server_figures::minute::sum() const {
  return std::accumulate(starts.begin(), starts.end(), std::uint64_t{0});
}

server_figures::call_place server_figures::call_began(const std::string& owner,
                                                      const std::string& model, time_point now) {
  owner_figures& own = owners_[owner];
  auto found = own.places.find(model);
  if (found == own.places.end()) {
    const std::string name = calls_.size() < most_call_models ? model : std::string(others);
    bool added = false;
    std::tie(found, added) = own.places.try_emplace(name, calls_.size());
    if (added) calls_.push_back({&own, name, counted_as(name), {}, 0});
  }
  own.starts.add(now);
  ++own.calls.started;
  ++own.calls.open;
  ++sums_.calls.started;
  ++sums_.calls.open;
  return found->second;
}

void server_figures::attempt_began(call_place call) {
  ++calls_[call].owner->calls.in_flight;
}

void server_figures::attempt_ended(call_place call, bool sent, bool again) {
  --calls_[call].owner->calls.in_flight;
  if (!sent) return;
  ++sums_.attempts;
  if (again) ++sums_.retries;
}

void server_figures::call_ended(call_place call, const call_end& end, double unix_now) {
  call_row& row = calls_[call];
  owner_figures& own = *row.owner;
  --own.calls.open;
  --sums_.calls.open;
  sums_.calls.took.add(end.took);
  if (end.first_byte) sums_.calls.first_byte.add(*end.first_byte);
  step done;
  if (!end.error.empty()) {
    done.failed = 1;
    ++own.calls.failed;
    ++sums_.calls.failed;
    add_error(own.calls.errors, end.error, 1);
    add_error(sums_.calls.errors, end.error, 1);
  } else if (end.status == 0) {
    ++own.calls.gone;
    ++sums_.calls.gone;
  } else {
    done.completed = 1;
    ++own.calls.succeeded;
    ++sums_.calls.succeeded;
    ++row.used.requests;
  }
  if (done.completed > 0 || done.failed > 0) add(own, done, unix_now, unix_now);
}

void server_figures::call_used(call_place call, const std::optional<token_usage>& tokens,
                               const std::optional<usd>& cost, double unix_now) {
  call_row& row = calls_[call];
  if (tokens) {
    row.used.tokens += *tokens;
    add(*row.owner, {0, 0, tokens->total_tokens()}, unix_now, unix_now);
  }
  if (cost) {
    add_cost(row.used.cost, *cost);
  } else {
    ++row.unpriced;
  }
}

void server_figures::add_share(model_sums& to, const job_totals::share& more) {
  to.tokens += more.tokens;
  if (more.cost) add_cost(to.cost, *more.cost);
}

server_figures::sums server_figures::all() const {
  sums found = sums_;
  for (const call_row& row : calls_) {
    add_share(found.models[row.counted], row.used);
    add_share(found.calls.models[row.counted], row.used);
    found.unpriced += row.unpriced;
    found.calls.unpriced += row.unpriced;
  }
  return found;
}

server_figures::owner_calls server_figures::calls(std::string_view owner, time_point now) const {
  const auto known = owners_.find(owner);
  if (known == owners_.end()) return {};
  owner_calls found = known->second.calls;
  for (const call_row& row : calls_) {
    if (row.owner != &known->second) continue;
    if (row.used.requests > 0 || row.used.cost || row.used.tokens.total_tokens() > 0) {
      found.models[row.model] = row.used;
    }
    found.tokens += row.used.tokens;
    found.cost += row.used.cost.value_or(usd{});
    found.unpriced += row.unpriced;
  }
  minute starts = known->second.starts;
  starts.advance(now);
  found.started_last_minute = starts.sum();
  return found;
}

void server_figures::move_to(owner_figures& to, std::int64_t number) {
  const auto most = static_cast<std::int64_t>(most_steps);
  for (std::int64_t next = std::max(to.last_step + 1, number - most + 1); next <= number; ++next) {
    to.steps[static_cast<std::size_t>(next % most)] = {};
  }
  to.last_step = std::max(to.last_step, number);
}

// Spreads the results between two reports evenly over the steps between them.
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
  // If the clock was set back, the newest step counts the results.
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

std::map<std::string, std::uint64_t> server_figures::batch_errors(std::string_view owner) const {
  std::map<std::string, std::uint64_t> found;
  if (const auto known = owners_.find(owner); known != owners_.end()) {
    found = known->second.old_errors;
  }
  for (const auto& [id, one] : batches_) {
    if (one.owner != owner) continue;
    for (const auto& [code, count] : one.now.errors) found[code] += count;
  }
  return found;
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
