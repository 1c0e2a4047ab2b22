#include "server/batch_runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "server/active_batch.hpp"
#include "server/server_figures.hpp"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

std::int64_t seconds(duration time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

}  // namespace

batch_runner::batch_runner(asio::io_context& loop, background& disk, store::batch_store& records,
                           data_folder& folder, engine& sender, const relay_prices& prices,
                           const access_keys& keys, runner_options options, observer* listener)
    : loop_(loop),
      disk_(disk),
      records_(records),
      folder_(folder),
      engine_(sender),
      prices_(prices),
      keys_(keys),
      options_(std::move(options)),
      observer_(listener),
      money_(disk, records, options_.shares_store) {}

batch_runner::~batch_runner() = default;

asio::awaitable<void> batch_runner::work() {
  while (!stopping_ || !active_.empty()) {
    try {
      co_await renew_claims();
      run_elsewhere_.clear();
      co_await claim_ending();
      co_await claim_all();
    } catch (const store::store_error& fault) {
      if (figures_ != nullptr) figures_->store_failed();
      say(severity::warning, {}, fault.what());
    }
    co_await sleep(std::min(options_.poll, options_.lease / 3));
  }
  co_await disk_.run([this] { records_.release_claims(options_.server_name); });
}

// Only batches that are worked on here keep their claims. If an error has left another claim, its
// lease ends, and the batch can be claimed again.
asio::awaitable<void> batch_runner::renew_claims() {
  std::vector<store::claim> held;
  for (const auto& [id, batch] : active_) held.push_back(batch->claim());
  renewed_ = engine_.time().now();
  co_await disk_.run([&] {
    records_.renew_claims(held, static_cast<std::int64_t>(engine_.time().unix_now()),
                          seconds(options_.lease));
  });
}

// Claiming many batches from a slow store may take longer than a lease.
bool batch_runner::must_renew() const {
  return engine_.time().now() - renewed_ >= options_.lease / 3;
}

// Returns nothing if there is no such batch.
asio::awaitable<std::optional<batch_runner::claimed_batch>> batch_runner::claim_one(
    claim_kind which, const store::skipped_batches& skipped) {
  co_return co_await disk_.run([&]() -> std::optional<claimed_batch> {
    const auto now = static_cast<std::int64_t>(engine_.time().unix_now());
    const auto lease = seconds(options_.lease);
    for (;;) {
      const auto held = which == claim_kind::ending
                            ? records_.claim_ending(options_.server_name, skipped, now, lease)
                            : records_.claim_batch(options_.server_name, skipped, now, lease);
      if (!held) return std::nullopt;
      if (auto record = records_.claimed(*held)) return claimed_batch{*held, *std::move(record)};
    }
  });
}

// Batches that only have to end send nothing. So they need no key, and wait neither for the other
// batches of their key nor for one of the places.
asio::awaitable<void> batch_runner::claim_ending() {
  while (!stopping_ && ending() < options_.batches_at_once) {
    if (must_renew()) co_await renew_claims();
    const store::skipped_batches skipped{active_ids(), {}};
    auto found = co_await claim_one(claim_kind::ending, skipped);
    if (!found) co_return;
    begin(*std::move(found), claim_kind::ending);
  }
}

asio::awaitable<void> batch_runner::claim_all() {
  while (!stopping_ && active_.size() - ending() < options_.batches_at_once) {
    if (must_renew()) co_await renew_claims();
    const store::skipped_batches skipped = cannot_start();
    auto found = co_await claim_one(claim_kind::any, skipped);
    if (!found) co_return;
    const store::claim held = found->held;
    const std::string& owner = found->record.owner;
    // A reload of the keys file replaces the key during any of the waits below.
    const client_key* key = keys_.named(owner);
    const bool has_budget = key != nullptr && key->budget.has_value();
    bool waits = false;
    if (key == nullptr) {
      say(severity::warning, held.batch,
          fmt::format("it waits, since the key '{}' is not in the keys file", owner));
      unknown_keys_.insert(owner);
      waits = true;
    } else if (has_budget && has_active_batch(owner)) {
      waits = true;  // the key has got its budget since the claim
    } else if (has_budget && found->record.status == store::batch_status::validating) {
      waits = co_await hold_back(owner);
    }
    if (waits) {
      co_await disk_.run([&] { records_.release(held); });
      continue;
    }
    if (has_budget) {
      const bool alone = co_await disk_.run([&] {
        const auto now = static_cast<std::int64_t>(engine_.time().unix_now());
        if (records_.claim_owner(held, now)) return true;
        records_.release(held);
        return false;
      });
      if (!alone) {
        run_elsewhere_.insert(owner);
        continue;
      }
    }
    begin(*std::move(found), claim_kind::any);
  }
}

// If a batch of this key had begun before it was interrupted, holds back the batches of the key
// that have not begun, and returns true. After a crash the store does not know the last results of
// the interrupted batch, so it must be counted before another batch may spend money. If several
// servers share the store, it knows what each batch may have spent.
asio::awaitable<bool> batch_runner::hold_back(const std::string& owner) {
  if (options_.shares_store) co_return false;
  bool has_begun = false;
  std::set<std::string> waiting;
  co_await disk_.run([&] {
    for (const auto& batch : records_.open_batches()) {
      if (batch.owner != owner) continue;
      if (batch.status == store::batch_status::validating) {
        waiting.insert(batch.id);
      } else {
        has_begun = true;
      }
    }
  });
  if (has_begun) held_back_[owner] = std::move(waiting);
  co_return has_begun;
}

void batch_runner::begin(claimed_batch claimed, claim_kind as) {
  const std::string id = claimed.held.batch;
  auto batch =
      std::make_unique<active_batch>(*this, std::move(claimed.held), std::move(claimed.record), as);
  active_batch& added = *batch;
  active_.emplace(id, std::move(batch));
  if (stopping_) added.stop();
  asio::co_spawn(loop_, added.work(), [this, id](const std::exception_ptr& thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const std::exception& fault) {
      say(severity::warning, id, fault.what());
    }
    ended(id);
  });
}

// The number of active batches that were claimed because they only have to end.
std::size_t batch_runner::ending() const {
  return static_cast<std::size_t>(std::count_if(
      active_.begin(), active_.end(), [](const auto& each) { return each.second->only_ends(); }));
}

bool batch_runner::has_active_batch(const std::string& owner) const {
  return std::any_of(active_.begin(), active_.end(),
                     [&](const auto& each) { return each.second->owner() == owner; });
}

// The batches that wait are skipped by key where possible. Otherwise, many batches of one key would
// be claimed and released one by one.
store::skipped_batches batch_runner::cannot_start() const {
  store::skipped_batches skipped{active_ids(), {}};
  for (const auto& [owner, ids] : held_back_) {
    skipped.ids.insert(skipped.ids.end(), ids.begin(), ids.end());
  }
  skipped.owners.insert(skipped.owners.end(), unknown_keys_.begin(), unknown_keys_.end());
  skipped.owners.insert(skipped.owners.end(), run_elsewhere_.begin(), run_elsewhere_.end());
  for (const auto& [id, batch] : active_) {
    const client_key* key = keys_.named(batch->owner());
    if (key != nullptr && key->budget) skipped.owners.push_back(batch->owner());
  }
  return skipped;
}

std::vector<std::string> batch_runner::active_ids() const {
  std::vector<std::string> ids;
  for (const auto& [id, batch] : active_) ids.push_back(id);
  return ids;
}

// Waits until wake(), but at most `longest`.
asio::awaitable<void> batch_runner::sleep(duration longest) {
  if (!std::exchange(woken_, false)) {
    const auto timer =
        engine_.time().call_at(engine_.time().now() + longest, [this] { idle_.wake_all(); });
    co_await idle_.wait();
    engine_.time().cancel(timer);
    woken_ = false;
  }
}

void batch_runner::ended(const std::string& batch) {
  if (const auto found = active_.find(batch); found != active_.end()) {
    held_back_.erase(found->second->owner());
    active_.erase(found);
  }
  wake();
}

void batch_runner::wake() {
  woken_ = true;
  idle_.wake_all();
}

void batch_runner::cancelled(std::string_view batch) {
  if (const auto found = active_.find(batch); found != active_.end()) found->second->cancel();
  wake();
}

run_limit* batch_runner::limit_of(const std::string& key_name) {
  const client_key* key = keys_.named(key_name);
  if (key == nullptr || (key->requests_per_minute == 0 && key->tokens_per_minute == 0)) {
    return nullptr;
  }
  auto& limit = limits_[key_name];
  if (!limit) {
    limit = std::make_unique<run_limit>(engine_.time(), key->requests_per_minute,
                                        key->tokens_per_minute);
  }
  return limit.get();
}

void batch_runner::keys_changed() {
  for (const auto& [name, limit] : limits_) {
    const client_key* key = keys_.named(name);
    if (key != nullptr) limit->set(key->requests_per_minute, key->tokens_per_minute);
  }
  std::erase_if(held_back_, [this](const auto& each) {
    const client_key* key = keys_.named(each.first);
    return key == nullptr || !key->budget;
  });
  unknown_keys_.clear();
  wake();
}

void batch_runner::stop() {
  stopping_ = true;
  for (const auto& [id, batch] : active_) batch->stop();
  wake();
}

void batch_runner::abort() {
  stop();
  for (const auto& [id, batch] : active_) batch->abort();
}

std::optional<batch_runner::live_state> batch_runner::live(std::string_view batch) const {
  const auto found = active_.find(batch);
  return found == active_.end() ? std::nullopt : std::optional(found->second->live());
}

batch_runner::own_runs batch_runner::runs_of(std::string_view owner) const {
  own_runs sum;
  for (const auto& [id, batch] : active_) {
    if (batch->owner() != owner) continue;
    const auto one = batch->run_now();
    sum.in_flight += one.in_flight;
    sum.waiting += one.waiting;
  }
  return sum;
}

void batch_runner::count_now() {
  for (const auto& [id, batch] : active_) batch->count_now();
}

void batch_runner::say(severity level, std::string_view batch, const std::string& sentence) const {
  if (observer_ != nullptr && observer_->wants(level)) {
    observer_->on_notice({.level = level, .run = batch, .text = sentence});
  }
}

}  // namespace sluice::server
