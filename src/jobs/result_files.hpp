#pragma once

#include <cstdint>
#include <functional>
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
#include "jobs/result_line.hpp"
#include "jobs/state_file.hpp"
#include "sluice/money.hpp"
#include "sluice/result_sink.hpp"

namespace sluice {

/// The files of one job that a run writes (output, errors, totals and state), for one thread until
/// create(), then for any, and for one alone again at the end of the run.
///
/// They are opened and locked as the object is made, which changes nothing: the first thing that
/// writes is create(), or drop_results(). Throws fatal_error whose sentence names the file.
class result_files {
 public:
  /// Opens and locks what earlier runs left. Throws when that is not provably theirs. The setup
  /// must outlive the object.
  explicit result_files(const job_setup& job);

  // What earlier runs left: before create().
  bool have_lines() const noexcept { return output_.file.size() > 0 || errors_.file.size() > 0; }
  bool have_totals() const noexcept { return has_totals_; }
  bool have_state() const noexcept { return has_state_; }
  state_file& state() noexcept { return state_; }
  /// Visits every line of the output, then those of the errors file.
  void read_lines(const std::function<void(const stored_line& line, bool success)>& visit);
  /// Takes the results out of the output that do not stand. What they have cost stays on record.
  void drop_results(const std::function<bool(const stored_line& line)>& stands);

  /// Makes the files that are not there yet, and cuts off what a crash tore. With --fresh, moves
  /// those aside that are. When it throws, it has taken back what it made.
  void create();
  /// Removes the files that create() made: the run does not start after all.
  void take_back() noexcept;

  // Attempts, in the state file.
  void attempt_started(const hash128& id, std::uint32_t number, usd reserved);
  void attempt_ended(const hash128& id, attempt_end how, usd line_cost = {});
  /// As those of state_file.
  void rejected(const hash128& id, const std::string& model, const rejected_reply& reply, usd keep);
  /// Counts this amount against the budget, because no line or record contains it any more.
  void keep(usd amount);
  /// Takes the rejected replies that stand in no line out of the state file and keeps their cost.
  std::vector<std::pair<std::string, rejected_reply>> keep_rejected();
  /// What is recorded of a request that has been sent and has no line since.
  std::optional<state_file::unfinished> unfinished(const hash128& id) const;
  bool have_unfinished() const;
  /// Brings what is recorded of attempts to the disk; from the thread of end_checkpoint() alone.
  /// Writes the records of attempts.
  void write_records();
  std::error_code sync_state();
  life_counters counters() const;
  /// Of the job's whole life.
  void set_times(double wall_s, std::uint64_t max_requests_in_60s);
  void set_rate_limit(std::uint64_t rpm);
  const std::string& identity() const noexcept { return state_.identity(); }

  // Lines. What cannot be written is kept, and tried again by the next flush().
  /// The line of a result, which ends its attempts.
  void put(const hash128& id, std::string_view line, bool success);
  /// The line of what was not sent. Of very many they are written at once.
  void put_bad_line(std::string_view line);
  void flush();
  void sync();
  /// Finished lines that could not be written so far.
  std::uint64_t unwritten() const;
  bool disk_is_full() const;
  /// The id of the first result in the output that `is_meant`; empty: there is none.
  std::string find_result(const std::function<bool(const std::string& custom_id)>& is_meant) const;

  /// Visits the lines that are in the files, those of the output first, with the place where each
  /// begins. `is_old`: an earlier run wrote it to the errors file.
  void read_written(const std::function<void(const stored_line& line, bool success,
                                             std::uint64_t offset, bool is_old)>& visit) const;
  /// The line that begins there, in the output or in the errors file.
  std::string line_at(bool success, std::uint64_t offset) const;

  /// Throws when the files are not as this run has left them: others have replaced or shortened
  /// them. What is still known of them stands aside then.
  void require_intact();

  // The end of a run, when no other thread is in a call.
  /// As require_intact(), for good: files that others have touched get no more lines, and what is
  /// known of them goes elsewhere, once. `paid`: what counts as spent on results that do not come
  /// back.
  void rescue(usd paid);
  /// Brings the errors file in order after the last line: of two lines for one request, or for one
  /// bad line, the later one stands; and of those that an earlier run left, the ones that
  /// `is_stale` are dropped.
  void tidy_errors(const std::function<bool(const stored_line& line)>& is_stale);
  void give_back_room();
  /// Brings both files into job order. When it throws, a file that is not in order is as it was.
  void sort();

  /// Writes the totals file, and the state file while there is something for it to hold. In two
  /// steps, of which the second waits for the disk and may be taken on another thread, beside all
  /// calls but checkpoints.
  struct checkpoint {
    std::string totals;
    std::optional<state_file::rewrite> state;  ///< nothing: the job is complete and needs none
  };
  checkpoint begin_checkpoint(std::string totals, bool needs_state);
  void end_checkpoint(checkpoint&& begun);

 private:
  // What a crash left at the end of a file.
  struct torn_end {
    std::uint64_t good = 0;      // bytes of whole lines
    bool lacks_newline = false;  // of the last of them
    std::uint64_t lines = 0;
  };
  // A file of lines, and what goes into it.
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
  torn_end read(const output_file& file, bool successes,
                const std::function<void(const stored_line&, bool)>& visit) const;
  static void mend(output_file& file, const torn_end& end);
  void move_aside();
  void place_state(state_file::rewrite& fresh);

  const job_setup& job_;
  bool has_totals_ = false;
  bool has_state_ = false;
  bool state_is_made_ = false;

  mutable std::mutex mutex_;  // guards what follows once a run is on
  lines_file output_;
  lines_file errors_;
  state_file state_;
  std::uint64_t errors_before_ = 0;  // bytes of the errors file that earlier runs wrote
  std::string rescued_;              // what is to be said of files that were taken away
};

}  // namespace sluice
