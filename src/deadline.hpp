#pragma once

#include <functional>
#include <string_view>
#include <utility>

#include "sluice/clock.hpp"

namespace sluice {

/// The moment by which something must have happened, moved often and set on the clock seldom: the
/// alarm looks at the moment as it rings, and calls `cut` if that has passed.
class deadline {
 public:
  deadline(clock& clock, std::function<void()> cut) : clock_(clock), cut_(std::move(cut)) {}
  deadline(const deadline&) = delete;
  deadline& operator=(const deadline&) = delete;
  ~deadline() {
    if (alarm_ != 0) clock_.cancel(alarm_);
  }

  /// `name` tells what has passed, should it pass; it must outlive the deadline.
  void set(time_point when, std::string_view name) {
    when_ = when;
    name_ = name;
    if (alarm_ == 0 || when_ < alarm_at_) arm();
  }
  void lift() noexcept { when_ = time_point::max(); }

  time_point when() const noexcept { return when_; }
  bool passed() const noexcept { return passed_; }
  std::string_view name() const noexcept { return name_; }

 private:
  void arm() {
    if (alarm_ != 0) clock_.cancel(alarm_);
    alarm_at_ = when_;
    alarm_ = clock_.call_at(when_, [this] {
      alarm_ = 0;
      if (when_ == time_point::max()) return;
      if (clock_.now() < when_) return arm();
      passed_ = true;
      cut_();
    });
  }

  clock& clock_;
  std::function<void()> cut_;
  clock::timer alarm_ = 0;
  time_point alarm_at_{};
  time_point when_ = time_point::max();
  std::string_view name_;
  bool passed_ = false;
};

}  // namespace sluice
