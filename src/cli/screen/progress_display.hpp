#pragma once

#include <functional>
#include <string>

#include "cli/screen/screen.hpp"
#include "sluice/clock.hpp"

namespace sluice::cli {

/// Shows what a command is doing: on a terminal a live line that is renewed five times a second,
/// elsewhere a new line every 10 s. To be used on the thread of the clock's event loop.
class progress_display {
 public:
  /// `line` is called for the text each time.
  progress_display(clock& time, screen& shown, std::function<std::string()> line);
  progress_display(const progress_display&) = delete;
  progress_display& operator=(const progress_display&) = delete;
  ~progress_display() { leave(); }

  /// Removes the live line. Nothing is shown any more, and the loop may end.
  void leave();

 private:
  void wait();

  clock& time_;
  screen& screen_;
  std::function<std::string()> line_;
  clock::timer timer_ = 0;
};

}  // namespace sluice::cli
