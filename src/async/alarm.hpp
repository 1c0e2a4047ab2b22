#pragma once

#include <utility>

#include "sluice/clock.hpp"

namespace sluice {

/// One pending call of a clock; the destructor cancels it. Not thread safe: use it on the event
/// loop's thread. The clock must outlive it.
class alarm {
 public:
  explicit alarm(clock& time) : time_(time) {}
  alarm(const alarm&) = delete;
  alarm& operator=(const alarm&) = delete;
  ~alarm() { cancel(); }

  /// Calls `ring` once, at `when` or soon after; cancels the call set before.
  template <typename Ring>
  void set(time_point when, Ring ring) {
    cancel();
    call_ = time_.call_at(when, [this, ring] {
      call_ = 0;
      ring();
    });
  }
  void cancel() noexcept {
    if (call_ != 0) time_.cancel(std::exchange(call_, 0));
  }
  bool is_set() const noexcept { return call_ != 0; }

 private:
  clock& time_;
  clock::timer call_ = 0;
};

}  // namespace sluice
