#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "async/background.hpp"
#include "async/wait_queue.hpp"
#include "server/access_keys.hpp"
#include "server/data_folder.hpp"
#include "server/key_funds.hpp"
#include "sluice/clock.hpp"
#include "sluice/config.hpp"
#include "sluice/engine.hpp"
#include "sluice/observer.hpp"
#include "sluice/prices.hpp"
#include "sluice/run_limit.hpp"
#include "store/batch_store.hpp"

namespace sluice::server {

class server_figures;

struct runner_options {
  std::string server_name = "server";  ///< name of this process in the store
  std::size_t batches_at_once = 16;    ///< further batches wait until one of these has ended
  std::uint64_t most_lines = 50'000;   ///< maximum number of lines of a batch
  duration lease = std::chrono::seconds{60};
  /// How often the runner checks the store for batches that another server has left.
  duration poll = std::chrono::seconds{30};
  /// How often the progress of a batch is stored.
  duration save_interval = std::chrono::seconds{10};
  /// How long a batch waits after the relay has stopped it; doubles up to `longest_wait`.
  duration first_wait = std::chrono::seconds{30};
  duration longest_wait = std::chrono::minutes{10};
  /// Other servers use the same store, and spend the same budgets.
  bool shares_store = false;
  bool announce_ends = false;  ///< a webhook announces the end of each batch
  job_options lines;           ///< how lines become requests
  output_options output;  ///< how results are written; the runner sets the paths and the budget
};

/// Runs the batches of a store on one engine, several at a time. Batches with a higher priority
/// start first, then older ones. A batch that only has to end (it was cancelled, or its window has
/// ended) does not wait for the others: it ends at the next check of the store at the latest. Each
/// batch is a job in its own folder. So a batch continues after a crash where it stopped, and no
/// finished request is sent twice. Not thread safe: use it on the event loop's thread.
class batch_runner {
 public:
  /// All references must outlive it; `listener` may be null.
  batch_runner(boost::asio::io_context& loop, background& disk, store::batch_store& records,
               data_folder& folder, engine& sender, const relay_prices& prices,
               const access_keys& keys, runner_options options, observer* listener);
  ~batch_runner();
  batch_runner(const batch_runner&) = delete;
  batch_runner& operator=(const batch_runner&) = delete;

  /// Runs batches until stop() is called and every batch has stopped. Batches that have not ended
  /// stay in the store for the next start.
  boost::asio::awaitable<void> work();
  /// Call it when a batch was created: the runner looks for it at once.
  void wake();
  /// Call it when a cancel was stored for this batch.
  void cancelled(std::string_view batch);
  /// The keys have changed: their new limits apply from now on.
  void keys_changed();
  /// Sends no new requests; those in flight finish.
  void stop();
  /// Like stop(), but also cancels the requests in flight.
  void abort();

  /// The results of a batch so far, and why it waits. Nothing if it is not running here.
  struct live_state {
    store::batch_progress progress;
    bool counted = false;  ///< the job was read, so `progress` is complete
    std::string waits;
  };
  std::optional<live_state> live(std::string_view batch) const;
  /// The runs of one owner's batches: the number of attempts in flight and of waiting requests.
  struct own_runs {
    std::size_t in_flight = 0;
    std::size_t waiting = 0;
  };
  own_runs runs_of(std::string_view owner) const;

  /// Sets the figures to which runs add their results: when they begin and end, at each save, and
  /// when count_now() is called.
  void count_in(server_figures& figures) { figures_ = &figures; }
  void count_now();
  /// Returns the limit of a key by its name, for everything that is sent for the key; null if it
  /// has no limit.
  run_limit* limit_of(const std::string& key_name);
  /// The money that keys with a budget spend on batches and calls.
  key_funds& money() noexcept { return money_; }
  std::size_t active() const noexcept { return active_.size(); }
  /// Called when there is an end of a batch to announce.
  std::function<void()> on_announcement;

 private:
  class active_batch;
  friend class active_batch;

  enum class claim_kind : std::uint8_t { any, ending };
  struct claimed_batch {
    store::claim held;
    store::batch_record record;
  };
  boost::asio::awaitable<std::optional<claimed_batch>> claim_one(
      claim_kind which, const store::skipped_batches& skipped);
  boost::asio::awaitable<void> renew_claims();
  bool must_renew() const;
  boost::asio::awaitable<void> claim_ending();
  boost::asio::awaitable<void> claim_all();
  boost::asio::awaitable<bool> hold_back(const std::string& owner);
  void begin(claimed_batch batch, claim_kind as);
  std::size_t ending() const;
  bool has_active_batch(const std::string& owner) const;
  std::vector<std::string> active_ids() const;
  store::skipped_batches cannot_start() const;
  boost::asio::awaitable<void> sleep(duration longest);
  void ended(const std::string& batch);
  void say(severity level, std::string_view batch, const std::string& sentence) const;

  boost::asio::io_context& loop_;
  background& disk_;
  store::batch_store& records_;
  data_folder& folder_;
  engine& engine_;
  const relay_prices& prices_;
  const access_keys& keys_;
  runner_options options_;
  observer* observer_;
  key_funds money_;
  std::map<std::string, std::unique_ptr<active_batch>, std::less<>> active_;
  /// The limits by name of the key. Entries stay, because the requests that ended batches have
  /// started still count.
  std::map<std::string, std::unique_ptr<run_limit>, std::less<>> limits_;
  /// By key with a budget: the batches that are skipped until another batch of the key has ended,
  /// which has to run before them.
  std::map<std::string, std::set<std::string>> held_back_;
  /// Keys whose batches are skipped, because the keys file does not have them.
  std::set<std::string> unknown_keys_;
  server_figures* figures_ = nullptr;
  /// Keys whose batches are skipped until the next check of the store: they have a budget, and
  /// another server is running a batch of them.
  std::set<std::string> run_elsewhere_;
  time_point renewed_{};  // when the leases were extended
  wait_queue idle_;
  bool woken_ = false;
  bool stopping_ = false;
};

}  // namespace sluice::server
