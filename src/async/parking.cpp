#include "async/parking.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace sluice {

boost::asio::awaitable<void> parking::wait() {
  namespace this_coro = boost::asio::this_coro;
  boost::system::error_code ended;
  co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ended));
  const auto cancellation = co_await this_coro::cancellation_state;
  const bool throws = co_await this_coro::throw_if_cancelled();
  const bool cancelled = throws && cancellation.cancelled() != boost::asio::cancellation_type::none;
  if (cancelled || !woken_)
    throw boost::system::system_error(boost::asio::error::operation_aborted);
}

}  // namespace sluice
