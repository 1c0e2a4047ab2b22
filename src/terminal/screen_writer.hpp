#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace sluice::cli {

/// Writes lines for a person to a file that may block: a terminal that was stopped with Ctrl-S, a
/// pager that waits, a full pipe. Safe to use from any thread; the callers never wait for the file.
/// Lines wait in a queue of limited size. If it is full, the oldest lines are dropped, and a notice
/// with their number is written before the next line. Below the lines there may be one live line,
/// which is overwritten by its newest text.
///
/// It uses its own thread, because the other ways do not work for every kind of standard error:
/// - O_NONBLOCK belongs to the open file description, so it would also apply to the shell and to
///   every other program on the terminal.
/// - A new file description, from /proc/self/fd/2, does not exist for a socket or for the terminal
///   of another user (su), and it would move the offset of a file.
/// - poll() tells that a terminal can take some data, but not that it can take a whole line.
///   Another program may fill a pipe between poll() and write().
/// A thread that waits in write() has none of these problems, and does not keep the process from
/// ending.
class screen_writer {
 public:
  /// Starts a function on a thread of its own. Throws std::system_error if there can be no thread.
  using thread_start = std::function<void(std::function<void()> work)>;

  /// `file` is a descriptor that stays open until the process ends.
  explicit screen_writer(int file, thread_start start = start_detached);
  screen_writer(const screen_writer&) = delete;
  screen_writer& operator=(const screen_writer&) = delete;
  /// Drops everything that has not been written.
  ~screen_writer();

  /// One or more lines, without the last newline.
  void line(const std::string& text);
  /// The same, for lines that have their final form.
  void finished_line(const std::string& text);
  /// From now on every text of line() is changed by `form`. It is called on the caller's thread,
  /// and must be safe to call from several threads.
  void set_form(std::function<std::string(const std::string&)> form);
  /// Replaces the live line, cut to the width of the terminal; empty: no live line. It may have
  /// colours, and must be safe for a terminal.
  void live(const std::string& text);

  /// Waits until everything is written: at most `patience` without progress, and at most five times
  /// that in total. Writes what is left itself if the thread got no time and the file takes text.
  /// False if something is left.
  bool settle(std::chrono::milliseconds patience);
  /// The same, but returns at once if the last such wait failed and nothing was written since.
  bool settle_unless_stuck(std::chrono::milliseconds patience);

 private:
  static void start_detached(std::function<void()> work);

  class state;
  std::shared_ptr<state> state_;
  std::mutex form_mutex_;
  std::function<std::string(const std::string&)> form_;
};

/// The width of a terminal, in cells; 80 if the terminal does not report it.
std::size_t columns_of(int terminal);
/// Its height, in lines; 24 if the terminal does not report it.
std::size_t rows_of(int terminal);

/// The writer of standard error, which the whole program shares.
screen_writer& standard_error();

}  // namespace sluice::cli
