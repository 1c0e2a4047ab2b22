#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "dice.hpp"
#include "simulated_clock.hpp"
#include "simulated_relay.hpp"
#include "trace.hpp"
#include "upstream/limit_store.hpp"
#include "upstream/rate_limiter.hpp"

namespace sluice::simulation {

/// Another process that shares a window with the tested process. It sends requests now and then.
/// Sometimes it is stopped for some time while it holds the window's lock. It ends as if it was
/// killed.
class neighbour {
 public:
  /// `path` is the common prefix of the names of the window's files; `window` is the window's
  /// index.
  neighbour(simulated_clock& time, dice random, trace& events, simulated_relay& relay,
            const std::string& path, std::size_t window, unsigned cap)
      : time_(time),
        random_(random),
        trace_(events),
        relay_(relay),
        window_(window),
        starts_left_(random_.below(25)),
        stops_(random_.percent(40)),
        store_(path, current_host(), std::chrono::seconds{1},
               {[this](const std::string& why) { trace_.note("neighbour: {}", why); }}),
        limiter_({cap, std::chrono::seconds{1}, pacing::burst, 0, &store_}) {
    (void)limiter_.next_start(time_.now());  // starts to use the shared window
    next();
  }
  neighbour(const neighbour&) = delete;
  neighbour& operator=(const neighbour&) = delete;
  ~neighbour() {
    for (const auto& [number, timer] : timers_) time_.cancel(timer);
  }

 private:
  // Calls `what` after a delay, but not while the process is stopped.
  void after(duration wait, std::function<void()> what) {
    const std::uint64_t number = ++last_;
    timers_[number] = time_.call_at(time_.now() + wait, [this, number, what = std::move(what)] {
      timers_.erase(number);
      if (kept_) return after(std::chrono::milliseconds{100}, what);
      what();
    });
  }
  void go_on_after(duration wait) {
    const std::uint64_t number = ++last_;
    timers_[number] = time_.call_at(time_.now() + wait, [this, number] {
      timers_.erase(number);
      kept_.reset();
    });
  }

  void next() {
    using namespace std::chrono_literals;
    after(random_.percent(50) ? random_.span(50ms, 1s) : random_.span(1s, 20s), [this] {
      act();
      if (starts_left_ > 0) next();
    });
  }

  void act() {
    using namespace std::chrono_literals;
    limiter_.catch_up(time_.now());
    if (stops_ && random_.percent(15)) {
      kept_.emplace(store_, time_.now());
      trace_.note("the neighbour is stopped inside the lock");
      go_on_after(random_.span(0ms, 5s));
      return;
    }
    const auto slot = limiter_.try_start(time_.now());
    if (!slot) return;
    --starts_left_;
    after(random_.span(0ms, 300ms), [this, slot] {
      const duration way = random_.span(0ms, 900ms);
      relay_.foreign_attempt(window_, way);
      trace_.note("the neighbour sends");
      limiter_.sent(*slot, time_.now());
      after(way + random_.span(0ms, 2s), [this, slot] {
        limiter_.answered(*slot, time_.now());
        limiter_.done(*slot);
      });
    });
  }

  simulated_clock& time_;
  dice random_;
  trace& trace_;
  simulated_relay& relay_;
  const std::size_t window_;
  std::uint64_t starts_left_;
  const bool stops_;
  limit_store store_;
  rate_limiter limiter_;
  std::optional<limit_store::hold> kept_;
  std::map<std::uint64_t, clock::timer> timers_;
  std::uint64_t last_ = 0;
};

}  // namespace sluice::simulation
