#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/config.hpp"
#include "sluice/money.hpp"
#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"
#include "sluice/totals.hpp"

namespace sluice {

class file_system;

/// The jobs of one command, on files: a JSONL job each, with its output, errors and totals beside
/// it or elsewhere. Gives their requests in turns, one job after the other, and writes what becomes
/// of them. Running the same jobs again gives only the requests that have no final result yet.
///
/// The constructor reads every job whole, locks its files and throws fatal_error when one cannot be
/// run; only when all can be are files made.
class job_set final : public request_source, public result_sink {
 public:
  /// What a person wants to know before anything is sent.
  struct job_summary {
    std::string job;
    std::string output;
    std::string errors;
    std::string totals;
    std::uint64_t to_send = 0;
    std::uint64_t bad_lines = 0;
    std::map<std::string, std::uint64_t> unpriced_models;  ///< requests by model
  };

  job_set(const std::vector<std::string>& jobs, const job_options& lines,
          const output_options& output, relay_prices prices);
  /// With other files than the system's: the seam for tests.
  job_set(const std::vector<std::string>& jobs, const job_options& lines,
          const output_options& output, relay_prices prices, file_system& disk);
  ~job_set() override;
  job_set(const job_set&) = delete;
  job_set& operator=(const job_set&) = delete;

  std::optional<request> next() override;
  void cancel() override;

  funds reserve(const request& next) override;
  void unreserve(const request& next) override;
  void attempt_started(const attempt_record& attempt) override;
  bool must_be_recorded() const override;
  void record(const std::function<void(std::exception_ptr)>& done) override;
  void attempt_ended(const attempt_record& attempt, attempt_end how) override;
  void put(result&& finished) override;
  void flush() override;
  bool must_be_durable() const override;
  void make_durable(const std::function<void(std::exception_ptr)>& done) override;
  void sync() override;

  /// Has the totals files written; call now and then while a run goes on. Does not wait for the
  /// disk: what went wrong there is thrown by the next call. Throws when others have replaced or
  /// changed the files.
  void checkpoint(double run_seconds, std::uint64_t most_in_a_minute);
  /// The run is over: brings the files in order and writes the last totals.
  /// When it throws, as much as could be done is, and it may be called again: what unwritten()
  /// counts is tried anew. From the first call on, next() gives nothing, and the calls that bring
  /// attempts and results throw std::logic_error.
  void finish(job_status status, double run_seconds, std::uint64_t most_in_a_minute);
  /// Finished results that are in memory alone.
  std::uint64_t unwritten() const;
  /// They are there for want of room on the disk, which may come back.
  bool disk_is_full() const;

  /// Sentences that a person should read, the job going on: of files that are damaged, and of what
  /// their file system cannot do. Grows at its end, now and then while a run goes on. From any
  /// thread.
  std::vector<std::string> warnings() const;
  std::vector<job_summary> summaries() const;
  job_totals totals(std::size_t job) const;
  /// An example of what failed in this run, by the name the totals count it under.
  std::map<std::string, std::string> failure_reasons(std::size_t job) const;
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
