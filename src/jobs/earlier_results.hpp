#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "base/id_table.hpp"
#include "jobs/job_line.hpp"
#include "jobs/job_setup.hpp"
#include "jobs/result_line.hpp"
#include "jobs/state_file.hpp"
#include "sluice/job.hpp"
#include "sluice/money.hpp"
#include "sluice/totals.hpp"

namespace sluice {

class result_files;

/// What earlier runs left of a job, for one thread at a time: which of its requests have a result
/// that stands, which failed and how, and what is kept of the budget. While the job runs, the mutex
/// of running_job guards it.
///
/// As the job's lines are read, it learns which of the results have a request still. Eight bytes
/// and a hash for each result: there may be ten million of them.
class earlier_results {
 public:
  /// Reads what stands in the files, and changes none of them. Throws fatal_error when that cannot
  /// be, or must not be run on. The setup must outlive the object.
  earlier_results(const job_setup& job, result_files& files);

  /// The sums of the lines, and the attempts that they tell of. Given away once.
  job_totals take_totals() noexcept { return std::exchange(totals_, {}); }
  /// Counts as spent of the budget.
  usd spent() const noexcept { return spent_; }
  double wall_s() const noexcept { return wall_s_; }
  std::uint64_t most_in_a_minute() const noexcept { return most_in_a_minute_; }
  /// Whether a request that asked for the model (empty: for any) had succeeded. From any thread.
  bool had_success(std::string_view model) const;

  /// A good line of the job. False: an earlier line has the same id.
  bool add(const request& next);
  /// A bad line of the job. True: the errors file says the same of it already.
  bool add(const bad_line& bad);
  /// Every line of the job has been added, the last of them `last_line`; with a limit, there may be
  /// more. Brings `totals` in order for what stands in the files beyond, and gives how many bad
  /// lines of that there are. Throws when results stand whose requests are gone.
  std::uint64_t add_end(std::uint64_t last_line, job_totals& totals, result_files& files);

  /// The request is to be sent, and an earlier line of it tells of so many attempts. Nothing: it
  /// has a result that stands.
  std::optional<std::uint32_t> to_be_sent(const request& next);
  /// Of requests in the order of the job: whether an earlier one, or a result in the output, has
  /// the same digest. Only with job_options::dedup.
  bool is_copy(const request& next);
  /// Every request has been looked at by is_copy().
  void forget_digests() { digests_ = {}; }
  /// Whether the errors file has a line of the request as it is now.
  bool has_failed(const request& next);
  /// Results of the output must make room: their requests have changed or are gone.
  bool must_make_room() const noexcept { return must_make_room_; }
  /// Whether the result is in the output, and does not have to make room.
  bool stands(const std::string& custom_id);

  /// Replies that were rejected before the request's line in the errors file: its next line has
  /// them, too.
  std::vector<rejected_reply> rejected(const hash128& id) const;
  /// What is kept of the budget for attempts that the request's lines tell of.
  usd kept(const hash128& id) const;
  /// What is kept and no line tells yet; once.
  usd take_carried() noexcept { return std::exchange(carried_, {}); }
  /// The request has a new line: the failure that its old one tells of no longer counts.
  void replace(const hash128& id, job_totals& totals);

  /// How far the job was read: nothing, not to its end; else every line up to that number, which a
  /// limit may set.
  using read_until = std::optional<std::uint64_t>;
  /// Whether lines of the errors file must not stay as they are.
  bool errors_are_untidy(read_until read) const;
  /// Whether a line that an earlier run wrote to the errors file must not stay.
  bool is_stale(const stored_line& line, read_until read);

 private:
  // What is known of an id.
  struct entry {
    std::uint32_t digest = 0;  // its first 32 bits
    std::uint32_t packed = 0;  // attempts, index into error_names_, flags

    static constexpr std::uint32_t most_attempts = (1U << 12U) - 1;
    static constexpr std::uint32_t most_errors = 1U << 13U;
    std::uint32_t attempts() const noexcept { return packed >> 20U; }
    void set_attempts(std::uint32_t count) noexcept {
      packed = (packed & 0xFFFFFU) | (std::min(count, most_attempts) << 20U);
    }
    std::uint32_t error() const noexcept { return (packed >> 7U) & (most_errors - 1); }
    void set_error(std::uint32_t index) noexcept {
      packed = (packed & ~((most_errors - 1) << 7U)) | (index << 7U);
    }
    bool is(std::uint32_t flag) const noexcept { return (packed & flag) != 0; }
    void set(std::uint32_t flag, bool on) noexcept { packed = on ? packed | flag : packed & ~flag; }
  };
  enum entry_flag : std::uint32_t {
    done = 1,       // has a line in the output
    failed = 2,     // has one in the errors file
    retryable = 4,  // … of a passing kind
    seen = 8,       // its request is in the job
    replaced = 16,  // its errors line has a successor, or no reason to stand any more
    outdated = 32,  // its output line makes room for a new one
    unpriced = 64,  // its output line tells no cost, or one that was only estimated
  };
  struct nothing {};
  // What the errors file says of a bad line.
  struct stored_bad_line {
    hash128 words;
    std::uint32_t error = 0;  // index into error_names_
  };

  void remember(const stored_line& line, bool success);
  void count_rejected(const hash128& id, const stored_line& line, bool success);
  void count_attempts(entry& known, std::uint32_t attempts);
  std::uint32_t error_index(const std::string& name);
  void load_life(result_files& files);
  void load_life_from_totals(result_files& files);
  state_file::line_told told_by_line(const entry& known) const;
  void start_over(state_file& state);
  void make_outdated(entry& known);
  void keep_rejected_of_gone(job_totals& totals, result_files& files);
  void take_back_failure(entry& known, job_totals& totals);
  [[noreturn]] void refuse_changed(const std::string& custom_id) const;
  bool is_mended(std::uint64_t line, read_until read) const;

  const job_setup& job_;
  id_table<entry> entries_;
  id_table<nothing> fresh_ids_;  // of the job that have no line yet
  id_table<nothing> digests_;    // of the results in the output, and of requests before this one
  std::map<std::uint64_t, stored_bad_line> stored_bad_lines_;  // of the errors file, by line
  std::set<std::uint64_t> current_bad_lines_;  // of those, the ones that are still so
  std::vector<std::string> error_names_;
  std::set<std::string, std::less<>> models_;                            // that had a success
  std::map<std::pair<std::uint64_t, std::uint64_t>, usd> kept_by_line_;  // of the budget, by id
  // Of lines in the errors file, by id: their model and their rejected replies.
  std::map<std::pair<std::uint64_t, std::uint64_t>,
           std::pair<std::string, std::vector<rejected_reply>>>
      rejected_by_line_;
  usd kept_by_lines_;  // of all lines
  usd carried_;
  usd spent_;
  job_totals totals_;
  double wall_s_ = 0;
  std::uint64_t most_in_a_minute_ = 0;
  bool must_make_room_ = false;
  bool errors_untidy_ = false;
};

}  // namespace sluice
