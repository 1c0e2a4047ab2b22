#pragma once

#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "async/background.hpp"
#include "sluice/money.hpp"
#include "sluice/result_sink.hpp"
#include "store/batch_store.hpp"

namespace sluice::server {

/// The money of keys with a budget, which their batches and their calls spend together. What a call
/// can cost at most is in the store before the call is sent, so it counts after a crash, too. Not
/// thread safe: use it on the event loop's thread. Calls throw store_error.
class key_funds {
 public:
  /// The batch of a key that is being worked on: at most one at a time.
  class batch_in_work {
   public:
    virtual ~batch_in_work() = default;
    virtual const std::string& id() const noexcept = 0;
    /// Its results are counted; before that, its cost is unknown.
    virtual bool is_counted() const = 0;
    /// What it has spent.
    virtual usd spent() const = 0;
    /// While its job runs: what of the budget is neither spent nor reserved.
    virtual std::optional<usd> left() const = 0;
    /// While its job runs: calls of the key have taken so much of the budget, or given it back.
    virtual void spent_elsewhere(usd amount) = 0;
  };

  key_funds(background& disk, store::batch_store& records) : disk_(disk), records_(records) {}
  key_funds(const key_funds&) = delete;
  key_funds& operator=(const key_funds&) = delete;

  void begin_batch(const std::string& owner, batch_in_work& batch);
  void end_batch(const std::string& owner, const batch_in_work& batch);

  /// What the calls of the key have cost and have reserved.
  boost::asio::awaitable<usd> taken_by_calls(const std::string& owner);
  /// The same without waiting; after taken_by_calls().
  usd taken_now(const std::string& owner) { return entries_[owner].taken; }

  /// Reserves what a call can cost at most.
  boost::asio::awaitable<funds> reserve(const std::string& owner, usd budget, usd most);
  /// The call has cost so much; `most`: it is not known how much.
  boost::asio::awaitable<void> settle(const std::string& owner, usd most, usd cost);

 private:
  struct entry {
    bool loaded = false;
    usd taken;     // by calls: spent and reserved
    usd reserved;  // the part of it that is reserved
    batch_in_work* batch = nullptr;
  };
  static void take(entry& from, usd amount);
  static bool may_come_back(const entry& from);

  background& disk_;
  store::batch_store& records_;
  std::map<std::string, entry> entries_;  // by name of the key; entries stay
};

}  // namespace sluice::server
