#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>

#include "sluice/clock.hpp"

namespace sluice {

/// Sleeps of coroutines on one event loop, all of which can be cut short at once.
class naps {
 public:
  explicit naps(clock& clock) : clock_(clock) {}

  /// Returns at `when`, or as soon as wake_all() is called.
  boost::asio::awaitable<void> sleep_until(time_point when) {
    if (woken_) co_return;
    boost::asio::steady_timer parked(co_await boost::asio::this_coro::executor,
                                     boost::asio::steady_timer::time_point::max());
    const auto place = sleepers_.insert(sleepers_.end(), &parked);
    const auto alarm = clock_.call_at(when, [&parked] { parked.cancel(); });
    boost::system::error_code woken;
    co_await parked.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, woken));
    clock_.cancel(alarm);
    sleepers_.erase(place);
  }

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
