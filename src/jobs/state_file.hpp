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
#include "sluice/money.hpp"
#include "sluice/result.hpp"
#include "sluice/result_sink.hpp"

namespace sluice {

/// Counters of a job's whole life that stand in none of its lines.
struct life_counters {
  std::uint64_t attempts = 0;
  std::uint64_t retries = 0;
  std::uint64_t maybe_billed_attempts = 0;
  std::uint64_t max_requests_in_60s = 0;
  double wall_s = 0;
  /// The rate limit of the last run that sent something, in requests per minute; 0: it had none.
  std::optional<std::uint64_t> rpm;
  /// What counts for the budget beside the lines: the most that attempts of unknown outcome can
  /// have cost, and what results did that had to make room.
  usd kept;
  /// What the lines had cost when somebody took their file away; zero: nobody did.
  usd taken;
};

/// The sidecar of a job, `x.state`: what must outlive a crash beside the lines themselves. It opens
/// with a summary, and each attempt adds a record when it starts and one when it ends without a
/// line. Records are written together: write_records() comes before the first byte of the attempts
/// goes out, and before a line that belongs to an end. An attempt that has neither a record of its
/// end nor a line was in flight when the run died. Lines win over it: a record that they contradict
/// counts no more.
///
/// Not thread safe. Throws fatal_error when it cannot be written.
class state_file {
 public:
  /// What is known of a request that has been sent and has no line for it yet.
  struct unfinished {
    std::uint32_t attempts = 0;  ///< over the life of the request, its earlier lines' included
    bool open = false;           ///< the last of them has not ended
    bool has_result = false;     ///< it has, with a result whose line is about to be written
    usd reserved;                ///< for the open one
    usd line_cost;               ///< of a result: what its line is to tell
    usd kept;                    ///< of the budget, for attempts since its last line
    std::string model;           ///< that the rejected replies were for
    std::vector<rejected_reply> rejected;  ///< since its last line
  };

  /// `output`: the name of the file that it records the results of.
  state_file(file_system& files, std::string path, std::string output)
      : files_(files), path_(std::move(path)), output_(std::move(output)) {}

  /// Reads what an earlier run left. False: there is none. Throws when there is, and it cannot be
  /// read, is not ours or records another output.
  bool load();
  /// Whether it is on record that the output is ours.
  bool records_output() const noexcept { return records_output_; }
  bool damaged() const noexcept { return damaged_; }
  const std::string& identity() const noexcept { return identity_; }
  void identify(std::string identity) { identity_ = std::move(identity); }
  life_counters& counters() noexcept { return counters_; }
  const life_counters& counters() const noexcept { return counters_; }

  /// Of a request that was sent and has no line since; null when there is nothing to tell.
  const unfinished* find(const hash128& id) const;
  bool has_unfinished() const noexcept { return !unfinished_.empty(); }
  /// What is kept for requests that have no line for it yet.
  usd kept_for_unfinished() const;
  /// What the lines tell of a request.
  struct line_told {
    std::uint32_t attempts = 0;
    std::optional<attempt_end> last_end;  ///< of the last one; unset: a result whose cost is known
  };
  /// Holds what was loaded against the lines. An attempt that they know of has ended as they tell,
  /// should a power cut have taken the record of that; one that is still open was in flight as the
  /// run died.
  void reconcile(const std::function<line_told(const hash128& id)>& lines);

  void started(const hash128& id, std::uint32_t attempt, usd reserved);
  /// The attempt ended without a line, or its line is about to be written and does not settle what
  /// was reserved: of that is kept what the line's own cost, an estimate, does not cover.
  void ended(const hash128& id, attempt_end how, usd line_cost = {});
  /// Writes the records of started(), ended() and rejected() to the file. When it throws, they are
  /// kept, and the next call writes them.
  void write_records();
  /// The attempt ended with a reply that is rejected. `keep`: of its reservation, what its cost
  /// does not cover.
  void rejected(const hash128& id, const std::string& model, const rejected_reply& reply, usd keep);
  /// Visits the requests that have no line for a rejected reply yet.
  void for_each_rejected(const std::function<void(const std::string& model,
                                                  const rejected_reply& reply)>& visit) const;
  /// Forgets the rejected replies; what they have cost is kept from here on.
  void keep_rejected();
  /// The request has its line.
  void settled(const hash128& id) { unfinished_.erase(key(id)); }

  /// Forgets all that was loaded but the money that is to be kept.
  void start_over(std::string identity, usd kept);

  /// Writes the file anew, with the summary alone. Lines that settled something must have reached
  /// the disk before. When it throws, nothing more must be sent: what still ends is not kept, and
  /// counts as in flight for the next run.
  void write();

  /// The same in steps, so that nobody waits for a disk meanwhile: begin_writing(), then
  /// write_beside() on another thread beside any other call, then place(), the folder's sync, and
  /// end_writing(), whatever came between. What is recorded meanwhile goes to both files.
  class rewrite {
   public:
    /// Writes the new file beside the old one, and has it on the disk.
    void write_beside();

   private:
    friend class state_file;
    file_system* files_ = nullptr;
    std::string shown_;   // as the user named it
    std::string target_;  // behind links
    std::string fresh_;
    std::string summary_;
    std::shared_ptr<file> file_;
    std::uint64_t size_ = 0;
  };
  rewrite begin_writing();
  /// Adds to it what was recorded since it was begun, up to now. True: there was something, which
  /// sync() of its file is to bring to the disk before place().
  bool catch_up(rewrite& fresh);
  std::error_code sync(rewrite& fresh) const { return fresh.file_->sync(); }
  /// Puts the new file in the place of the old one. Records that catch_up() has not seen are in it
  /// as well, but not on the disk.
  void place(rewrite& fresh);
  void end_writing() noexcept {
    writing_ = false;
    since_.clear();
  }

  /// The file that records go into now, to be synced by another thread.
  std::shared_ptr<file> opened() const noexcept { return file_; }
  /// Removes the file, where there is one, so that it stays removed.
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
  [[noreturn]] void cannot_write(const std::error_code& why) const;

  file_system& files_;
  std::string path_;
  std::string output_;
  bool records_output_ = false;
  std::shared_ptr<file> file_;
  std::uint64_t size_ = 0;
  bool torn_ = false;      // half a record stands behind that
  std::string unwritten_;  // records that write_records() is to write
  std::string identity_;
  life_counters counters_;
  std::map<id_key, unfinished> unfinished_;
  bool damaged_ = false;
  bool writing_ = false;
  std::string since_;  // records since begin_writing() that the new file lacks
};

}  // namespace sluice
