#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dice.hpp"
#include "files/file_system.hpp"
#include "simulated_clock.hpp"
#include "trace.hpp"

namespace sluice::simulation {

/// When the disk fails, in operations since the start of the process.
struct disk_faults {
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t crash_at = never;      ///< the process dies during this operation
  std::uint64_t full_from = never;     ///< the disk is full from this operation on
  std::uint64_t full_for = 0;          ///< the number of operations for which the disk is full
  std::uint64_t no_sync_at = never;    ///< the first sync from this operation on fails
  std::uint64_t no_handle_at = never;  ///< the first open from this operation on fails
};

/// A simulated disk with a cache. All changes are in the cache at once, so they survive a killed
/// process. After a power failure, only synced changes and a random part of the other changes
/// survive. A process that could not sync a file never gets it onto the disk; a new process does,
/// because no process can know of the fault of an earlier one.
///
/// A simulated process cannot really be killed. After its death the code still runs, but its file
/// operations have no effect.
class simulated_files final : public file_system {
 public:
  static constexpr std::chrono::milliseconds longest_aside{50};

  simulated_files(simulated_clock& time, dice random, trace& events)
      : time_(time), random_(random), trace_(events) {}

  /// Starts a new process on the same disk.
  void boot(const disk_faults& faults);
  void die();
  std::function<void()> on_death;
  bool dead() const noexcept { return dead_; }
  /// A power failure between processes: all or some of the unsynced changes are lost.
  void lose_power();

  bool failed() const noexcept { return failed_; }  ///< a fault has happened since boot()
  std::optional<std::string> content(const std::string& path) const;
  /// The size of a file at a time in the past.
  std::size_t written_before(const std::string& path, time_point when) const;
  std::uint64_t operations() const noexcept { return operations_; }

  std::unique_ptr<file> open(const std::string& path, open_as how, std::error_code& error) override;
  std::error_code rename(const std::string& from, const std::string& to) override;
  std::error_code remove(const std::string& path) override;
  std::error_code sync_folder_of(const std::string& path) override;
  std::error_code make_folders(const std::string& path) override;
  bool exists(const std::string& path) override;
  bool is_folder(const std::string& path) override;
  bool is_writable_folder(const std::string& path) override;
  std::string resolved(const std::string& path) override { return path; }
  bool is_at(const file& opened, const std::string& path) override;
  void run_in_background(std::function<void()> slow) override;
  void finish_background() override;

 private:
  struct inode {
    std::string content;
    std::string durable;
    bool is_lost = false;  // a sync failed; later ones report no error and sync nothing
    std::vector<std::pair<time_point, std::size_t>> written;  // the content's size after each write
  };
  using names = std::map<std::string, std::shared_ptr<inode>>;
  struct open_file;

  bool begin(const char* what, const std::string& path);
  bool full() const noexcept;
  void keep_names();
  void next_aside();

  simulated_clock& time_;
  dice random_;
  trace& trace_;
  names now_;
  std::vector<names> unsynced_;  // all states of the names since the last sync of the folder
  disk_faults faults_;
  std::uint64_t operations_ = 0;
  bool dead_ = false;
  bool failed_ = false;
  std::deque<std::function<void()>> aside_;
  clock::timer aside_timer_ = 0;
};

}  // namespace sluice::simulation
