#pragma once

#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/machine_sleep.hpp"
#include "files/locks.hpp"
#include "sluice/clock.hpp"
#include "upstream/limit_window.hpp"
#include "upstream/private_windows.hpp"
#include "upstream/shared_mapping.hpp"

namespace sluice {

/// Id of a machine; the same after a reboot.
using machine_id = std::array<unsigned char, 16>;

/// A machine and its current boot.
///
/// The boot decides which file is used. Containers on one kernel have the same boot, the same clock
/// and the same locks, so they share a window, even if their machine ids differ. The machine id
/// shows whether a file of another boot is from an earlier boot of this machine.
struct host_id {
  boot_id boot{};  ///< zeros: unknown
  machine_id machine{};
};

/// Stores the window of one relay and key: only in this process, or in a file that all processes of
/// the machine share. Not thread safe within a process.
///
/// The file is mapped into memory. Every access happens under a lock, which is a word of the table
/// that names its holder: it is taken and released without a system call. In addition, each process
/// has one byte of the file locked for as long as it lives. The kernel releases this byte when the
/// process ends, even if it is killed. Then the next process that finds the word taken takes the
/// lock over. A stopped process keeps its lock, so no call waits for it: if a call does not get the
/// lock, the caller tries again later.
///
/// The store checks every 10 ms of use that the file was not removed or cut, and every second that
/// it is still at its path. A program should call shared_mapping::handle_cut_files(). Otherwise the
/// kernel kills it (SIGBUS) if another program has cut the file and it uses the file before the
/// next check.
class limit_store {
 public:
  /// As machine_slept().
  using sleep_meter =
      std::function<limit_window::moment(limit_window::moment known, time_point steady)>;

  /// Callbacks for things that the user should know. Each is called at most once for one cause.
  struct reports {
    /// The window is not shared, because of `why`.
    std::function<void(const std::string& why)> not_shared;
    /// Another process has held the lock for `patience`, so nothing could start.
    std::function<void(const std::optional<lock_holder>& who)> held_up =
        [](const std::optional<lock_holder>&) {};
    /// The folder contains a window of another machine that was used recently.
    std::function<void()> other_machine = [] {};
  };

  static constexpr duration patience = std::chrono::seconds{2};
  /// How often it checks that the file was not removed or cut.
  static constexpr duration check_interval = std::chrono::milliseconds{10};

  /// A window of this process only.
  limit_store();
  limit_store(const limit_store&) = delete;
  limit_store& operator=(const limit_store&) = delete;
  ~limit_store();

  /// A window in the file of `host` whose name begins with `path`. It is opened or created at first
  /// use. A damaged or empty file counts as if the limit had just been used up; so does a new file
  /// if the machine has one of an earlier boot.
  limit_store(const std::string& path, const host_id& host, limit_window::moment margin,
              reports callbacks, sleep_meter slept = machine_slept);

  /// If the file cannot be used, goes on with a window in `threads`, as all threads of this process
  /// that have it do. Call it before the first use.
  void fall_back_to(std::shared_ptr<private_windows> threads) { threads_ = std::move(threads); }

  /// Locks the window at `now`, for the lifetime of this object. False if another process has the
  /// lock.
  class hold {
   public:
    hold(limit_store& store, time_point now);
    hold(const hold&) = delete;
    hold& operator=(const hold&) = delete;
    ~hold();
    explicit operator bool() const noexcept { return held_; }
    limit_window* operator->() const noexcept { return store_.window_; }
    limit_window::moment now() const noexcept { return now_; }
    // Conversion between the run's clock and the time since boot.
    limit_window::moment moment_of(time_point when) const noexcept {
      return when.time_since_epoch() + offset_;
    }
    time_point time_of(limit_window::moment when) const noexcept {
      return time_point(when - offset_);
    }

   private:
    limit_store& store_;
    limit_window::moment offset_{};
    limit_window::moment now_{};
    bool held_ = false;
  };

  std::size_t owner() const noexcept { return owner_; }
  /// The window is not shared, and will not be.
  bool is_private() const noexcept { return own_ != nullptr; }
  /// Changes when the table is replaced by another one. The new table does not contain the slots
  /// that were taken in the old one.
  std::uint64_t generation() const noexcept { return generation_; }
  /// While another process has the lock: when to try again.
  std::optional<time_point> held_up_until() const noexcept;
  /// Whether another living process uses the window.
  bool has_company() const noexcept;
  /// Counts unsent starts of dead processes as sent now. Call it while holding the lock.
  void release_dead_owners(limit_window::moment now);

 private:
  struct table;
  enum class reach : std::uint8_t { held, busy, impossible };

  bool take_hold(limit_window::moment now);
  reach acquire(limit_window::moment now);
  reach open(limit_window::moment now);
  reach check_file(limit_window::moment now, bool& in_place);
  reach reserve();
  reach restore();
  reach join();
  reach lock_file(off_t byte, bool (*lock)(int file, off_t begin, off_t length));
  reach lock_table();
  void unlock_table() noexcept;
  reach make_sound(limit_window::moment now);
  bool is_in_place(limit_window::moment now, const struct stat& info);
  reach fail(std::string_view why);
  void note_busy(limit_window::moment now);
  bool move_to_threads();
  void look_around();
  void keep_to_itself(limit_window::moment now, limit_window::moment unknown_until);
  void detach() noexcept;
  limit_window::moment full_until(limit_window::moment now) const noexcept {
    return now + margin_ + limit_window::length;
  }

  std::unique_ptr<limit_window> own_;  // set if the window is not shared
  shared_mapping mapping_;
  table* table_ = nullptr;          // the mapped file
  limit_window* window_ = nullptr;  // in `own_` or `table_`
  std::size_t owner_ = 0;
  std::uint64_t generation_ = 0;
  std::string base_;  // common prefix of its file names on all machines
  std::string path_;
  host_id host_;
  limit_window::moment margin_{};
  reports reports_;
  sleep_meter sleep_meter_;
  limit_window::moment slept_{};  // time asleep since boot
  int file_ = -1;
  // number of its last lock; all locks of a table have different numbers
  std::uint64_t ticket_ = 0;
  bool locked_ = false;    // it holds the table's lock
  off_t busy_byte_ = 0;    // position of the byte that the process in the way has locked
  bool cut_ = false;       // the file was cut, and the table is to be reset
  bool missed_ = false;    // a file that was in use before is gone; its starts are unknown here
  bool ahead_ = false;     // at the last access, the file was ahead of the clock
  bool enlisted_ = false;  // this process is an owner in the mapped table
  bool alone_ = false;     // no other process uses the file
  bool looked_around_ = false;
  bool other_machine_seen_ = false;           // but not reported yet
  limit_window::moment made_{};               // identifies the table in use
  std::string why_not_;                       // why the window cannot be shared
  std::shared_ptr<private_windows> threads_;  // null: none, or it has moved there
  limit_window::moment next_check_{};         // next check that the file was not removed or cut
  limit_window::moment next_look_{};          // next check that the file is still at its path
  limit_window::moment next_touch_{};  // next update of the file's time, which other machines read

  // State while another process has the lock.
  std::optional<limit_window::moment> busy_since_;
  limit_window::moment next_try_{};
  bool held_up_reported_ = false;
};

/// Common prefix of the file names of a window. It reveals neither relay nor key: HMAC-SHA256 of
/// the origin under the key, in hex.
std::string limit_file_name(std::string_view origin, std::string_view key);
/// The file name for one boot.
std::string limit_file_name(std::string_view base, const boot_id& boot);

/// Id of the current boot. `text` is the kernel's boot id; in a time namespace that has a clock of
/// its own (`time_namespace` is not the kernel's first one), a hash of both. Zeros if `text` is not
/// an id.
boot_id boot_of(std::string_view text, std::string_view time_namespace);
/// A hash of the content of /etc/machine-id, or of the host name if the content is not an id.
machine_id machine_of(std::string_view text, std::string_view host_name);
/// The machine and boot of this process.
host_id current_host();

}  // namespace sluice
