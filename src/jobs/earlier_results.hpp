#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "base/id_table.hpp"
#include "jobs/job_input.hpp"
#include "jobs/job_line.hpp"
#include "jobs/job_setup.hpp"
#include "jobs/line_rejections.hpp"
#include "jobs/state_file.hpp"
#include "jobs/stored_line.hpp"
#include "sluice/job.hpp"
#include "sluice/money.hpp"
#include "sluice/totals.hpp"

namespace sluice {

class result_files;

/// What earlier runs of a job left: which requests have a valid result, which failed and why, and
/// which amounts are kept of the budget. One thread at a time may use it; while the job runs, the
/// mutex of running_job guards it.
///
/// As the lines of the job are read, it learns which results still have a request. It stores eight
/// bytes and a hash for each result, because there may be ten million results.
class earlier_results {
 public:
  /// Reads the files and changes none of them. Throws fatal_error if they cannot be read, or if the
  /// run must not continue from them. The setup must outlive the object.
  earlier_results(const job_setup& job, result_files& files);

  /// The sums of the lines, and the number of attempts that the lines report. Can be taken once.
  job_totals take_totals() noexcept { return std::exchange(totals_, {}); }
  /// The amount that counts as spent of the budget.
  usd spent() const noexcept { return spent_; }
  double wall_s() const noexcept { return wall_s_; }
  std::uint64_t most_in_a_minute() const noexcept { return most_in_a_minute_; }
  /// Whether a request for this model (empty: for any model) had succeeded. May be called from any
  /// thread.
  bool had_success(std::string_view model) const;

  /// Adds a good line of the job. False: an earlier line has the same id.
  bool add(const request& next);
  /// Adds a bad line of the job. True: the errors file already contains the same message for it.
  bool add(const bad_line& bad);
  /// Whether a stored line has an id that was not added yet.
  bool misses_requests() const noexcept { return missing_ > 0; }
  /// Adds a line behind the limit. Only its id counts. Needed while misses_requests().
  void add_behind_limit(const request_or_bad_line& line);
  /// Call it when every line of the job has been added. `last_line` is the last one within the
  /// limit. Corrects `totals`: requests behind the limit are counted from their stored lines, and
  /// failures of requests that no longer exist are removed. Returns the number of stored bad lines
  /// behind the limit. Throws if valid results exist whose requests no longer do.
  std::uint64_t add_end(std::uint64_t last_line, job_totals& totals, const result_files& files);

  /// The number of attempts that earlier lines of the request report, if the request must be sent.
  /// Nothing: it has a valid result.
  std::optional<std::uint32_t> to_be_sent(const request& next);
  /// Whether an earlier request, or a result in the output, has the same digest. Call it for the
  /// requests in job order, and only with job_options::dedup.
  bool is_copy(const request& next);
  /// Call it after is_copy() was called for every request.
  void forget_digests() { digests_ = {}; }
  /// Whether the errors file has a line for the request in its present form.
  bool has_failed(const request& next);
  /// Whether a line of the job that was read has this id.
  bool is_in_job(const hash128& id);
  /// True if results must be removed from the output because their requests have changed or no
  /// longer exist.
  bool must_make_room() const noexcept { return must_make_room_; }
  /// Whether the result is in the output and need not be removed.
  bool stands(const std::string& custom_id);

  /// Replies that were rejected before the request's line in the errors file was written. The next
  /// line of the request contains them, too. This reads the errors file. May be called from any
  /// thread.
  std::vector<rejected_reply> rejected(const hash128& id);
  /// Rejected replies to requests that no longer exist: keeps their cost, and removes them from the
  /// totals. Call it before their lines are removed from the errors file.
  void keep_gone(result_files& files, job_totals& totals);
  /// The amount kept of the budget for the attempts that the request's lines report. Only for
  /// requests without a result.
  usd kept(const hash128& id) const;
  /// The kept amount that no line contains yet. Can be taken once.
  usd take_carried() noexcept { return std::exchange(carried_, {}); }
  /// The request has a new line, so the failure in its old line no longer counts.
  void replace(const hash128& id, job_totals& totals);

  /// How far the job was read. Nothing: not to its end. Otherwise: every line up to this number,
  /// which may be set by a limit.
  using read_until = std::optional<std::uint64_t>;
  /// Whether the errors file contains lines that must be removed.
  bool errors_are_untidy(read_until read) const;
  /// Whether a line that an earlier run wrote to the errors file must be removed.
  bool is_stale(const stored_line& line, read_until read);

 private:
  // The facts about one request id.
  struct entry {
    std::uint32_t digest = 0;  // its first 32 bits
    std::uint32_t packed = 0;  // attempts, index into error_names_, flags

    static constexpr std::uint32_t most_attempts = (1U << 12U) - 1;
    static constexpr std::uint32_t most_errors = 1U << 12U;
    std::uint32_t attempts() const noexcept { return packed >> 20U; }
    void set_attempts(std::uint32_t count) noexcept {
      packed = (packed & 0xFFFFFU) | (std::min(count, most_attempts) << 20U);
    }
    std::uint32_t error() const noexcept { return (packed >> 8U) & (most_errors - 1); }
    void set_error(std::uint32_t index) noexcept {
      packed = (packed & ~((most_errors - 1) << 8U)) | (index << 8U);
    }
    bool is(std::uint32_t flag) const noexcept { return (packed & flag) != 0; }
    void set(std::uint32_t flag, bool on) noexcept { packed = on ? packed | flag : packed & ~flag; }
  };
  enum entry_flag : std::uint32_t {
    done = 1,       // has a line in the output
    failed = 2,     // has a line in the errors file
    retryable = 4,  // that failure is temporary
    seen = 8,       // its request is in the job
    replaced = 16,  // its errors line was replaced by a newer one, or is no longer true
    outdated = 32,  // its output line must be removed so that a new one can be written
    unpriced = 64,  // its output line has no cost, or only an estimated one
    behind = 128,   // its request is in the job, behind the limit
  };
  // The content of a bad line's entry in the errors file.
  struct stored_bad_line {
    hash128 words;
    std::uint32_t error = 0;  // index into error_names_
  };

  void remember(const stored_line& line, bool success, std::uint64_t offset);
  void add_kept(const hash128& id, const entry& known, usd kept, bool success);
  void count_attempts(entry& known, std::uint32_t attempts);
  std::uint32_t error_index(const std::string& name);
  void load_life(result_files& files);
  void load_life_from_totals(result_files& files);
  state_file::line_told told_by_line(const entry& known) const;
  void start_over(state_file& state);
  void make_outdated(entry& known);
  void for_each_rejected_of_gone(
      const std::function<void(const std::string& model, const rejected_reply& reply)>& visit);
  void take_back_failure(entry& known, job_totals& totals);
  [[noreturn]] void refuse_changed(const std::string& custom_id) const;
  bool is_mended(std::uint64_t line, read_until read) const;

  const job_setup& job_;
  const result_files& files_;
  id_table<entry> entries_;
  std::uint64_t missing_ = 0;  // entries whose request was not found in the job yet
  id_set fresh_ids_;           // ids of the job that have no line yet
  id_set digests_;             // of the results in the output, and of the requests read so far
  std::map<std::uint64_t, stored_bad_line> stored_bad_lines_;  // in the errors file, by line
  // The stored bad lines that are still bad in the same way.
  std::set<std::uint64_t> current_bad_lines_;
  std::vector<std::string> error_names_;
  std::set<std::string, std::less<>> models_;  // models that had a success
  // Amounts kept of the budget by the lines of requests that have no result, by id. There is no
  // entry for a request with a result, because it gets no further line.
  std::map<std::pair<std::uint64_t, std::uint64_t>, usd> kept_by_failure_;
  line_rejections rejected_;  // changes only before the run
  bool has_gone_ = false;     // there may be rejected replies to requests that no longer exist
  usd kept_by_lines_;         // the sum over all lines
  usd carried_;
  usd spent_;
  job_totals totals_;
  double wall_s_ = 0;
  std::uint64_t most_in_a_minute_ = 0;
  bool must_make_room_ = false;
  bool errors_untidy_ = false;
};

}  // namespace sluice
