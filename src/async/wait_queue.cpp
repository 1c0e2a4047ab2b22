#include "async/wait_queue.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace sluice {

boost::asio::awaitable<void> wait_queue::wait(bool first) {
  parking parked(co_await boost::asio::this_coro::executor, parking::time_point::max());
  line_.insert(first ? line_.begin() : line_.end(), &parked);
  boost::system::error_code woken;
  co_await parked.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, woken));
}

}  // namespace sluice
