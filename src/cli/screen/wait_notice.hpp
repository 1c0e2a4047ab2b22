#pragma once

#include <functional>

#include "cli/screen/screen.hpp"
#include "sluice/clock.hpp"
#include "views/progress.hpp"

namespace sluice::cli {

/// Reports the long waits of a quiet command (long_wait), one line each. Use it on the thread of
/// the clock's event loop.
class wait_notice {
 public:
  wait_notice(clock& time, screen& shown, std::function<progress_facts()> facts);
  wait_notice(const wait_notice&) = delete;
  wait_notice& operator=(const wait_notice&) = delete;
  ~wait_notice() { leave(); }

  /// After that nothing is reported, and the loop may end.
  void leave();

 private:
  void watch();

  clock& time_;
  screen& screen_;
  std::function<progress_facts()> facts_;
  time_point begun_;
  long_wait waits_;
  clock::timer timer_ = 0;
};

}  // namespace sluice::cli
