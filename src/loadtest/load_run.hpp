#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/sleeper.hpp"
#include "async/wait_queue.hpp"
#include "loadtest/client_load.hpp"
#include "loadtest/load.hpp"
#include "loadtest/load_record.hpp"
#include "loadtest/measurement.hpp"
#include "loadtest/spending.hpp"
#include "loadtest/target.hpp"
#include "sluice/clock.hpp"
#include "upstream/attempt.hpp"

namespace sluice::bench {

/// Runs one load on all targets at the same time, so that slow changes affect all of them alike;
/// their starts take turns. The limit and the budget apply as in a run, but there are no retries.
/// Not thread safe: use it on the event loop's thread. Only one load_run may run at a time.
class load_run {
 public:
  struct options {
    load asked;
    std::uint64_t seed = 1;      ///< for Poisson arrivals; the same for each target
    std::string id;              ///< prefix of the Idempotency-Keys; different for each load
    bool counts_tokens = false;  ///< there is a limit in tokens per minute
    duration max_wait{};         ///< if a relay asks for a longer pause, its target is stopped
  };

  /// All references must outlive this object.
  load_run(boost::asio::any_io_executor loop, clock& time, std::vector<target*> targets,
           spending& money, const options& chosen);
  load_run(const load_run&) = delete;
  load_run& operator=(const load_run&) = delete;

  /// After this number of 429s in a row, the target gets no more of this load, because all later
  /// requests would be refused too, as fast as they can be sent.
  static constexpr unsigned most_refusals = 100;

  /// Returns when all started requests have ended. Rethrows exceptions of its own coroutines.
  boost::asio::awaitable<void> run();

  /// Starts no more requests.
  void stop();
  /// The requests in flight are about to be aborted. Their results say nothing about the targets.
  void abort();

  /// The record of the target with this index, after the measurement has begun; null if it did not
  /// begin.
  const load_record* record(std::size_t target) const noexcept { return records_[target].get(); }
  /// The processor time of this thread during the measurement.
  const load_record::client& client() const noexcept { return client_; }
  /// The budget does not cover another request.
  bool spent() const noexcept { return spent_; }
  /// The target with this index refused `most_refusals` requests in a row, so the rest was not
  /// sent.
  bool refused(std::size_t target) const noexcept { return refused_[target]; }
  std::uint64_t ended() const noexcept { return ended_; }
  /// The number of requests that end per second now, of all targets together; nullopt: none has
  /// ended.
  std::optional<double> ended_per_s() const;
  /// Seconds until the load is over, at that speed and within `cap` starts per minute (0: no
  /// limit); nullopt: not known yet.
  std::optional<double> seconds_left(std::uint64_t cap) const;

 private:
  struct watch;

  boost::asio::awaitable<void> go_through(std::uint64_t requests, duration time, bool measured);
  boost::asio::awaitable<void> keep_asking(std::size_t place);
  boost::asio::awaitable<void> ask_by_schedule(std::size_t place, time_point begin);
  boost::asio::awaitable<void> ask(std::size_t place, time_point wanted);
  /// wait: the load, or that of this target, ended while the request waited.
  boost::asio::awaitable<funds> afford(target& of, request& asked);
  boost::asio::awaitable<void> send(std::size_t place, request asked, time_point wanted,
                                    own_waits waited, start_gate::permit turn);
  void note_reply(std::size_t place, const request& asked, const reply& told, attempt& tried,
                  measurement& seen);
  void note_failure(const target& of, const request& asked, const failure& why,
                    const exchange_end& end, measurement& seen);
  void react(std::size_t place, const failure& why, time_point started);
  void leave(target& of, const target_cutoff::stop& why);
  void close_gates();
  bool wants_more(std::size_t place) const;
  void spawn(boost::asio::awaitable<void> task);

  boost::asio::any_io_executor loop_;
  clock& time_;
  std::vector<target*> targets_;
  spending& money_;
  options options_;

  // State of the current part: the warm-up, or the load itself.
  std::uint64_t requests_ = 0;  // 0: until the time is over
  time_point begin_{};
  time_point end_{};  // end of the load's time, if it has one
  std::uint64_t ended_before_ = 0;
  bool warming_up_ = false;
  std::vector<std::uint64_t> asked_;
  std::vector<unsigned> refusals_in_row_;
  std::vector<bool> refused_;
  bool closed_ = false;  // nothing more starts in this part
  std::unique_ptr<sleeper> schedule_;

  std::vector<std::unique_ptr<load_record>> records_;
  load_record::client client_;
  bool stopping_ = false;
  bool aborted_ = false;
  bool spent_ = false;
  std::uint64_t sent_ = 0;
  std::uint64_t ended_ = 0;
  std::size_t tasks_ = 0;
  wait_queue all_done_;
  std::exception_ptr fault_;
};

}  // namespace sluice::bench
