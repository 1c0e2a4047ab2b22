#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

namespace sluice {

/// Lets one coroutine wait until wake() is called. Not thread safe: use it on the event loop's
/// thread. Implemented as a timer that never expires; wake() cancels it.
class parking {
 public:
  explicit parking(const boost::asio::any_io_executor& loop)
      : timer_(loop, boost::asio::steady_timer::time_point::max()) {}

  /// Returns when wake() is called. Throws operation_aborted, like an Asio operation, if the
  /// coroutine was cancelled, even if wake() was called too.
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
