#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "limit_window.hpp"
#include "sluice/clock.hpp"

namespace sluice {

/// Where the window of a relay and key lives: in this process alone, or in a file that all
/// processes of the machine share and that outlives them. Not thread safe within a process.
///
/// The file is mapped, and every look at it happens under a lock of its first byte. Each process
/// holds a lock on a byte of its own besides, for as long as it lives. The kernel gives both up
/// when a process ends, however it ends: so nobody is held up by the dead, and what they took and
/// had not sent is known to be theirs.
class limit_store {
 public:
  /// What the machine has slept since it started, which is no less than `known`.
  using sleep_meter = std::function<limit_window::moment(limit_window::moment known)>;

  /// In the process alone.
  limit_store();
  limit_store(const limit_store&) = delete;
  limit_store& operator=(const limit_store&) = delete;
  ~limit_store();

  /// In the file at `path`, which is opened, or made, when it is first needed. One that is damaged,
  /// empty or of another start of the machine counts as if the limit had been used up just now.
  /// Where it cannot be shared, or no more, the window is this process's own, and `told` is called
  /// once with the reason.
  limit_store(std::string path, const boot_id& boot, limit_window::moment margin,
              std::function<void(const std::string& why)> told, sleep_meter slept = machine_slept);

  /// The window as it is at `now`, held against other processes while the object lives.
  class hold {
   public:
    hold(limit_store& store, time_point now);
    hold(const hold&) = delete;
    hold& operator=(const hold&) = delete;
    ~hold();
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
  };

  std::size_t owner() const noexcept { return owner_; }
  bool is_shared() const noexcept { return file_ >= 0; }
  /// Whether another process that is alive uses the window.
  bool has_company() const noexcept;
  /// Counts what processes took that have died since as sent now. Under a hold.
  void bury_the_dead(limit_window::moment now);

 private:
  static limit_window::moment machine_slept(limit_window::moment known) noexcept;
  void prepare(time_point now);
  std::string attach(limit_window::moment now, bool missed);
  void keep_to_itself(limit_window::moment now, limit_window::moment unknown_until);
  void detach() noexcept;
  void check_file(limit_window::moment now);

  std::unique_ptr<limit_window> own_;
  limit_window* window_ = nullptr;
  std::size_t owner_ = 0;
  std::string path_;
  boot_id boot_{};
  limit_window::moment margin_{};
  std::function<void(const std::string& why)> told_;
  sleep_meter sleep_meter_;
  limit_window::moment slept_{};  // the machine, since it started
  int file_ = -1;
};

/// The name of a window's file: tells neither relay nor key (HMAC-SHA256 of the origin under the
/// key, in hex).
std::string limit_file_name(std::string_view origin, std::string_view key);

/// The machine's present start, as the kernel names it; zeros where it does not say.
boot_id current_boot();

}  // namespace sluice
