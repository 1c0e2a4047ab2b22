#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::cli {

/// The service manager that started the program, systemd mostly: it learns when the program is
/// ready, what it does and that it is alive (sd_notify(3)). Every message is one datagram to the
/// socket that $NOTIFY_SOCKET names; without one, or when nothing reads it, the message is dropped.
/// Never blocks. For one thread at a time.
class service_manager {
 public:
  /// Reads the environment.
  service_manager();
  service_manager(const service_manager&) = delete;
  service_manager& operator=(const service_manager&) = delete;
  ~service_manager();

  /// A line of the protocol, like "READY=1"; several are parted by newlines.
  void tell(std::string_view state) const;
  /// The program reads its settings again; READY=1 ends that.
  void reloading() const;
  /// "STATUS=" and the text, in one line.
  void show(std::string_view text) const;
  /// How often it wants to hear "WATCHDOG=1", with a margin: half of its patience. Nothing: it does
  /// not watch this process.
  std::optional<std::chrono::microseconds> watchdog_interval() const noexcept { return interval_; }
  bool is_there() const noexcept { return socket_ >= 0; }

 private:
  int socket_ = -1;
  std::string address_;  // a sockaddr_un
  std::optional<std::chrono::microseconds> interval_;
};

/// Half of the time that WATCHDOG_USEC gives, where WATCHDOG_PID names this process or is not set.
/// Either may be null.
std::optional<std::chrono::microseconds> read_watchdog(const char* microseconds, const char* pid,
                                                       long own_pid);

}  // namespace sluice::cli
