#pragma once

#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "files/locks.hpp"
#include "sluice/clock.hpp"
#include "upstream/limit_window.hpp"

namespace sluice {

/// Names a machine; the same after a restart.
using machine_id = std::array<unsigned char, 16>;

/// A machine, and which of its starts.
///
/// The boot alone tells whose file a window is. Containers of one kernel have the same boot, the
/// same clock and the same locks, so they share a window, whatever machine they take themselves
/// for. The machine tells whether a file of another boot is this machine's own earlier one.
struct host_id {
  boot_id boot{};  ///< zeros: the kernel does not say
  machine_id machine{};
};

/// Where the window of a relay and key lives: in this process alone, or in a file that all
/// processes of the machine share and that outlives them. Not thread safe within a process.
///
/// The file is mapped, and every look at it happens under a lock of its first byte. Each process
/// holds a lock on a byte of its own besides, for as long as it lives. The kernel gives both up
/// when a process ends, however it ends. A process that is stopped keeps its locks, so nobody waits
/// for one: whoever does not get the lock has no window for now, and asks again later.
class limit_store {
 public:
  /// What the machine has slept since it started, which is no less than `known`.
  using sleep_meter = std::function<limit_window::moment(limit_window::moment known)>;

  /// What a person should know of it. Each is called at most once for one cause.
  struct reports {
    /// The window is this process's own, because of `why`.
    std::function<void(const std::string& why)> not_shared;
    /// Nothing has started for `patience`, since another process keeps the lock.
    std::function<void(const std::optional<lock_holder>& who)> held_up =
        [](const std::optional<lock_holder>&) {};
    /// A window of another machine lies beside this one, and was used lately.
    std::function<void()> other_machine = [] {};
  };

  static constexpr duration patience = std::chrono::seconds{2};

  /// In the process alone.
  limit_store();
  limit_store(const limit_store&) = delete;
  limit_store& operator=(const limit_store&) = delete;
  ~limit_store();

  /// In the file of `host` that begins with `path`; it is opened, or made, when it is first needed.
  /// One that is damaged or empty counts as if the limit had been used up just now, and so does a
  /// new one where the machine has a file of an earlier boot.
  limit_store(const std::string& path, const host_id& host, limit_window::moment margin,
              reports tell, sleep_meter slept = machine_slept);

  /// The window as it is at `now`, held against other processes while the object lives; false where
  /// another process keeps it.
  class hold {
   public:
    hold(limit_store& store, time_point now);
    hold(const hold&) = delete;
    hold& operator=(const hold&) = delete;
    ~hold();
    explicit operator bool() const noexcept { return held_; }
    limit_window* operator->() const noexcept { return store_.window_; }
    limit_window::moment now() const noexcept { return now_; }
    /// Since the machine started, and on the clock of the run.
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
  /// It is this process's own, and stays so.
  bool is_private() const noexcept { return own_ != nullptr; }
  /// Changes when another table takes the place of the one before, which knows nothing of the slots
  /// that were taken there.
  std::uint64_t generation() const noexcept { return generation_; }
  /// While another process keeps the lock: when to ask for it again.
  std::optional<time_point> held_up_until() const noexcept;
  /// Whether another process that is alive uses the window.
  bool has_company() const noexcept;
  /// Counts what processes took that have died since as sent now. Under a hold.
  void release_dead_owners(limit_window::moment now);

 private:
  struct table;
  enum class reach : std::uint8_t { held, busy, impossible };

  static limit_window::moment machine_slept(limit_window::moment known) noexcept;
  bool take_hold(limit_window::moment now);
  reach acquire(limit_window::moment now);
  reach open(limit_window::moment now);
  reach lock_table();
  reach map();
  reach make_sound(limit_window::moment now, bool was_cut);
  bool is_in_place(limit_window::moment now, const struct stat& info);
  reach fail(std::string_view why);
  void note_busy(limit_window::moment now);
  void look_around();
  void keep_to_itself(limit_window::moment now, limit_window::moment unknown_until);
  void detach() noexcept;
  limit_window::moment full_until(limit_window::moment now) const noexcept {
    return now + margin_ + limit_window::length;
  }

  std::unique_ptr<limit_window> own_;  // set where the window is not shared
  table* table_ = nullptr;             // the mapped file
  limit_window* window_ = nullptr;     // of either
  std::size_t owner_ = 0;
  std::uint64_t generation_ = 0;
  std::string base_;  // what the names of its files, on all machines, begin with
  std::string path_;
  host_id host_;
  limit_window::moment margin_{};
  reports tell_;
  sleep_meter sleep_meter_;
  limit_window::moment slept_{};  // the machine, since it started
  int file_ = -1;
  bool missed_ = false;    // another file was in use before, of which this one knows nothing
  bool ahead_ = false;     // the file was ahead of the clock when it was last looked at
  bool enlisted_ = false;  // among the owners of the mapped table
  bool looked_around_ = false;
  bool other_machine_seen_ = false;    // and not told of yet
  limit_window::moment made_{};        // the table that this one knows
  std::string why_not_;                // it cannot be shared
  limit_window::moment next_look_{};   // whether the file is still at its path
  limit_window::moment next_touch_{};  // of the file's time, for other machines to see

  // While another process keeps the lock.
  std::optional<limit_window::moment> busy_since_;
  limit_window::moment next_try_{};
  bool held_up_told_ = false;
};

/// What the names of a window's files begin with: tells neither relay nor key (HMAC-SHA256 of the
/// origin under the key, in hex).
std::string limit_file_name(std::string_view origin, std::string_view key);
/// The name of the one that is used on a boot.
std::string limit_file_name(std::string_view base, const boot_id& boot);

/// The machine's present start: as the kernel names it, and where the process lives in a namespace
/// with a clock of its own (`time_namespace` is not the kernel's first), of that. Zeros where
/// `text` names none.
boot_id boot_of(std::string_view text, std::string_view time_namespace);
/// By the text of /etc/machine-id, or where that tells nothing by the name of the host.
machine_id machine_of(std::string_view text, std::string_view host_name);
/// The machine that this process runs on.
host_id current_host();

}  // namespace sluice
