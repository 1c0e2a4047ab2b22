#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>

#include "sluice/clock.hpp"

namespace sluice {

/// Sleeps of coroutines on one event loop, all of which can be cut short at once.
class naps {
 public:
  explicit naps(clock& clock) : clock_(clock) {}

  /// Returns at `when`, or as soon as wake_all() is called.
  boost::asio::awaitable<void> sleep_until(time_point when);

  /// Ends every sleep, those to come included.
  void wake_all() {
    woken_ = true;
    for (auto* sleeper : sleepers_) sleeper->cancel();
  }

 private:
  clock& clock_;
  std::list<boost::asio::steady_timer*> sleepers_;
  bool woken_ = false;
};

}  // namespace sluice
