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
/// Whether the signal was ignored when the program started, and still is.
bool is_ignored(int signal);

/// Decides what a signal asks for, from the signals before it. Pure; for one thread. The first
/// signal asks the command to end in order, the second to end at once. One event may send several
/// signals, which count as one:
/// - When a terminal closes, the kernel sends SIGHUP to the foreground, and the shell sends it
/// again
///   to its jobs; systemd sends it after SIGTERM (SendSIGHUP=). So a SIGHUP within two seconds of
///   a signal is not the second one.
/// - `timeout` sends its signal to its child, again to the group of both, and then SIGCONT. So a
///   signal within a tenth of a second of another one counts only if no SIGCONT is near it: behind
///   it, or before it, since a process with several threads may get them in another order.
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

/// The signals that ask a command to end. To be used on the thread of its event loop; one object at
/// a time. Signals that were ignored when the program started stay ignored: nohup does this with
/// SIGHUP, and a shell without job control with the SIGINT of its background jobs.
///
/// After leave() the command may still write results. So signals that belong to an earlier one do
/// not end the process then, nor does the first signal where none came before. The next one does,
/// with the exit status of an interruption.
class interrupts {
 public:
  explicit interrupts(boost::asio::io_context& loop);
  interrupts(const interrupts&) = delete;
  interrupts& operator=(const interrupts&) = delete;
  ~interrupts();

  /// Calls these functions for the signals from now on.
  void listen(std::function<void()> end_in_order, std::function<void()> end_at_once);
  /// Calls nothing any more, and the loop may end. `words`: written to standard error for a signal
  /// that is let pass then, a whole line; null: none. They must live as long as the program.
  void leave(const char* words = nullptr);
  /// A signal asked the command to end.
  bool came() const noexcept { return came_; }

 private:
  void wait();
  void take(int signal);

  boost::asio::signal_set signals_;
  /// The signals that were not ignored.
  std::vector<int> taken_;
  /// Runs while a SIGCONT would make two signals count as one.
  boost::asio::steady_timer undecided_;
  std::function<void()> end_in_order_;
  std::function<void()> end_at_once_;
  signal_judge judge_;
  bool came_ = false;
  bool hung_up_ = false;
  bool left_ = false;
};

}  // namespace sluice::cli
