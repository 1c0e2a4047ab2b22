#pragma once

#include <functional>
#include <utility>

#include "sluice/clock.hpp"
#include "support/manual_clock.hpp"

namespace sluice::simulation {

/// Virtual time. The wall clock can jump, as if a user or a time server had set it.
class simulated_clock final : public clock {
 public:
  time_point now() const noexcept override { return steady_.now(); }
  double unix_now() const noexcept override { return steady_.unix_now() + step_; }
  timer call_at(time_point when, std::function<void()> callback) override {
    return steady_.call_at(when, std::move(callback));
  }
  void cancel(timer id) noexcept override { steady_.cancel(id); }

  double since_start() const noexcept { return steady_.since_start(); }
  void step_wall_clock(double seconds) noexcept { step_ += seconds; }
  bool run_next() { return steady_.run_next(); }
  void advance(duration by) { steady_.advance(by); }
  std::size_t calls_to_come() const noexcept { return steady_.calls_to_come(); }

 private:
  test::manual_clock steady_;
  double step_ = 0;
};

}  // namespace sluice::simulation
