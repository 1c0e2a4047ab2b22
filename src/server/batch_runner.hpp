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
  std::string server_name = "server";  ///< of this process in the store
  std::size_t batches_at_once = 16;    ///< more wait until one of these has ended
  std::uint64_t most_lines = 50'000;   ///< of a batch
  duration lease = std::chrono::seconds{60};
  /// How often the store is asked for batches that another server left.
  duration poll = std::chrono::seconds{30};
  /// How often the progress of a batch is stored.
  duration save_interval = std::chrono::seconds{10};
  /// How long a batch waits after the relay has stopped it; doubles up to `longest_wait`.
  duration first_wait = std::chrono::seconds{30};
  duration longest_wait = std::chrono::minutes{10};
  bool announce_ends = false;  ///< a webhook announces the end of each batch
  job_options lines;           ///< how lines become requests
  output_options output;       ///< how results are kept; paths and budget are the runner's
};

/// Runs the batches of a store on one engine: several at a time, older ones first within a
/// priority. Each is a job in a folder of its own, so a batch goes on after a crash where it was,
/// and no finished request is sent twice. Not thread safe: use it on the event loop's thread.
class batch_runner {
 public:
  /// All references must outlive it; `listener` may be null.
  batch_runner(boost::asio::io_context& loop, background& disk, store::batch_store& records,
               data_folder& folder, engine& sender, const relay_prices& prices,
               const access_keys& keys, runner_options options, observer* listener);
  ~batch_runner();
  batch_runner(const batch_runner&) = delete;
  batch_runner& operator=(const batch_runner&) = delete;

  /// Takes up work until stop() is called and every batch has stopped. Batches that have not ended
  /// stay in the store, for the next start.
  boost::asio::awaitable<void> work();
  /// A batch was created: look for it now.
  void wake();
  /// A cancel was stored for this batch.
  void cancelled(std::string_view batch);
  /// The keys have changed: their new limits apply from now on.
  void keys_changed();
  /// No new request is sent; those in flight finish.
  void stop();
  /// Like stop(), but also cancels those in flight.
  void abort();

  /// What a batch has done until now, and why it waits; nothing: it is not running here.
  struct live_state {
    store::batch_progress progress;
    bool counted = false;  ///< the job was read, so `progress` is complete
    std::string waits;
  };
  std::optional<live_state> live(std::string_view batch) const;
  /// The runs of one owner's batches: attempts in flight, and requests that wait.
  struct own_runs {
    std::size_t in_flight = 0;
    std::size_t waiting = 0;
  };
  own_runs runs_of(std::string_view owner) const;

  /// What runs do is added to these figures: at their begin and end, at each save, and when
  /// count_now() is called.
  void count_in(server_figures& figures) { figures_ = &figures; }
  void count_now();
  /// The limit of a key by its name, for all that is sent for it; null: it has none.
  run_limit* limit_of(const std::string& key_name);
  /// What keys with a budget spend, on batches and on calls.
  key_funds& money() noexcept { return money_; }
  std::size_t active() const noexcept { return active_.size(); }
  /// Called when the end of a batch is to be announced.
  std::function<void()> on_announcement;

 private:
  class active_batch;
  friend class active_batch;

  boost::asio::awaitable<void> claim_all();
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
  /// By name of the key. They stay, as starts of ended batches still count.
  std::map<std::string, std::unique_ptr<run_limit>, std::less<>> limits_;
  /// Left alone for now: another batch of a key with a budget runs, or the key is gone.
  std::set<std::string> held_back_;
  server_figures* figures_ = nullptr;
  /// Left alone until the next look: another server runs a batch of a key with a budget.
  std::set<std::string> owner_runs_elsewhere_;
  wait_queue idle_;
  bool woken_ = false;
  bool stopping_ = false;
};

}  // namespace sluice::server
