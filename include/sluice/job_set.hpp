#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/config.hpp"
#include "sluice/prices.hpp"
#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"
#include "sluice/totals.hpp"

namespace sluice {

class file_system;

/// The jobs of one command: JSONL files, each with an output, an errors and a totals file. Gives
/// the requests of one job after the other, and writes their results. If the same jobs are run
/// again, it gives only requests without a final result. Thread safety: see request_source and
/// result_sink; everything else belongs to the event loop's thread unless it says otherwise.
///
/// The constructor locks the files of all jobs and reads every job whole. It throws fatal_error if
/// one cannot be run; files are created only if all can.
class job_set final : public request_source, public result_sink {
 public:
  /// Facts about one job, to be shown before anything is sent.
  struct job_summary {
    std::string job;
    std::string output;
    std::string errors;
    std::string totals;
    std::uint64_t to_send = 0;
    std::uint64_t copies = 0;  ///< requests that get a copy of the result of an equal one
    std::uint64_t bad_lines = 0;
    std::map<std::string, std::uint64_t> unpriced_models;  ///< requests by model
  };

  job_set(const std::vector<std::string>& jobs, const job_options& lines,
          const output_options& output, relay_prices prices);
  /// For tests: with another file system.
  job_set(const std::vector<std::string>& jobs, const job_options& lines,
          const output_options& output, relay_prices prices, file_system& disk);
  ~job_set() override;
  job_set(const job_set&) = delete;
  job_set& operator=(const job_set&) = delete;

  /// The prices from the constructor.
  const relay_prices& prices() const noexcept;

  std::optional<request> next() override;
  void cancel() override;

  /// A request that does not fit into the rest of the budget.
  struct budget_shortage {
    usd most;  ///< the highest cost of one attempt
    usd left;  ///< the part of the budget that is neither spent nor reserved
    /// The largest `max_tokens` with which it would fit; 0: it cannot fit.
    std::int64_t reply_limit = 0;
  };
  /// The last request that the budget could not pay for, with the amounts at that time. Nothing if
  /// the last request could be paid for.
  std::optional<budget_shortage> shortage() const;
  /// With a budget: the part that is neither spent nor reserved. Without a budget: zero.
  usd budget_left() const;
  /// With a budget: this amount was spent elsewhere. A negative amount corrects an earlier call
  /// that reported too much.
  void spent_elsewhere(usd amount);

  funds reserve(const request& next) override;
  void unreserve(const request& next) override;
  void attempt_started(const attempt_record& attempt) override;
  bool must_be_recorded() const override;
  void record(const std::function<void(std::exception_ptr)>& done) override;
  void attempt_ended(const attempt_record& attempt, attempt_end how) override;
  bool examines_replies() const override;
  reply_verdict examine(request& asked, const result& finished) override;
  void left_pending(const request& left) override;
  void put(result&& finished) override;
  void flush() override;
  bool must_be_durable() const override;
  void make_durable(const std::function<void(std::exception_ptr)>& done) override;
  void sync() override;

  /// Sets the rate limit of this run, for the totals of the jobs that it sends requests of; 0:
  /// none.
  void set_rate_limit(std::uint64_t requests_per_minute);
  /// Starts writing the totals files; call it from time to time during a run. It does not wait for
  /// the disk: an error is thrown by the next call. Also throws if another program has replaced or
  /// changed the files.
  void checkpoint(double run_seconds, std::uint64_t most_in_a_minute);
  /// The run is over: completes the files and writes the final totals. If it throws, it has written
  /// as much as possible, and may be called again to write the rest (see unwritten() and
  /// lacks_sync()). After the first call, next() gives nothing, and the calls for attempts and
  /// results throw std::logic_error.
  void finish(job_status status, double run_seconds, std::uint64_t most_in_a_minute);
  /// Number of finished results that are only in memory.
  std::uint64_t unwritten() const;
  /// True if results are only in memory because the disk is full.
  bool disk_is_full() const;
  /// True if results are in a file that could not be synced. After a power failure they may be
  /// gone, and a later job set cannot know that.
  bool lacks_sync() const;

  /// Warnings to show to the user: damaged files, limits of the file system. New ones may be
  /// appended during a run. May be called from any thread.
  std::vector<std::string> warnings() const;
  std::vector<job_summary> summaries() const;
  job_totals totals(std::size_t job) const;
  /// One example message for each kind of failure in this run, keyed by its name in the totals.
  std::map<std::string, std::string> failure_reasons(std::size_t job) const;
  /// The models of this run's requests that the relay says it does not have.
  std::set<std::string> missing_models(std::size_t job) const;
  std::size_t size() const noexcept;
  std::string_view identity(std::size_t job) const override;
  std::size_t jobs() const override { return size(); }
  bool has_several_models() const override;
  bool had_success(std::size_t job, std::string_view model) const override;
  void look_ahead(std::size_t job, std::size_t count,
                  const std::function<void(std::vector<request>)>& done) override;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace sluice
