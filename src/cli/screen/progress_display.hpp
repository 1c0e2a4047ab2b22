#pragma once

#include <functional>
#include <string>

#include "cli/screen/screen.hpp"
#include "cli/screen/screen_choices.hpp"
#include "sluice/clock.hpp"

namespace sluice::cli {

/// Functions that return the progress of a command, as a line and as JSON. They are called each
/// time the progress is shown. If the line is empty, nothing is shown.
struct progress_source {
  std::function<std::string(const line_form& form)> line;
  std::function<std::string()> json = {};
};

/// Shows what a command is doing. A live line is updated five times a second. Use it on the thread
/// of the clock's event loop.
class progress_display {
 public:
  progress_display(clock& time, screen& shown, progress_source source,
                   progress_kind kind = progress_kind::automatic);
  progress_display(const progress_display&) = delete;
  progress_display& operator=(const progress_display&) = delete;
  ~progress_display() { leave(); }

  /// Removes the live line. After that nothing is shown, and the loop may end.
  void leave();

 private:
  bool is_live() const { return kind_ == progress_kind::automatic && screen_.is_terminal(); }
  void wait();
  void show();

  clock& time_;
  screen& screen_;
  progress_source source_;
  progress_kind kind_;
  clock::timer timer_ = 0;
};

}  // namespace sluice::cli
