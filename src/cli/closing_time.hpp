#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/time_of_day.hpp"
#include "base/wording.hpp"
#include "sluice/clock.hpp"

namespace sluice::cli {

/// The values of --until and --deadline.
struct closing_options {
  std::optional<time_of_day> until = {};
  std::optional<duration> deadline = {};
};

/// The start time of a command by both clocks.
struct command_start {
  time_point at = std::chrono::steady_clock::now();
  double unix_time =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
};

/// Decides when a command may start nothing more. Pure: both clocks are passed in. --until follows
/// the wall clock, even if that clock is changed or the machine sleeps; --deadline counts from the
/// start of the command.
class closing_time {
 public:
  closing_time(const closing_options& asked, time_point now, double unix_now);

  /// Why nothing may start any more, as the beginning of a sentence; empty: requests may start.
  wording why(time_point now, double unix_now) const;
  /// When to ask again; nullopt: neither flag was set.
  std::optional<time_point> next_look(time_point now, double unix_now) const;

 private:
  std::string until_text_;
  wording deadline_text_;
  std::optional<double> until_;  // Unix time
  std::optional<time_point> deadline_;
};

/// Calls `close` once when the closing time has come: on the event loop, or in the constructor. Use
/// it on the thread of the event loop. The clock must outlive it.
class closing_watch {
 public:
  closing_watch(clock& time, closing_time closing, std::function<void(const wording& why)> close);
  closing_watch(const closing_watch&) = delete;
  closing_watch& operator=(const closing_watch&) = delete;
  ~closing_watch() { leave(); }

  /// From now on calls nothing, and the loop may end.
  void leave();
  /// Why nothing started any more; empty: the time has not come.
  const wording& why() const noexcept { return why_; }

 private:
  void look();

  clock& time_;
  closing_time closing_;
  std::function<void(const wording& why)> close_;
  clock::timer timer_ = 0;
  wording why_;
};

}  // namespace sluice::cli
