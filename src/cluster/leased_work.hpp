#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/background.hpp"
#include "cluster/job_store.hpp"
#include "money/cost_bound.hpp"
#include "sluice/clock.hpp"
#include "sluice/observer.hpp"
#include "sluice/prices.hpp"
#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"

namespace sluice::cluster {

/// The work of one worker: it is the source and the sink of a run. It leases chunks of jobs, gives
/// their requests to the engine, and records attempts and results. Thread safety: see
/// request_source and result_sink; use everything else on the event loop's thread.
///
/// An attempt is sent only after its record was stored under the chunk's current epoch. So while
/// the database cannot be reached, nothing new is sent, and results wait in memory. If another
/// worker takes a chunk over, this worker drops the chunk's requests.
class leased_work final : public request_source, public result_sink {
 public:
  struct options {
    std::string worker;  ///< name of the worker, different from that of every other process
    duration lease = std::chrono::seconds{60};
    /// Number of requests to hold at a time; the last chunk may exceed it.
    std::size_t in_hand = 64;
    /// Continue when the queue is empty, unless a job or a model was given up.
    bool forever = false;
    duration give_up_after = std::chrono::minutes{10};  ///< time without the database
    duration poll_interval = std::chrono::seconds{1};   ///< at most a sixth of the lease
    /// Changes within this time are stored together.
    duration gather = std::chrono::milliseconds{5};
    bool simulated = false;
    bound_defaults bounds = {};  ///< for jobs with a budget
    /// Bytes of results in memory. While more than this wait for the database, nothing is claimed
    /// or sent. A transaction stores a quarter of it.
    std::size_t most_unstored = std::size_t{64} << 20;
  };
  struct setup {
    boost::asio::io_context& loop;
    clock& time;
    job_store& store;
    background& threads;
    const relay_prices& prices;
    std::function<void(severity, const std::string&)> say;
    /// Stops the run, because the work cannot continue.
    std::function<void()> stop_run;
    /// Reports that reserve() may have a different answer now: see engine_run::funds_changed().
    std::function<void()> funds_changed;
  };

  /// The reason why the work ended.
  enum class end_reason : std::uint8_t {
    none,          ///< the queue is empty
    stopped,       ///< stop() was called
    database,      ///< the database could not be reached for too long
    version,       ///< the database belongs to another version
    budget,        ///< the budgets of all remaining jobs are used up
    left_pending,  ///< the engine has given up requests, or whole jobs
    unbounded,     ///< a request of a job with a budget has no upper bound for its cost
  };
  struct totals {
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::uint64_t attempts = 0;
    std::uint64_t tokens = 0;
    usd cost;
    std::uint64_t chunks = 0;       ///< number of leased chunks
    std::uint64_t lost_chunks = 0;  ///< chunks that other workers have taken over
    std::uint64_t relieved = 0;     ///< attempts of dead workers that count as maybe billed
    std::uint64_t unstored = 0;     ///< results that could not be stored
  };

  leased_work(setup parts, options chosen);
  ~leased_work() override;

  /// Leases chunks, stores changes and renews leases until close().
  boost::asio::awaitable<void> work();
  /// Leases no more chunks. The run ends when the requests in hand are done. From now on, the
  /// database is waited for at most `patience`. Another call of this or of close() can only shorten
  /// the wait.
  void stop(duration patience);
  /// Call it after the run. It stores the remaining changes, and releases the chunks. It waits for
  /// the database as long as the options say, but at most `patience`. Then work() ends.
  void close(duration patience);

  end_reason ended_by() const noexcept;
  /// The reason in words; empty if the queue is empty. For `left_pending`, it names the jobs that
  /// were given up; empty if there are none.
  const std::string& why() const noexcept;
  totals sums() const;

  // Source of requests.
  std::optional<request> next() override;
  void cancel() override;
  std::string_view identity(std::size_t job) const override;
  void wait_began() override;
  void wait_ended() override;
  bool gave_up_job(std::size_t job, std::string_view why) override;
  void gave_up_model(std::string_view model) override;
  /// There may always be another job, so the run never stops because it has given one up.
  std::size_t jobs() const override { return std::numeric_limits<std::size_t>::max(); }
  bool has_several_models() const override { return true; }
  /// Knows the successes of other workers, but not for which model: they count only if `model` is
  /// empty.
  bool had_success(std::size_t job, std::string_view model) const override;
  /// Returns whether next() waits and has no request to give; for tests in virtual time.
  bool quiet() const;

  // Sink of results.
  funds reserve(const request& next) override;
  void attempt_started(const attempt_record& attempt) override;
  bool must_be_recorded() const override { return true; }
  void record(const std::function<void(std::exception_ptr)>& done) override;
  bool may_send(const attempt_record& attempt) override;
  void attempt_ended(const attempt_record& attempt, attempt_end how) override;
  void left_pending(const request& left) override;
  void put(result&& finished) override;
  void flush() override {}

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace sluice::cluster
