#pragma once

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "sluice/clock.hpp"

namespace sluice::test {

/// A clock that moves only when the test moves it. Pending calls are made in the order of their
/// times; if times are equal, in the order in which they were added.
class manual_clock final : public clock {
 public:
  static constexpr double unix_start = 1'700'000'000;

  time_point now() const noexcept override { return now_; }
  double unix_now() const noexcept override { return unix_start + since_start(); }
  /// Seconds that have passed on this clock.
  double since_start() const noexcept {
    return std::chrono::duration<double>(now_ - start()).count();
  }

  timer call_at(time_point when, std::function<void()> callback) override {
    const timer id = ++last_;
    calls_.emplace(std::pair{when, id}, std::move(callback));
    times_.emplace(id, when);
    return id;
  }
  void cancel(timer id) noexcept override {
    const auto found = times_.find(id);
    if (found == times_.end()) return;
    calls_.erase({found->second, id});
    times_.erase(found);
  }

  /// Moves the time to `when`; makes every call due until then, each at its own time.
  void advance_to(time_point when) {
    while (!calls_.empty() && calls_.begin()->first.first <= when) run_next();
    now_ = std::max(now_, when);
  }
  void advance(duration by) { advance_to(now_ + by); }
  /// Simulates a suspended program or machine: calls that are due meanwhile are made late.
  void stand_still(duration length) {
    const time_point until = now_ + length;
    now_ = until;
    while (!calls_.empty() && calls_.begin()->first.first <= until) run_next();
  }
  /// Jumps to the time of the next call and makes this call. Returns false if no call is pending.
  bool run_next() {
    if (calls_.empty()) return false;
    auto call = calls_.extract(calls_.begin());
    times_.erase(call.key().second);
    now_ = std::max(now_, call.key().first);
    call.mapped()();
    return true;
  }
  std::size_t calls_to_come() const noexcept { return calls_.size(); }

 private:
  static constexpr time_point start() noexcept { return time_point{} + std::chrono::hours{1000}; }

  time_point now_ = start();
  timer last_ = 0;
  std::map<std::pair<time_point, timer>, std::function<void()>> calls_;
  std::map<timer, time_point> times_;
};

/// Runs the loop until it has nothing to do, then jumps to the next call of the clock. Repeats this
/// until `until` is true or no work is left. While `settled` is false, another thread is about to
/// bring work, so time does not move. Otherwise the result would depend on the thread scheduler.
///
/// This function has no timeout: if a test hangs, the time limit of the test ends it.
inline void run_virtual(
    boost::asio::io_context& loop, manual_clock& time, const std::function<bool()>& until,
    const std::function<bool()>& settled = [] { return true; }) {
  for (;;) {
    loop.restart();
    while (loop.poll() > 0) {
    }
    if (until()) return;
    if (!settled()) {
      std::this_thread::yield();
      continue;
    }
    if (loop.poll() > 0) continue;
    if (until()) return;
    if (time.run_next()) continue;
    if (loop.stopped()) return;  // no work left
    loop.run_one();              // another thread brings work
  }
}

}  // namespace sluice::test
