#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

namespace sluice {

/// Where one coroutine waits: a timer that never rings, and that is cancelled to wake it. Belongs
/// to the event loop's thread.
class parking {
 public:
  explicit parking(const boost::asio::any_io_executor& loop)
      : timer_(loop, boost::asio::steady_timer::time_point::max()) {}

  /// Returns once wake() was called. Throws operation_aborted, as an operation of Asio would, if
  /// the coroutine was cancelled, be it woken meanwhile or not.
  boost::asio::awaitable<void> wait();
  void wake() {
    woken_ = true;
    timer_.cancel();
  }

 private:
  boost::asio::steady_timer timer_;
  bool woken_ = false;
};

}  // namespace sluice
