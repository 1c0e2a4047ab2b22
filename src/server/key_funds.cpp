#include "server/key_funds.hpp"

#include <algorithm>

namespace sluice::server {
namespace {

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

asio::awaitable<funds> key_funds::reserve(const std::string& owner, usd budget, usd most) {
  return shared_ ? reserve_shared(owner, budget, most) : reserve_alone(owner, budget, most);
}

asio::awaitable<funds> key_funds::reserve_alone(const std::string& owner, usd budget, usd most) {
  co_await taken_by_calls(owner);
  entry& own = entries_[owner];
  if (!is_counted(own)) co_return funds::wait;
  bool fits = true;
  if (const auto left = own.batch == nullptr ? std::nullopt : own.batch->left()) {
    fits = *left >= most;
    if (fits) {
      take(own, most);
      own.reserved += most;
    }
  } else {
    // Reserves before it reads the cost of the batches, so that a batch that begins meanwhile
    // counts this call.
    take(own, most);
    own.reserved += most;
    const std::string batch = own.batch == nullptr ? std::string() : own.batch->id();
    usd spent = own.batch == nullptr ? usd{} : own.batch->spent();
    spent += co_await disk_.run([&] { return records_.spent_by_others(owner, batch); });
    fits = spent + own.taken <= budget;
    if (!fits) {
      take(own, negative(most));
      own.reserved -= most;
    }
  }
  if (!fits) co_return may_come_back(own) ? funds::wait : funds::spent;
  try {
    co_await disk_.run([&] { records_.add_call_spend(owner, most); });
  } catch (const store::store_error&) {
    take(own, negative(most));
    own.reserved -= most;
    throw;
  }
  co_return funds::reserved;
}

// Returns whether a batch of the key may give back a part of the amount that it may spend.
bool key_funds::may_give_back(const std::string& owner) {
  constexpr std::size_t newest = 16;
  const auto batches = records_.list_batches(owner, {newest, {}}).records;
  return std::any_of(batches.begin(), batches.end(), [](const store::batch_record& batch) {
    return batch.status == store::batch_status::in_progress ||
           batch.status == store::batch_status::cancelling;
  });
}

asio::awaitable<funds> key_funds::reserve_shared(const std::string& owner, usd budget, usd most) {
  entry& own = entries_[owner];
  const auto left = own.batch == nullptr ? std::nullopt : own.batch->left();
  const bool from_batch = left && *left >= most;
  if (from_batch) own.batch->spent_elsewhere(most);
  own.reserved += most;
  bool fits = true;
  bool may_return = false;
  try {
    co_await disk_.run([&] {
      const usd taken = records_.add_call_spend(owner, most);
      if (from_batch) return;
      fits = taken + records_.spent_by_others(owner, {}) <= budget;
      if (fits) return;
      records_.add_call_spend(owner, negative(most));
      may_return = may_give_back(owner);
    });
  } catch (const store::store_error&) {
    own.reserved -= most;
    throw;
  }
  if (fits) co_return funds::reserved;
  own.reserved -= most;
  co_return may_return || may_come_back(own) ? funds::wait : funds::spent;
}

asio::awaitable<void> key_funds::settle(const std::string& owner, usd most, usd cost) {
  entry& own = entries_[owner];
  own.reserved -= most;
  usd less = cost;
  less -= most;
  if (less == usd{}) co_return;
  if (!shared_) take(own, less);
  co_await disk_.run([&] { records_.add_call_spend(owner, less); });
}

}  // namespace sluice::server
