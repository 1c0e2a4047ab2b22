#pragma once

#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "async/background.hpp"
#include "sluice/clock.hpp"
#include "sluice/money.hpp"
#include "sluice/result_sink.hpp"
#include "store/batch_store.hpp"

namespace sluice::server {

/// The money of keys with a budget, which a key's batches and calls spend together. The highest
/// cost of a call is stored before the call is sent, so it counts even after a crash. Not thread
/// safe: use it on the event loop's thread. Calls throw store_error.
///
/// If several servers share the store, each of them stores an amount first and then reads what the
/// others have stored. If the sum is above the budget, it takes its amount back. So of two servers
/// at least one sees the other, and they never spend more than the budget. A running batch stores
/// an amount that it may spend, before it spends it (see active_batch); a call here may use the
/// part of that amount that the batch does not need yet.
class key_funds {
 public:
  /// The batch of a key that is running: at most one per key at a time.
  class batch_in_work {
   public:
    virtual ~batch_in_work() = default;
    virtual const std::string& id() const noexcept = 0;
    /// Returns whether its results are counted. Before that, its cost is unknown.
    virtual bool is_counted() const = 0;
    /// Returns the amount that it has spent.
    virtual usd spent() const = 0;
    /// Returns the part of the budget that is neither spent nor reserved; nothing if its job is not
    /// running. If several servers share the store: the part of the amount that the batch may
    /// spend.
    virtual std::optional<usd> left() const = 0;
    /// Reports the amount that calls of the key have taken from it; negative if they have returned
    /// it. Called only while its job is running.
    virtual void spent_elsewhere(usd amount) = 0;
    /// If several servers share the store, money moves from the batch to a call in two steps, so
    /// that at each moment one of the two counts it. hold(): the batch does not use the amount any
    /// more, and still counts it as its own. end_hold(): now the store counts it as the call's
    /// (`moved`), or the batch gets it back. Until then its job stays open.
    virtual void hold(usd amount) = 0;
    virtual void end_hold(usd amount, bool moved) = 0;
    /// The claim of this server on the batch.
    virtual const store::claim& claim() const noexcept = 0;
  };

  /// `shared`: other servers use the same store.
  key_funds(background& disk, store::batch_store& records, bool shared)
      : disk_(disk), records_(records), shared_(shared) {}
  key_funds(const key_funds&) = delete;
  key_funds& operator=(const key_funds&) = delete;

  void begin_batch(const std::string& owner, batch_in_work& batch);
  void end_batch(const std::string& owner, const batch_in_work& batch);
  /// The same for a batch that only ends. There may be several, beside the one that is running.
  void begin_end(const std::string& owner, const batch_in_work& batch);

  /// Returns the amount that the calls of the key have spent and reserved.
  boost::asio::awaitable<usd> taken_by_calls(const std::string& owner);
  /// Returns the same without waiting. Call it only after taken_by_calls(), and only if no other
  /// server uses the store.
  usd taken_now(const std::string& owner) { return entries_[owner].taken; }

  /// Reserves the highest cost of a call. If several servers share the store, `spent` means that
  /// the money which is taken has not changed for ten minutes; until then it may be reserved by
  /// calls at other servers.
  boost::asio::awaitable<funds> reserve(const std::string& owner, usd budget, usd most,
                                        time_point now);
  /// Ends a reservation of `most`. `cost`: what the call has cost; `most` if the cost is not known.
  boost::asio::awaitable<void> settle(const std::string& owner, usd most, usd cost);

 private:
  struct sighting {
    usd taken;
    time_point since{};
  };
  struct entry {
    bool loaded = false;
    usd taken;     // spent and reserved by calls
    usd reserved;  // the reserved part of `taken`
    // A change that the store has not made, since it failed; it is stored with a later one.
    usd owed;
    std::optional<sighting> seen;  // what was taken when a call was refused
    batch_in_work* batch = nullptr;
    std::set<const batch_in_work*> ending;
  };
  boost::asio::awaitable<funds> reserve_alone(const std::string& owner, usd budget, usd most);
  boost::asio::awaitable<funds> reserve_shared(const std::string& owner, usd budget, usd most,
                                               time_point now);
  static bool may_come_back_elsewhere(entry& from, usd taken, time_point now);
  bool may_give_back(const std::string& owner);
  static void take(entry& from, usd amount);
  static bool may_come_back(const entry& from);
  static bool is_counted(const entry& from);

  background& disk_;
  store::batch_store& records_;
  const bool shared_;
  std::map<std::string, entry> entries_;  // by name of the key; entries are never removed
};

}  // namespace sluice::server
