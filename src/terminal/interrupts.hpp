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
/// Whether the program was started with that signal ignored, and has not changed it.
bool is_ignored(int signal);

/// What a signal asks for, given those before it. The first asks the command to end in good order,
/// the second to end at once. One event may send several signals, which count as one:
/// - When a terminal goes, the kernel sends SIGHUP to the foreground, and the shell sends it again
///   to its jobs; systemd sends it behind SIGTERM (SendSIGHUP=). So a SIGHUP within two seconds of
///   a signal is not the second one.
/// - `timeout` sends its signal to its child, again to the group of both, and then SIGCONT. So a
///   signal within a tenth of a second of another one counts only if no SIGCONT follows it.
/// Pure.
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
};

/// The signals that ask a command to end, on its event loop. Those that were ignored when the
/// program started stay ignored: nohup asks for it with SIGHUP, and a shell without job control
/// with the SIGINT of its background jobs.
///
/// After leave() totals are still to be written: signals that belong to one that came before, and
/// one more where none did, do not end the process; the next does, with the exit status of an
/// interruption. To be used on the thread of its event loop; one object at a time.
class interrupts {
 public:
  explicit interrupts(boost::asio::io_context& loop);
  interrupts(const interrupts&) = delete;
  interrupts& operator=(const interrupts&) = delete;
  ~interrupts();

  /// Has the signals call these from now on.
  void listen(std::function<void()> end_in_order, std::function<void()> end_at_once);
  /// Nothing is called any more, and the loop may end.
  void leave();
  /// Whether the command was asked to end.
  bool came() const noexcept { return came_; }

 private:
  void wait();
  void take(int signal);

  boost::asio::signal_set signals_;
  std::vector<int> taken_;               ///< those that were not ignored
  boost::asio::steady_timer undecided_;  ///< runs while a SIGCONT would make two signals one
  std::function<void()> end_in_order_;
  std::function<void()> end_at_once_;
  signal_judge judge_;
  bool came_ = false;
  bool hung_up_ = false;
  bool left_ = false;
};

}  // namespace sluice::cli
