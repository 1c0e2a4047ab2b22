#include "server/batch_runner.hpp"

#include <fmt/format.h>

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
      money_(disk, records) {}

batch_runner::~batch_runner() = default;

asio::awaitable<void> batch_runner::work() {
  while (!stopping_ || !active_.empty()) {
    try {
      co_await disk_.run([this] {
        records_.renew_claims(options_.server_name,
                              static_cast<std::int64_t>(engine_.time().unix_now()),
                              seconds(options_.lease));
      });
      owner_runs_elsewhere_.clear();
      if (!stopping_) co_await claim_all();
    } catch (const store::store_error& fault) {
      if (figures_ != nullptr) figures_->store_failed();
      say(severity::warning, {}, fault.what());
    }
    co_await sleep(std::min(options_.poll, options_.lease / 3));
  }
  co_await disk_.run([this] { records_.release_claims(options_.server_name); });
}

asio::awaitable<void> batch_runner::claim_all() {
  while (!stopping_ && active_.size() < options_.batches_at_once) {
    std::vector<std::string> skipped(held_back_.begin(), held_back_.end());
    skipped.insert(skipped.end(), owner_runs_elsewhere_.begin(), owner_runs_elsewhere_.end());
    for (const auto& [id, batch] : active_) skipped.push_back(id);
    std::optional<store::batch_record> record;
    const auto held = co_await disk_.run([&] {
      const auto now = static_cast<std::int64_t>(engine_.time().unix_now());
      auto claimed =
          records_.claim_batch(options_.server_name, skipped, now, seconds(options_.lease));
      if (claimed) record = records_.claimed(*claimed);
      return claimed;
    });
    if (!held) co_return;
    if (!record) continue;
    const client_key* key = keys_.named(record->owner);
    bool waits = key == nullptr;
    if (waits) {
      say(severity::warning, held->batch,
          fmt::format("it waits, since the key '{}' is not in the keys file", record->owner));
    } else if (key->budget) {
      for (const auto& [id, batch] : active_) waits = waits || batch->owner() == record->owner;
    }
    if (waits) {
      held_back_.insert(held->batch);
      co_await disk_.run([&] { records_.release(*held); });
      continue;
    }
    if (key->budget) {
      const bool alone = co_await disk_.run([&] {
        const auto now = static_cast<std::int64_t>(engine_.time().unix_now());
        if (records_.claim_owner(*held, now)) return true;
        records_.release(*held);
        return false;
      });
      if (!alone) {
        owner_runs_elsewhere_.insert(held->batch);
        continue;
      }
    }
    const std::string id = held->batch;
    auto batch = std::make_unique<active_batch>(*this, *held, *std::move(record));
    active_batch& added = *batch;
    active_.emplace(id, std::move(batch));
    asio::co_spawn(loop_, added.work(), [this, id](const std::exception_ptr& thrown) {
      try {
        if (thrown) std::rethrow_exception(thrown);
      } catch (const std::exception& fault) {
        say(severity::warning, id, fault.what());
      }
      ended(id);
    });
  }
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
  active_.erase(batch);
  held_back_.clear();
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
  held_back_.clear();
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
