#pragma once

#include <chrono>
#include <memory>
#include <string>

namespace sluice::cli {

/// Writes lines for a person to a file that may take nothing for a while: a terminal that Ctrl-S
/// stopped, a pager that stands still, a full pipe. Its callers never wait for that file. Lines
/// stand in a queue of a bounded size; when it is full, the oldest are dropped, and the next that
/// can be written are preceded by their number. Below the lines may stand one live line, which is
/// written over; only its newest text is kept. May be used from any thread.
///
/// A thread writes. The other ways do not hold for all that standard error can be. O_NONBLOCK
/// belongs to the open file description, so the shell and every other program on the terminal
/// would get it, too. A description of our own, of /proc/self/fd/2, cannot be had for a socket or
/// for the terminal of another user (su), and moves the offset of a file. poll() promises that a
/// terminal takes something, not that it takes a whole line, and a pipe may be filled by another
/// program between poll() and write(). A thread that waits in write() needs none of them: the
/// process ends all the same.
class screen_writer {
 public:
  /// `file` is a descriptor that stays open until the process ends.
  explicit screen_writer(int file);
  screen_writer(const screen_writer&) = delete;
  screen_writer& operator=(const screen_writer&) = delete;
  /// Gives up what has not been written.
  ~screen_writer();

  /// One or more lines, without the last newline.
  void line(const std::string& text);
  /// Replaces the live line; empty: there is none.
  void live(const std::string& text);

  /// Waits until all has been written: for at most `patience` without progress, and five times that
  /// in all. False when some is left.
  bool settle(std::chrono::milliseconds patience);
  /// The same, but returns at once if nothing has been written since such a wait was in vain.
  bool settle_unless_stuck(std::chrono::milliseconds patience);

 private:
  class state;
  std::shared_ptr<state> state_;
};

/// The writer of standard error, which all of the program shares.
screen_writer& standard_error();

}  // namespace sluice::cli
