#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
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

#include "base/id_table.hpp"
#include "files/file_system.hpp"
#include "jobs/job_files.hpp"
#include "jobs/job_reader.hpp"
#include "jobs/output_file.hpp"
#include "jobs/result_line.hpp"
#include "jobs/state_file.hpp"
#include "money/budget.hpp"
#include "money/cost_bound.hpp"
#include "sluice/money.hpp"
#include "sluice/result.hpp"
#include "sluice/result_sink.hpp"
#include "sluice/totals.hpp"

namespace sluice {

/// One job on files: what earlier runs left of it, which of its lines are still to be sent, and
/// where their results go. In order: load(), scan(), create(), then next_request() on the reader's
/// thread beside put() and the rest on the event loop's, then finish().
class job_record {
 public:
  /// `shared`: the budget of all jobs of the command; null where there is none.
  /// `room`: bytes to keep free on the disk for results.
  job_record(std::size_t index, job_files files, const job_options& lines,
             const output_options& output, const relay_prices& prices, file_system& disk,
             budget* shared, std::uint64_t room = 0);

  /// Opens, locks and reads what earlier runs left. Changes nothing.
  void load();
  /// Reads the whole job once, before anything is sent: counts it, finds duplicate ids and results
  /// whose request has changed. Standard input cannot be read twice and is checked as it comes.
  void scan();
  /// Standard input as far as it was read by load() and scan(), for an object that begins again.
  struct input {
    std::unique_ptr<job_reader> reader;
    std::optional<boost::system::result<request, bad_line>> first_line;
  };
  input release_input();
  void take_input(input&& before);
  /// Results that must make room stand in the output: after make_room(), begin again with a new
  /// object.
  bool must_make_room() const noexcept { return must_make_room_; }
  void make_room();
  /// Makes the files that are not there yet.
  void create();
  /// Undoes create(): the run does not start after all.
  void take_back() noexcept;

  /// The next request that has no final result yet; bad lines go to the errors file on the way.
  std::optional<request> next_request();

  /// Up to `count` requests from far behind the one that next_request() gives next, spread over
  /// the rest of the job; next_request() passes over them. Reads the job's file anew: from a thread
  /// that may wait for a disk. None of standard input.
  std::vector<request> look_ahead(std::size_t count);

  /// Whether a request that asked for the model (empty: for any) had succeeded before this run.
  bool had_success(std::string_view model) const;
  /// The models that its requests ask for, if known: one, several, or none that is known yet.
  const std::set<std::string>& first_models() const noexcept { return first_models_; }

  /// Ends a next_request() that waits for input, or passes over what is finished; from any thread.
  void cancel();

  funds reserve(const request& next);
  void unreserve(const request& next);
  void attempt_started(const attempt_record& attempt);
  void attempt_ended(const attempt_record& attempt, attempt_end how);
  /// Brings what is recorded of attempts to the disk; from the thread of end_checkpoint() alone.
  std::error_code sync_state() const;
  void put(const result& finished);
  void flush();
  void sync();  ///< from any thread
  /// Throws when the files are not as this run has left them: others have replaced or shortened
  /// them. What is still known of them stands aside then.
  void require_intact();
  /// Writes the totals file, and the state file while there is something for it to hold. In two
  /// steps, of which the second waits for the disk and may be taken on another thread, beside all
  /// calls but checkpoints.
  struct checkpoint_step {
    std::string totals;
    std::optional<state_file::rewrite> state;  ///< nothing: the job is complete and needs none
  };
  checkpoint_step begin_checkpoint(job_status status, double run_seconds,
                                   std::uint64_t most_in_a_minute);
  void end_checkpoint(checkpoint_step&& begun);
  /// After the last result: brings the errors file in order, so that every request has one line.
  void finish();
  /// Finished lines that could not be written so far.
  std::uint64_t unwritten() const;
  bool disk_is_full() const;

  job_totals totals() const;
  /// An example of what failed in this run, by the name the totals count it under.
  std::map<std::string, std::string> failure_reasons() const;
  /// Everything that was to be sent in this run has been, and has its result.
  bool complete() const;
  const job_files& files() const noexcept { return files_; }
  std::uint64_t bad_lines() const noexcept { return bad_lines_; }
  std::uint64_t to_send() const noexcept { return to_send_; }  ///< by the scan
  const std::map<std::string, std::uint64_t>& unpriced_models() const noexcept { return unpriced_; }
  /// Salt of the idempotency keys: another for every job, the same over its restarts.
  const std::string& identity() const noexcept { return state_.identity(); }

 private:
  // What an earlier run knows of an id: eight bytes, since there may be ten million of them.
  struct earlier {
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
  enum earlier_flag : std::uint32_t {
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
  // What a crash left at the end of a file.
  struct torn_end {
    std::uint64_t good = 0;      // bytes of whole lines
    bool lacks_newline = false;  // of the last of them
    std::uint64_t lines = 0;
  };

  void require_own_lines(const output_file& file) const;
  void require_own_sidecars();
  torn_end load_lines(output_file& file, bool successes);
  static void mend(output_file& file, const torn_end& end);
  bool counts_earlier_runs() const noexcept;
  void start_over();
  void rescue_files();
  void place_state(state_file::rewrite& fresh);
  void remember(const stored_line& line, bool success);
  void count_attempts(earlier& known, std::uint32_t attempts);
  std::uint32_t error_index(const std::string& name);
  bool check_new(const request& next);
  std::optional<boost::system::result<request, bad_line>> next_line();
  bool wanted(const request& next, std::uint32_t& attempts);
  void hand_out(request& next);
  void put_bad(const bad_line& bad);
  void check_strays();
  void count_line(const boost::system::result<request, bad_line>& line);
  bool is_mended(std::uint64_t line) const;
  bool is_stale(std::string_view line, std::uint64_t end);
  [[noreturn]] void refuse_changed(const std::string& custom_id) const;
  void load_life(bool known, bool lines_left);
  void load_life_from_totals(bool known);
  state_file::line_told told_by_line(const earlier& known) const;
  void make_outdated(earlier& known);
  struct priced_bound {
    token_bound tokens;
    token_price price;
    usd cost() const noexcept { return tokens.cost(price); }
  };
  priced_bound bound_or_refuse(const request& next) const;
  void bound_cost(request& next) const;
  void check_job_is_the_same();
  hash128 hash_of_job() const;
  void move_aside();

  const std::size_t index_;
  const job_files files_;
  const job_options& lines_;
  const output_options& options_;
  const relay_prices& prices_;
  file_system& disk_;
  budget* const budget_;

  output_file output_;
  output_file errors_;
  state_file state_;  // beyond its file, guarded by the mutex
  bool output_exists_ = false;
  bool errors_exist_ = false;
  bool output_made_ = false;
  bool errors_made_ = false;
  bool state_made_ = false;
  bool must_make_room_ = false;
  bool has_totals_ = false;  // an earlier run left them
  torn_end output_end_;
  torn_end errors_end_;
  std::uint64_t errors_before_ = 0;  // size of the errors file as the run began
  std::string job_stamp_;            // size and times of the job file as it was scanned
  hash128 job_hash_;                 // of its lines
  std::uint64_t lines_given_ = 0;

  mutable std::mutex
      mutex_;  // guards what follows: the reader's thread and the event loop's meet here
  id_table<earlier> earlier_;
  id_table<nothing> ids_;
  std::vector<std::uint64_t> duplicates_;  // lines, found by the scan
  std::size_t next_duplicate_ = 0;
  std::map<std::uint64_t, stored_bad_line> stored_bad_lines_;  // of the errors file, by line
  std::set<std::uint64_t> current_bad_lines_;  // of those, the ones that are still so
  std::vector<std::string> error_names_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, usd> kept_by_line_;  // of the budget, by id
  usd kept_by_lines_;    // of all lines that an earlier run left
  usd carried_;          // what is kept, and no line tells yet
  std::string rescued_;  // what is to be said of files that were taken away
  std::unique_ptr<job_reader> reader_;
  std::optional<boost::system::result<request, bad_line>> first_line_;  // of standard input
  std::atomic<bool> cancelled_{false};
  bool read_to_end_ = false;              // as far as the limit lets
  std::uint64_t last_line_ = 0;           // that was read so, or is to be
  std::uint64_t last_given_ = 0;          // line of the request that was given out last, in order
  std::set<std::uint64_t> given_ahead_;   // lines that were given out before their turn
  std::set<std::string> earlier_models_;  // that had a success before this run
  std::set<std::string> first_models_;    // two are enough
  std::uint64_t outstanding_ = 0;         // requests given out that have no result yet
  bool errors_untidy_ = false;
  job_totals totals_;
  double earlier_wall_s_ = 0;
  std::uint64_t earlier_most_ = 0;
  std::uint64_t bad_lines_ = 0;
  std::uint64_t to_send_ = 0;
  std::optional<bad_line> first_bad_;
  std::map<std::string, std::uint64_t> unpriced_;
  std::map<std::string, std::string> reasons_;
  std::string output_lines_;  // to be written by the next flush
  std::string error_lines_;
};

}  // namespace sluice
