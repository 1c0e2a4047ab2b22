#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>

namespace sluice {

/// A line in which coroutines of one event loop wait to be woken, first come first served. A waiter
/// is parked on a timer that never rings; cancelling the timer wakes it. Whoever owns the line
/// wakes all before it goes.
class wait_queue {
 public:
  /// `first`: at the head of the line, where one who was woken in vain belongs.
  boost::asio::awaitable<void> wait(bool first = false);

  void wake_one() {
    if (line_.empty()) return;
    parking* first = line_.front();
    line_.pop_front();
    first->cancel();
  }
  void wake_all() {
    while (!line_.empty()) wake_one();
  }
  std::size_t size() const noexcept { return line_.size(); }

 private:
  using parking = boost::asio::steady_timer;
  std::list<parking*> line_;
};

}  // namespace sluice
