#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
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

/// The work of one worker, as source and sink of a run: leases chunks of jobs, gives their requests
/// to the engine, and records attempts and results. Thread safety: see request_source and
/// result_sink; everything else belongs to the event loop's thread.
///
/// An attempt is sent only after its record is stored under the chunk's current epoch. So while the
/// database is away nothing new is sent, and results wait in memory. If a chunk was taken over by
/// another worker, its requests are dropped here.
class leased_work final : public request_source, public result_sink {
 public:
  struct options {
    std::string worker;  ///< no other process has this name
    duration lease = std::chrono::seconds{60};
    std::size_t in_hand = 64;  ///< requests to have at a time; a chunk may bring more
    bool forever = false;      ///< go on when the queue is empty
    duration give_up_after = std::chrono::minutes{10};  ///< without the database
    duration poll_interval = std::chrono::seconds{1};
    duration gather = std::chrono::milliseconds{5};  ///< changes of this time are stored together
    bool simulated = false;
    bound_defaults bounds = {};  ///< for jobs with a budget
  };
  struct setup {
    boost::asio::io_context& loop;
    clock& time;
    job_store& store;
    background& threads;
    const relay_prices& prices;
    std::function<void(severity, const std::string&)> say;
    /// The work cannot go on: the run shall stop.
    std::function<void()> stop_run;
    /// reserve() may have another answer now: see engine_run::funds_changed().
    std::function<void()> funds_changed;
  };

  /// Why the work ended early.
  enum class end_reason : std::uint8_t {
    none,          ///< the queue is empty
    stopped,       ///< stop() was called
    database,      ///< the database was away for too long
    version,       ///< the database belongs to another version
    budget,        ///< the budgets of all jobs that are left are used up
    left_pending,  ///< the engine gave up requests
    unbounded,     ///< the cost of a request of a job with a budget has no bound
  };
  struct totals {
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::uint64_t attempts = 0;
    std::uint64_t tokens = 0;
    usd cost;
    std::uint64_t chunks = 0;       ///< leased
    std::uint64_t lost_chunks = 0;  ///< taken over by others
    std::uint64_t relieved = 0;     ///< attempts of dead workers that count as maybe billed
    std::uint64_t unstored = 0;     ///< results that could not be stored
  };

  leased_work(setup parts, options chosen);
  ~leased_work() override;

  /// Leases, stores and renews until close().
  boost::asio::awaitable<void> work();
  /// Leases nothing more, so the run ends when what is in hand is done.
  void stop();
  /// After the run: stores what is left, and releases the chunks. Waits for the database as long as
  /// the options say, but at most `patience`. Then work() ends.
  void close(duration patience);

  end_reason ended_by() const noexcept;
  /// In words; empty: the queue is empty.
  const std::string& why() const noexcept;
  totals sums() const;

  // The source.
  std::optional<request> next() override;
  void cancel() override;
  std::string_view identity(std::size_t job) const override;
  bool has_several_models() const override { return true; }
  /// next() waits, and has nothing to give: for tests in virtual time.
  bool quiet() const;

  // The sink.
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
