#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "async/wait_queue.hpp"
#include "server/batch_runner.hpp"
#include "server/shared_batch.hpp"
#include "sluice/job_set.hpp"

namespace sluice::server {

/// Works on one batch from its claim to its end. Not thread safe: use it on the event loop's
/// thread.
class batch_runner::active_batch final : private key_funds::batch_in_work {
 public:
  active_batch(batch_runner& owner, store::claim held, store::batch_record record,
               claim_kind claimed_as);
  ~active_batch() override;
  active_batch(const active_batch&) = delete;
  active_batch& operator=(const active_batch&) = delete;

  /// Processes the batch step by step until it ends, its claim is lost, or the server stops.
  boost::asio::awaitable<void> work();
  void cancel();
  void stop();
  void abort();
  const std::string& owner() const noexcept { return owner_name_; }
  /// The claim of this server on the batch; it may be lost.
  const store::claim& claim() const noexcept override { return claim_; }
  /// Whether it was claimed only to end. Then it sends nothing.
  bool only_ends() const noexcept { return only_ends_; }
  live_state live() const;
  own_runs run_now() const;
  /// Adds the results of the run so far to the runner's figures.
  void count_now();

 private:
  enum class step : std::uint8_t { next, done };
  enum class ended_by : std::uint8_t { nothing, cancel, expiry, server };

  boost::asio::awaitable<void> take_steps();
  boost::asio::awaitable<step> take_step();
  boost::asio::awaitable<void> open_folder();
  boost::asio::awaitable<void> close_folder();
  file_system& disk();
  boost::asio::awaitable<step> validate();
  boost::asio::awaitable<step> send();
  boost::asio::awaitable<step> decide_end(store::batch_status ending);
  boost::asio::awaitable<step> finish();
  void remove_files();

  boost::asio::awaitable<void> open_job();
  boost::asio::awaitable<run_outcome> run_job();
  boost::asio::awaitable<void> close_job(const run_outcome& outcome);
  boost::asio::awaitable<void> require_closed_job();
  bool has_job();
  boost::asio::awaitable<void> save_progress();

  // The money of a job that is running, if its key has a budget. If other servers use the same
  // store, the job may spend only an amount that the store has, as the `spent` of the batch: this
  // server stores a larger amount from time to time, before the job spends it.
  struct job_money {
    usd budget;     // of the key
    usd limit;      // of the job
    usd elsewhere;  // the sum of all calls of job_set::spent_elsewhere()
    usd others;     // the amount that the other batches of the key have spent
    usd available;  // the part of the budget that calls and other batches have not taken
    usd may_spend() const;
  };
  struct stored_amount {
    usd may_spend;
    usd available;
  };
  usd spent_and_reserved() const;
  stored_amount store_more(store::batch_progress progress, usd used, const job_money& money,
                           usd needs);
  bool may_get_more(const run_outcome& outcome);
  boost::asio::awaitable<void> release();
  boost::asio::awaitable<void> wait_for(duration how_long);
  boost::asio::awaitable<void> wait_for_next_try(duration how_long);
  void keep_saving();
  void watch_expiry();
  void end_run(ended_by why);
  void note_end(store::batch_status with);
  store::batch_progress progress_now() const;
  // key_funds::batch_in_work
  const std::string& id() const noexcept override { return batch_.id; }
  bool is_counted() const override { return counted_; }
  usd spent() const override { return progress_now().spent; }
  std::optional<usd> left() const override;
  void spent_elsewhere(usd amount) override;
  void hold(usd amount) override;
  void end_hold(usd amount, bool moved) override;
  std::int64_t unix_now() const;
  std::optional<client_key> key_of_owner() const;

  batch_runner& parent_;
  store::claim claim_;
  const bool only_ends_;
  store::batch_record batch_;
  std::string owner_name_;
  std::unique_ptr<shared_batch> files_;  // null: no other server shares the batch
  std::unique_ptr<job_set> jobs_;
  std::unique_ptr<engine_run> run_;
  std::optional<job_money> money_;
  std::size_t holds_ = 0;  // calls whose money is on its way from the batch
  usd needs_;  // the highest cost of a request that did not fit into the amount it may spend
  time_point run_began_{};
  ended_by ended_by_ = ended_by::nothing;
  bool counted_ = false;
  /// The results of the job, if this server has closed it and its files are complete.
  std::optional<store::batch_progress> closed_;
  bool saving_ = false;
  std::string waits_;
  duration next_wait_;
  clock::timer save_timer_ = 0;
  clock::timer expiry_timer_ = 0;
  wait_queue sleeping_;
  wait_queue saved_;
  wait_queue moved_;
};

}  // namespace sluice::server
