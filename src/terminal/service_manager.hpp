#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::cli {

/// The service manager that started the program, usually systemd. This class reports to it that the
/// program is ready, what it does, and that it is alive (sd_notify(3)). Every message is one
/// datagram to the socket in $NOTIFY_SOCKET. If there is no socket, or nothing reads it, the
/// message is dropped. Never blocks. Not thread safe: use it on one thread at a time.
class service_manager {
 public:
  /// Reads the environment.
  service_manager();
  service_manager(const service_manager&) = delete;
  service_manager& operator=(const service_manager&) = delete;
  ~service_manager();

  /// Sends a line of the protocol, like "READY=1"; several lines are separated by newlines.
  void tell(std::string_view state) const;
  /// Reports that the program reads its settings again; a later READY=1 ends this state.
  void reloading() const;
  /// Sends "STATUS=" and the text, as one line.
  void show(std::string_view text) const;
  /// The interval at which "WATCHDOG=1" should be sent. It is half of the service manager's
  /// timeout, as a margin. Nothing: the service manager does not watch this process.
  std::optional<std::chrono::microseconds> watchdog_interval() const noexcept { return interval_; }
  bool is_there() const noexcept { return socket_ >= 0; }

 private:
  int socket_ = -1;
  std::string address_;  // a sockaddr_un
  std::optional<std::chrono::microseconds> interval_;
};

/// Half of the time in WATCHDOG_USEC, if WATCHDOG_PID is this process or not set. Either may be
/// null.
std::optional<std::chrono::microseconds> read_watchdog(const char* microseconds, const char* pid,
                                                       long own_pid);

}  // namespace sluice::cli
