#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "jobs/job_setup.hpp"
#include "jobs/output_file.hpp"
#include "jobs/state_file.hpp"
#include "jobs/stored_line.hpp"
#include "sluice/error.hpp"
#include "sluice/money.hpp"
#include "sluice/result_sink.hpp"

namespace sluice {

/// The files of one job that a run writes: output, errors, totals and state. Until create() only
/// one thread may use the object, then any thread, and at the end of the run only one again.
///
/// The constructor opens and locks them, which changes nothing. The first calls that write are
/// create() and drop_results(). Throws fatal_error whose message names the file.
class result_files {
 public:
  /// Opens and locks the files that earlier runs left. Throws if they are not provably files of
  /// such runs. The setup must outlive the object.
  explicit result_files(const job_setup& job);

  // Files that earlier runs left. To be called before create().
  bool have_lines() const noexcept { return output_.file.size() > 0 || errors_.file.size() > 0; }
  bool have_totals() const noexcept { return has_totals_; }
  bool have_state() const noexcept { return has_state_; }
  state_file& state() noexcept { return state_; }
  /// Gets a line, and the offset at which it begins in its file.
  using line_visitor =
      std::function<void(const stored_line& line, bool success, std::uint64_t offset)>;
  /// Visits every line of the output, then those of the errors file.
  void read_lines(const line_visitor& visit);
  /// Thrown by read_lines(): the files hold simulated results and the run is real, or the reverse.
  struct other_kind : fatal_error {
    using fatal_error::fatal_error;
  };
  /// Removes the results for which `stands` is false from the output. Their cost stays recorded.
  void drop_results(const std::function<bool(const stored_line& line)>& stands);

  /// Creates the files that do not exist yet, and truncates incomplete lines that a crash left.
  /// With --fresh, it moves existing files aside. If it throws, it has called take_back().
  void create();
  /// Removes the files that create() and a first checkpoint made, and moves or writes the others
  /// back, because the run does not start.
  void take_back() noexcept;

  // Records of attempts, in the state file.
  void attempt_started(const hash128& id, std::uint32_t number, usd reserved);
  void attempt_ended(const hash128& id, attempt_end how, usd line_cost = {});
  /// Like state_file::rejected().
  void rejected(const hash128& id, const std::string& model, const rejected_reply& reply, usd keep);
  /// Removes the rejected replies of the requests for which `is_gone` is true from the state file.
  /// Their cost is kept. Returns them, each with its model.
  std::vector<std::pair<std::string, rejected_reply>> keep_rejected(
      const std::function<bool(const hash128& id)>& is_gone);
  /// The record of a request that was sent and has had no line since.
  std::optional<state_file::unfinished> unfinished(const hash128& id) const;
  bool have_unfinished() const;
  /// Whether one of these requests was sent and has had no line since.
  bool have_unfinished(const std::function<bool(const hash128& id)>& counts) const;
  /// Writes the records of attempts to the state file.
  void write_records();
  /// Syncs these records to disk. Only the thread of end_checkpoint() may call it. If it fails,
  /// every later call fails, too, until a checkpoint has replaced the file.
  std::error_code sync_state();
  life_counters counters() const;
  /// Sets the times of the job's whole life.
  void set_times(double wall_s, std::uint64_t max_requests_in_60s);
  void set_rate_limit(std::uint64_t rpm);
  const std::string& identity() const noexcept { return state_.identity(); }

  // Lines. Lines that cannot be written are kept, and the next flush() tries again.
  /// Adds the line of a result; this ends the attempts of its request.
  void put(const hash128& id, std::string_view line, bool success);
  /// Adds the line of a request that was not sent. If there are many such lines, they are written
  /// at once.
  void put_bad_line(std::string_view line);
  /// Removes the bad lines of this run. Only if it has no results.
  void drop_bad_lines();
  void flush();
  void sync();
  /// Number of finished lines that could not be written so far.
  std::uint64_t unwritten() const;
  bool disk_is_full() const;
  /// Whether a file has lines that the disk may lack and that no later sync will bring there:
  /// replace_unsynced() has not replaced it yet.
  bool lacks_sync() const;
  /// The id of the first result in the output for which `is_meant` is true; empty: there is none.
  std::string find_result(const std::function<bool(const std::string& custom_id)>& is_meant) const;

  /// Visits the lines in the files, those of the output first, with the offset at which each
  /// begins. `is_old`: an earlier run wrote the line to the errors file.
  void read_written(const std::function<void(const stored_line& line, bool success,
                                             std::uint64_t offset, bool is_old)>& visit) const;
  /// Visits the lines in the errors file, with the offset at which each begins.
  void read_failures(
      const std::function<void(const stored_line& line, std::uint64_t offset)>& visit) const;
  /// The line at this offset of the output or of the errors file.
  std::string line_at(bool success, std::uint64_t offset) const;

  /// Throws if another program has replaced or truncated the files. The lines that are still known
  /// are then kept.
  void require_intact();

  // The end of a run, when no other thread makes a call.
  /// Like require_intact(), but final: files that another program has changed get no more lines,
  /// and the lines that are still known are saved elsewhere, once. `paid`: the amount that counts
  /// as spent on results that are lost.
  void rescue(usd paid);
  /// Counts this amount against the budget, and writes it to the state file: the lines that contain
  /// it are about to be removed.
  void keep(usd amount);
  /// Cleans up the errors file after the last line. Of two lines for one request, or for one bad
  /// line, only the later one stays. Lines of an earlier run for which `is_stale` is true are
  /// removed.
  void tidy_errors(const std::function<bool(const stored_line& line)>& is_stale);
  void give_back_room();
  /// Writes the lines of a file that could not be synced into a new file, which replaces it. Throws
  /// if they cannot be written or read.
  void replace_unsynced();
  /// Sorts both files into job order. If it throws, an unsorted file is unchanged.
  void sort();

  /// Writes the totals file, and the state file if it is still needed. There are two steps. The
  /// second step waits for the disk. It may run on another thread, at the same time as all calls
  /// except checkpoints.
  struct checkpoint {
    std::string totals;
    bool needs_state = true;                   ///< false: the job is complete; the file is removed
    std::optional<state_file::rewrite> state;  ///< nothing: the file stays as it is, or is removed
  };
  checkpoint begin_checkpoint(std::string totals, bool needs_state);
  void end_checkpoint(checkpoint&& begun);

 private:
  // Incomplete data that a crash left at the end of a file.
  struct torn_end {
    std::uint64_t good = 0;      // bytes of complete lines
    bool lacks_newline = false;  // the last complete line has no newline
    std::uint64_t lines = 0;
  };
  // A file of lines, and the lines that are to be written to it.
  struct lines_file {
    lines_file(file_system& disk, const std::string& path) : file(disk, path) {}
    output_file file;
    bool is_there = false;
    bool is_made = false;  // by create()
    torn_end end;
    std::string waiting;  // lines that the next flush writes
  };

  void require_own_sidecars() const;
  void require_own_lines(const output_file& file) const;
  void require_same_kind(const std::string& path, bool simulated) const;
  torn_end read(const output_file& file, bool successes, const line_visitor& visit) const;
  static void mend(output_file& file, const torn_end& end);
  void make_files();
  void move_aside();
  bool move_back() noexcept;
  bool take_back_totals() noexcept;
  void place_state(state_file::rewrite& fresh);
  void sync_folder_elsewhere(const std::string& path) const;
  static void throw_if(const std::error_code& error, const std::string& path);
  void sync_before_state();

  const job_setup& job_;
  bool has_totals_ = false;
  bool has_state_ = false;
  bool state_is_made_ = false;
  // By a fresh start: the files that it moved, and the content of the state file that it replaced.
  struct moved_file {
    std::string path;
    std::string from;  // the path with links resolved
    std::string to;
  };
  std::vector<moved_file> moved_;
  std::optional<std::string> state_before_;
  std::optional<std::string> totals_before_;  // their content, if they were not moved
  bool totals_are_written_ = false;           // by a checkpoint
  // The state file that could not be synced, and why. For the thread of end_checkpoint().
  std::shared_ptr<file> unsynced_state_;
  std::error_code state_fault_;

  mutable std::mutex mutex_;  // guards the following members once a run is active
  lines_file output_;
  lines_file errors_;
  state_file state_;
  std::uint64_t errors_before_ = 0;  // bytes of the errors file that earlier runs wrote
  std::string rescued_;              // the message about files that another program took away
};

}  // namespace sluice
