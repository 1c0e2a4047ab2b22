#include "server/key_funds.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "store/postgres.hpp"

namespace sluice::server {
namespace {

// Whether it is unknown if the store has made the change. Then it counts as taken money: the budget
// is never exceeded.
bool is_unclear(const store::store_error& fault) {
  return dynamic_cast<const store::commit_unclear*>(&fault) != nullptr;
}

namespace asio = boost::asio;

usd negative(usd amount) {
  usd none;
  return none -= amount;
}

}  // namespace

void key_funds::begin_batch(const std::string& owner, batch_in_work& batch) {
  entries_[owner].batch = &batch;
}

void key_funds::end_batch(const std::string& owner, const batch_in_work& batch) {
  entry& own = entries_[owner];
  if (own.batch == &batch) own.batch = nullptr;
  own.ending.erase(&batch);
}

void key_funds::begin_end(const std::string& owner, const batch_in_work& batch) {
  entries_[owner].ending.insert(&batch);
}

// Returns whether the cost of the key's batches here is known.
bool key_funds::is_counted(const entry& from) {
  if (from.batch != nullptr && !from.batch->is_counted()) return false;
  return std::all_of(from.ending.begin(), from.ending.end(),
                     [](const batch_in_work* each) { return each->is_counted(); });
}

void key_funds::take(entry& from, usd amount) {
  from.taken += amount;
  if (from.batch != nullptr && from.batch->left()) from.batch->spent_elsewhere(amount);
}

// Returns whether part of the money may become free again: something in flight may cost less than
// its reservation.
bool key_funds::may_come_back(const entry& from) {
  return from.reserved > usd{} || from.batch != nullptr;
}

asio::awaitable<usd> key_funds::taken_by_calls(const std::string& owner) {
  if (shared_ || !entries_[owner].loaded) {
    const usd stored = co_await disk_.run([&] { return records_.add_call_spend(owner, {}); });
    entry& own = entries_[owner];
    if (shared_ || !own.loaded) own.taken = stored;
    own.loaded = true;
  }
  co_return entries_[owner].taken;
}

asio::awaitable<funds> key_funds::reserve(const std::string& owner, usd budget, usd most,
                                          time_point now) {
  return shared_ ? reserve_shared(owner, budget, most, now) : reserve_alone(owner, budget, most);
}

asio::awaitable<funds> key_funds::reserve_alone(const std::string& owner, usd budget, usd most) {
  co_await taken_by_calls(owner);
  entry& own = entries_[owner];
  if (!is_counted(own)) co_return funds::wait;
  const auto left = own.batch == nullptr ? std::nullopt : own.batch->left();
  if (left && *left < most) co_return may_come_back(own) ? funds::wait : funds::spent;
  // Reserves before it reads the cost of the batches, so that a batch that begins meanwhile counts
  // this call.
  take(own, most);
  own.reserved += most;
  const auto give_back = [&] {
    take(own, negative(most));
    own.reserved -= most;
  };
  bool fits = true;
  try {
    if (!left) {
      const std::string batch = own.batch == nullptr ? std::string() : own.batch->id();
      usd spent = own.batch == nullptr ? usd{} : own.batch->spent();
      spent += co_await disk_.run([&] { return records_.spent_by_others(owner, batch); });
      fits = spent + own.taken <= budget;
    }
    if (fits) co_await disk_.run([&] { records_.add_call_spend(owner, most); });
  } catch (const store::store_error&) {
    give_back();
    throw;
  }
  if (fits) co_return funds::reserved;
  give_back();
  co_return may_come_back(own) ? funds::wait : funds::spent;
}

// Returns whether a batch of the key may give back a part of the amount that it may spend.
bool key_funds::may_give_back(const std::string& owner) {
  const auto batches = records_.open_batches();
  return std::any_of(batches.begin(), batches.end(), [&](const store::batch_record& batch) {
    return batch.owner == owner && (batch.status == store::batch_status::in_progress ||
                                    batch.status == store::batch_status::cancelling);
  });
}

// The store does not know which part of the taken money calls at other servers have only reserved.
// Some of it may come back until the sum has been the same for as long as a call may take.
bool key_funds::may_come_back_elsewhere(entry& from, usd taken, time_point now) {
  constexpr duration longest_call = std::chrono::minutes{10};
  if (!from.seen || from.seen->taken != taken) from.seen = sighting{taken, now};
  return now - from.seen->since < longest_call;
}

asio::awaitable<funds> key_funds::reserve_shared(const std::string& owner, usd budget, usd most,
                                                 time_point now) {
  if (most > budget) co_return funds::spent;
  entry& own = entries_[owner];
  const auto left = own.batch == nullptr ? std::nullopt : own.batch->left();
  batch_in_work* const from = left && *left >= most ? own.batch : nullptr;
  const store::claim claim = from == nullptr ? store::claim{} : from->claim();
  if (from != nullptr) from->hold(most);
  own.reserved += most;
  const usd owed = std::exchange(own.owed, usd{});
  bool stored = false;
  bool moved = false;
  bool fits = true;
  bool may_return = false;
  usd taken;
  try {
    co_await disk_.run([&] {
      records_.add_call_spend(owner, most + owed);
      stored = true;
      // Another server may have claimed the batch, and with it the amount that it may spend.
      moved = from != nullptr && records_.claimed(claim);
      if (moved) return;
      // A batch gives money to a call by raising the sum of the calls before it lowers its own
      // amount. So the amounts of the batches are read first.
      taken = records_.spent_by_others(owner, {});
      taken += records_.add_call_spend(owner, {});
      fits = taken <= budget;
      if (fits) return;
      records_.add_call_spend(owner, negative(most));
      may_return = may_give_back(owner);
    });
  } catch (const store::store_error& fault) {
    own.reserved -= most;
    if (!is_unclear(fault)) own.owed += stored ? negative(most) : owed;
    if (from != nullptr) from->end_hold(most, stored || is_unclear(fault));
    throw;
  }
  if (from != nullptr) from->end_hold(most, moved);
  if (fits) co_return funds::reserved;
  own.reserved -= most;
  taken -= most;
  const bool elsewhere = may_come_back_elsewhere(own, taken, now);
  co_return may_return || elsewhere || may_come_back(own) ? funds::wait : funds::spent;
}

asio::awaitable<void> key_funds::settle(const std::string& owner, usd most, usd cost) {
  entry& own = entries_[owner];
  own.reserved -= most;
  usd less = cost;
  less -= most;
  if (!shared_ && less != usd{}) take(own, less);
  less += std::exchange(own.owed, usd{});
  if (less == usd{}) co_return;
  try {
    co_await disk_.run([&] { records_.add_call_spend(owner, less); });
  } catch (const store::store_error& fault) {
    if (!is_unclear(fault)) own.owed += less;
    throw;
  }
}

}  // namespace sluice::server
