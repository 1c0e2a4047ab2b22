#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.hpp"
#include "files/file_system.hpp"
#include "json/text.hpp"
#include "sluice/money.hpp"
#include "sluice/result.hpp"
#include "sluice/result_sink.hpp"

namespace sluice {

/// Counters of a job's whole life that none of its lines contains.
struct life_counters {
  std::uint64_t attempts = 0;
  std::uint64_t retries = 0;
  std::uint64_t maybe_billed_attempts = 0;
  std::uint64_t max_requests_in_60s = 0;
  double wall_s = 0;
  /// The rate limit of the last run that sent something, in requests per minute; 0: it had none.
  std::optional<std::uint64_t> rpm;
  /// The amount that counts against the budget in addition to the lines: the highest possible cost
  /// of attempts with an unknown outcome, and the cost of results that were removed.
  usd kept;
  /// If the output or the errors file was taken away: the cost of the lines of both; otherwise
  /// zero.
  usd taken;
};

/// The state file of a job, `x.state`. It stores what must survive a crash in addition to the
/// lines. It begins with a summary. Each attempt adds a record when it starts, and another when it
/// ends without a line. Records are written together: write_records() is called before the first
/// byte of the attempts is sent, and before a line whose attempt has an end record. An attempt with
/// neither an end record nor a line was in flight when the run died. If a record contradicts a
/// line, the line counts.
///
/// Not thread safe. Throws fatal_error if the file cannot be written.
class state_file {
 public:
  /// The state of a request that was sent and has had no line since.
  struct unfinished {
    /// Over the life of the request, including those in its earlier lines.
    std::uint32_t attempts = 0;
    bool open = false;        ///< the last attempt has not ended
    bool has_result = false;  ///< the last attempt has a result whose line is about to be written
    usd reserved;             ///< for the open attempt
    usd line_cost;            ///< for a result: the cost that its line will contain
    usd kept;                 ///< of the budget, for attempts since its last line
    std::string model;        ///< the model of the rejected replies
    std::vector<rejected_reply> rejected;  ///< since its last line
  };

  /// `output`: the name of the output file that this state file belongs to. `simulated`: this run
  /// is; it is written to the file.
  state_file(file_system& files, std::string path, std::string output, bool simulated = false)
      : files_(files),
        path_(std::move(path)),
        output_(valid_utf8(std::move(output))),
        simulated_(simulated) {}

  /// Reads the file that an earlier run left. False: there is none. Throws if it cannot be read, is
  /// not ours, or belongs to another output.
  bool load();
  /// Whether the file records that the output is ours.
  bool records_output() const noexcept { return records_output_; }
  bool damaged() const noexcept { return damaged_; }
  /// Whether the run that wrote the loaded file was simulated; nothing: the file does not say so.
  std::optional<bool> was_simulated() const noexcept { return was_simulated_; }
  const std::string& identity() const noexcept { return identity_; }
  void identify(std::string identity) { identity_ = std::move(identity); }
  life_counters& counters() noexcept { return counters_; }
  const life_counters& counters() const noexcept { return counters_; }

  /// The state of a request that was sent and has had no line since; null if there is none.
  const unfinished* find(const hash128& id) const;
  bool has_unfinished() const noexcept { return !unfinished_.empty(); }
  /// Whether one of these requests was sent and has had no line since.
  bool has_unfinished(const std::function<bool(const hash128& id)>& counts) const;
  /// The amount kept for requests whose lines do not contain it yet.
  usd kept_for_unfinished() const;
  /// The facts that the lines contain about a request.
  struct line_told {
    std::uint32_t attempts = 0;
    /// Of the last attempt; unset: a result whose cost is known.
    std::optional<attempt_end> last_end;
  };
  /// Compares the loaded records with the lines. If the lines contain an attempt, it has ended as
  /// they say, even if a power failure destroyed its end record. An attempt that is still open
  /// after that was in flight when the run died.
  void reconcile(const std::function<line_told(const hash128& id)>& lines);

  void started(const hash128& id, std::uint32_t attempt, usd reserved);
  /// The attempt ended without a line, or its line is about to be written and does not replace the
  /// reservation. In the second case, the part of the reservation that the estimated cost in the
  /// line does not cover is kept.
  void ended(const hash128& id, attempt_end how, usd line_cost = {});
  /// Writes the records of started(), ended() and rejected() to the file. If it throws, the records
  /// are kept, and the next call writes them.
  void write_records();
  /// The attempt ended with a rejected reply. `keep`: the part of its reservation that its cost
  /// does not cover.
  void rejected(const hash128& id, const std::string& model, const rejected_reply& reply, usd keep);
  /// Visits the rejected replies of requests that have no line for them yet.
  void for_each_rejected(const std::function<void(const hash128& id, const std::string& model,
                                                  const rejected_reply& reply)>& visit) const;
  /// Removes the rejected replies of the requests for which `is_gone` is true; their cost is kept
  /// from now on.
  void keep_rejected(const std::function<bool(const hash128& id)>& is_gone);
  /// Call it when the request has its line.
  void settled(const hash128& id) { unfinished_.erase(key(id)); }

  /// Removes everything that was loaded, except the money that must be kept.
  void start_over(std::string identity, usd kept);

  /// Writes the file again, with only the summary. Lines that ended an attempt must be on the disk
  /// before. If it throws, nothing more may be sent: attempts that still end are not recorded, and
  /// count as in flight for the next run.
  void write();
  /// The same without the sync of the folder, which must follow before anything is sent.
  void write_without_folder_sync();
  /// True: the file consists of the present summary, so that write() would change nothing.
  bool is_current() const;
  /// Writes the file with this content instead of its own.
  void restore(std::string content);

  /// The same in steps, so that no other thread waits for a disk: begin_writing(); then
  /// write_beside() on another thread, at the same time as any other call; then place(), the sync
  /// of the folder, and end_writing(), even if a step failed. Records that are added in the
  /// meantime go to both files.
  class rewrite {
   public:
    /// Writes the new file next to the old one, and syncs it to disk.
    void write_beside();

   private:
    friend class state_file;
    file_system* files_ = nullptr;
    std::string shown_;   // the path as the user named it
    std::string target_;  // the path with links resolved
    std::string fresh_;
    std::string summary_;
    std::shared_ptr<file> file_;
    std::uint64_t size_ = 0;
  };
  rewrite begin_writing();
  /// Adds the records since begin_writing() to the new file. True: there were some; sync() must
  /// bring them to the disk before place().
  bool catch_up(rewrite& fresh);
  std::error_code sync(rewrite& fresh) const { return fresh.file_->sync(); }
  /// Replaces the old file with the new one. Records that catch_up() has not added are added as
  /// well, but they are not synced to disk.
  void place(rewrite& fresh);
  void end_writing() noexcept {
    writing_ = false;
    since_.clear();
  }

  /// The file to which records are written now; another thread may sync it.
  std::shared_ptr<file> opened() const noexcept { return file_; }
  /// Removes the file if it exists, and syncs its folder, so that it stays removed.
  std::error_code remove();

 private:
  using id_key = std::pair<std::uint64_t, std::uint64_t>;
  static id_key key(const hash128& id) { return {id.high, id.low}; }
  bool read_summary(std::string_view line);
  bool read_record(std::string_view line);
  void begin_attempt(const hash128& id, std::uint32_t number, usd reserved);
  void apply_end(unfinished& request, const id_key& id, attempt_end how, usd line_cost = {});
  void apply_rejected(unfinished& request, std::string model, rejected_reply reply, usd keep);
  std::string summary() const;
  void replace(rewrite& fresh);
  void sync_folder();
  [[noreturn]] void cannot_write(const std::error_code& why) const;

  file_system& files_;
  std::string path_;
  std::string output_;
  bool simulated_;
  std::optional<bool> was_simulated_;
  bool records_output_ = false;
  std::shared_ptr<file> file_;
  std::uint64_t size_ = 0;
  hash128 written_;  // of the summary in the file
  std::uint64_t summary_size_ = 0;
  bool torn_ = false;      // an incomplete record follows after `size_` bytes
  std::string unwritten_;  // records that write_records() will write
  std::string identity_;
  life_counters counters_;
  std::map<id_key, unfinished> unfinished_;
  bool damaged_ = false;
  bool writing_ = false;
  std::string since_;  // records since begin_writing() that the new file does not have yet
};

}  // namespace sluice
