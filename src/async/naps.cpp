#include "async/naps.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace sluice {

boost::asio::awaitable<void> naps::sleep_until(time_point when) {
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

}  // namespace sluice
