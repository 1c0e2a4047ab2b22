#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace sluice::cli {

/// The signals that ask a command to end.
constexpr std::array<int, 3> stop_signals{SIGINT, SIGTERM, SIGHUP};
/// Whether the signal was ignored when the program started and is still ignored.
bool is_ignored(int signal);

/// Decides what a signal asks for, from the signals before it. Pure; for one thread. The first
/// signal asks the command to end in order, the second to end at once. One event may cause several
/// signals, which count as one:
/// - When a terminal closes, the kernel sends SIGHUP to the foreground processes, and the shell
///   sends it again to its jobs; systemd sends it after SIGTERM (SendSIGHUP=). So a SIGHUP within
///   two seconds after another signal does not count as the second one.
/// - `timeout` sends its signal to its child, again to the process group of both, and then SIGCONT.
///   So a signal within a tenth of a second after another one counts only if no SIGCONT comes
///   shortly before or after it. Both orders are possible, because a process with several threads
///   may receive signals in a different order.
class signal_judge {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  enum class verdict : std::uint8_t {
    nothing,
    end_in_order,
    end_at_once,
    end_at_once_unless_continued,  ///< within `sent_twice`
    continued,
  };
  static constexpr std::chrono::seconds hung_up_again{2};
  static constexpr std::chrono::milliseconds sent_twice{100};

  verdict take(int signal, time_point now);

 private:
  std::optional<time_point> last_;
  std::optional<time_point> continued_;
};

/// Receives the signals that ask a command to end. Use it on the thread of its event loop, and only
/// one object at a time. Signals that were ignored when the program started stay ignored: nohup
/// ignores SIGHUP, and a shell without job control ignores SIGINT for its background jobs.
///
/// After leave() the command may still write results. So signals that belong to an earlier signal
/// do not end the process then. If no signal came before leave(), the first one does not end it,
/// either. The next signal does, with the exit status of an interruption.
class interrupts {
 public:
  explicit interrupts(boost::asio::io_context& loop);
  interrupts(const interrupts&) = delete;
  interrupts& operator=(const interrupts&) = delete;
  ~interrupts();

  /// Calls these functions for the signals from now on.
  void listen(std::function<void()> end_in_order, std::function<void()> end_at_once);
  /// Stops calling the functions, so that the event loop can end. `words`: a whole line that is
  /// written to standard error for a signal that is ignored after this; null: nothing. The text
  /// must exist until the program ends.
  void leave(const char* words = nullptr);
  /// Whether a signal has asked the command to end.
  bool came() const noexcept { return came_; }

 private:
  void wait();
  void take(int signal);

  boost::asio::signal_set signals_;
  /// The signals that were not ignored.
  std::vector<int> taken_;
  /// Runs while a SIGCONT can still make two signals count as one.
  boost::asio::steady_timer undecided_;
  std::function<void()> end_in_order_;
  std::function<void()> end_at_once_;
  signal_judge judge_;
  bool came_ = false;
  bool hung_up_ = false;
  bool left_ = false;
};

}  // namespace sluice::cli
