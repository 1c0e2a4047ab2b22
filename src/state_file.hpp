#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "file_system.hpp"
#include "hash.hpp"
#include "sluice/money.hpp"
#include "sluice/result_sink.hpp"

namespace sluice {

/// Counters of a job's whole life that stand in none of its lines.
struct life_counters {
  std::uint64_t attempts = 0;
  std::uint64_t retries = 0;
  std::uint64_t maybe_billed_attempts = 0;
  std::uint64_t max_requests_in_60s = 0;
  double wall_s = 0;
  /// What counts for the budget beside the lines: the most that attempts of unknown outcome can
  /// have cost, and what results did that had to make room.
  usd kept;
};

/// The sidecar of a job, `x.state`: what must outlive a crash beside the lines themselves. It opens
/// with a summary, and each attempt adds a record when it starts, before its first byte goes out,
/// and one when it ends without a line. An attempt that has neither a record of its end nor a line
/// was in flight when the run died. Lines win over it: a record that they contradict counts no
/// more.
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
  };

  state_file(file_system& files, std::string path) : files_(files), path_(std::move(path)) {}

  /// Reads what an earlier run left. False: there is none. Throws when there is, and it cannot be
  /// read.
  bool load();
  bool damaged() const noexcept { return damaged_; }
  const std::string& identity() const noexcept { return identity_; }
  void identify(std::string identity) { identity_ = std::move(identity); }
  life_counters& counters() noexcept { return counters_; }
  const life_counters& counters() const noexcept { return counters_; }

  /// Of a request that was sent and has no line since; null when there is nothing to tell.
  const unfinished* find(const hash128& id) const;
  bool has_unfinished() const noexcept { return !unfinished_.empty(); }
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
  /// The request has its line.
  void settled(const hash128& id) { unfinished_.erase(key(id)); }

  /// Writes the file anew, with the summary alone. Lines that settled something must have reached
  /// the disk before. When it throws, nothing more must be sent: what still ends is not kept, and
  /// counts as in flight for the next run.
  void write();
  /// The file that records go into, to be synced on another thread; write() opens another one.
  std::shared_ptr<file> opened() const noexcept { return file_; }
  /// Removes the file, where there is one, so that it stays removed.
  std::error_code remove();

 private:
  using id_key = std::pair<std::uint64_t, std::uint64_t>;
  static id_key key(const hash128& id) { return {id.high, id.low}; }
  bool read_summary(std::string_view line);
  bool read_record(std::string_view line);
  void apply_end(unfinished& request, const id_key& id, attempt_end how, usd line_cost = {});
  void append(std::string_view record);

  file_system& files_;
  std::string path_;
  std::shared_ptr<file> file_;
  std::uint64_t size_ = 0;
  bool torn_ = false;  // half a record stands behind that
  std::string identity_;
  life_counters counters_;
  std::map<id_key, unfinished> unfinished_;
  bool damaged_ = false;
};

}  // namespace sluice
