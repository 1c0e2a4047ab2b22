#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "jobs/job_steps.hpp"
#include "jobs/prefix_groups.hpp"
#include "jobs/result_price.hpp"
#include "sluice/clock.hpp"
#include "sluice/result.hpp"
#include "sluice/result_sink.hpp"
#include "sluice/totals.hpp"

namespace sluice {

/// A job that is being run by several threads at once. It gives out the requests that have no
/// result yet, and takes their results. next_request() is for one thread, the reader's.
/// look_ahead(), sync(), sync_state() and end_checkpoint() are for a thread that may wait for a
/// disk. cancel() and the const calls are for any thread; all others are for the event loop's
/// thread.
class running_job {
 public:
  running_job(const running_job&) = delete;
  running_job& operator=(const running_job&) = delete;

  /// Undoes created_job, because the run does not start. Only before all other calls except
  /// checkpoints.
  void take_back() noexcept { parts_->files.take_back(); }
  /// The next request that has no final result yet. Bad lines that are read before it go to the
  /// errors file. Nothing: there is no such request, or none at the moment (see waits_until()).
  std::optional<request> next_request();
  /// After next_request() returned nothing: when to call it again, unless a result comes earlier.
  /// Nothing: it will give no more requests. Set only with job_options::group_prefixes.
  std::optional<time_point> waits_until() const noexcept { return waits_until_; }
  /// A search for up to `count` requests far behind the next one of next_request(), spread over the
  /// rest of the job. It finds none in standard input.
  struct ahead_search {
    explicit ahead_search(std::size_t wanted) : count(wanted) {}
    const std::size_t count;
    std::vector<request> found;  ///< next_request() will skip them
    std::optional<job_reader> reader;
    std::uint64_t step = 0;
    std::uint64_t from = 0;  ///< the next request is taken from this line or a later one
  };
  /// Reads a part of the job file for the search. False: call it again to go on. The search ends
  /// early if the job is cancelled.
  bool look_ahead(ahead_search& search);
  /// Ends a next_request() that waits for input or skips finished requests.
  void cancel();

  funds reserve(const request& next);
  void unreserve(const request& next);
  void attempt_started(const attempt_record& attempt);
  void attempt_ended(const attempt_record& attempt, attempt_end how);
  /// Writes the records of attempts to the state file.
  void write_records() { parts_->files.write_records(); }
  std::error_code sync_state() { return parts_->files.sync_state(); }
  /// Like result_sink::examine(). Only with job_options::expect.
  reply_verdict examine(request& asked, const result& finished);
  /// Like result_sink::left_pending(). Only with job_options::group_prefixes.
  void left_pending(const request& left);
  void put(const result& finished);
  /// For the totals, if this run sends something; 0: no limit.
  void set_rate_limit(std::uint64_t rpm) { rpm_ = rpm; }
  void flush() { parts_->files.flush(); }
  void sync() { parts_->files.sync(); }
  /// Throws if another program has changed the files.
  void require_intact() { parts_->files.require_intact(); }
  /// A checkpoint has two steps, like that of result_files.
  result_files::checkpoint begin_checkpoint(job_status status, double run_seconds,
                                            std::uint64_t most_in_a_minute);
  void end_checkpoint(result_files::checkpoint&& begun) {
    parts_->files.end_checkpoint(std::move(begun));
  }

  job_totals totals() const;
  /// Example messages of failures in this run, keyed by the name in the totals.
  std::map<std::string, std::string> failure_reasons() const;
  std::set<std::string> missing_models() const;
  /// Number of finished lines that could not be written so far.
  std::uint64_t unwritten() const { return parts_->files.unwritten(); }
  bool disk_is_full() const { return parts_->files.disk_is_full(); }
  bool lacks_sync() const { return parts_->files.lacks_sync(); }
  std::uint64_t bad_lines() const;
  /// Whether a request for this model (empty: for any model) had succeeded before this run.
  bool had_success(std::string_view model) const { return parts_->earlier.had_success(model); }
  const job_files& files() const noexcept { return parts_->setup.files; }
  /// Number of requests to send, from the scan.
  std::uint64_t to_send() const noexcept { return parts_->scan.to_send; }
  /// Requests that are not sent because an equal request is sent or has been sent.
  std::uint64_t copies() const noexcept { return parts_->scan.copies.lines.size(); }
  /// The models of its requests: one, several, or none if no model is known yet.
  const std::set<std::string>& models() const noexcept { return parts_->scan.models; }
  const std::map<std::string, std::uint64_t>& unpriced_models() const noexcept {
    return parts_->scan.unpriced;
  }
  /// Salt of the idempotency keys: different for every job, and the same after a restart.
  const std::string& identity() const noexcept { return parts_->files.identity(); }

 private:
  friend class created_job;   // makes it
  friend class finished_job;  // ends it
  explicit running_job(std::unique_ptr<job_parts> created);
  bool is_complete() const;
  bool take_back_if_refused();
  void tidy();
  void find_sources();
  void write_copies();
  bool put_copy(const request& next, std::size_t& bytes);
  std::optional<bad_line> fault_of(const request_or_bad_line& line);
  void put_bad(const bad_line& bad);
  void hand_out(request& next);
  bool is_finished_already() const;
  std::optional<request> next_in_file();
  void read_behind_limit();
  std::optional<request> next_in_groups();
  void read_groups();
  bool begin_search(ahead_search& search);
  void take_ahead(request& next, ahead_search& search);
  std::vector<request> look_ahead_in_groups(std::size_t count);
  void let_group_go(std::uint64_t line, const std::string& custom_id);
  result_price price(const result& finished);
  void tell_why(request& asked, const reply& rejected, const std::string& reason) const;
  // These warn once for each case. For price().
  void warn_of_missing_rate(const std::string& model, const std::string& missing);
  void warn_of_stale_price(const std::string& model);
  void warn_of_rejections(const std::string& reason);

  const std::unique_ptr<job_parts> parts_;
  std::set<std::pair<std::string, std::string>> warned_of_rates_;  // by model and missing rate
  std::set<std::string> warned_of_stale_;                          // by model
  unsigned requests_rejected_ = 0;  // requests that failed in this run because of rejected replies
  std::optional<std::uint64_t> rpm_;
  bool sent_ = false;                      // this run has sent something
  std::optional<time_point> waits_until_;  // used by the reader's thread

  mutable std::mutex mutex_;  // guards the following members, and parts_->earlier
  job_totals totals_;
  std::uint64_t bad_lines_ = 0;
  std::map<std::string, std::string> reasons_;
  std::set<std::string> missing_models_;
  std::size_t next_duplicate_ = 0;
  bool read_to_end_ = false;      // or to the limit
  bool is_refused_ = false;       // a line of standard input does not let the run go on
  bool has_results_ = false;      // this run has a result
  std::uint64_t last_line_ = 0;   // the last line that was read, or that will be read
  std::uint64_t last_given_ = 0;  // line of the last request that was given out in order
  // Lines that were given out before their turn by look_ahead().
  std::set<std::uint64_t> given_ahead_;
  std::uint64_t outstanding_ = 0;          // requests given out that have no result yet
  std::unique_ptr<prefix_groups> groups_;  // set once the job has been read for it
  // Leaders that a group waits for: line by id.
  std::map<std::string, std::uint64_t, std::less<>> leaders_;
  std::size_t next_copy_ = 0;      // index into the scan's copies
  std::uint64_t copies_left_ = 0;  // copies without a line, because no equal request has one
};

/// A job whose run is over: it takes no more results and gives out no more requests. For one
/// thread.
class finished_job {
 public:
  explicit finished_job(std::unique_ptr<running_job> ended) : job_(std::move(ended)) {}

  /// Cleans up the errors file, so that every request has one line, and writes the remaining lines
  /// and the final totals. The status is `completed` if the job is complete, otherwise `status`. If
  /// it throws, it has done as much as possible, and may be called again. If standard input was
  /// refused before anything was sent, the files become as they were before the run instead.
  void write(job_status status, double run_seconds, std::uint64_t most_in_a_minute);

  const running_job& job() const noexcept { return *job_; }

 private:
  std::unique_ptr<running_job> job_;
};

}  // namespace sluice
