#include "cli/lone_client.hpp"

#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <utility>

namespace sluice::cli {

namespace asio = boost::asio;

lone_client::lone_client(const relay_options& relay)
    : loop_(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO),
      time_(loop_),
      client_(make_http_client(loop_, time_, relay)) {}

// What is kept open would keep the loop going.
void lone_client::leave() {
  if (signals_) signals_->leave();
  client_->stop_sending();
  client_->abort();
}

void lone_client::run(asio::awaitable<void> task) {
  std::exception_ptr fault;
  asio::co_spawn(loop_, std::move(task), [&](std::exception_ptr thrown) {
    fault = std::move(thrown);
    leave();
  });
  loop_.run();
  if (fault) std::rethrow_exception(fault);
}

bool lone_client::run_interruptibly(asio::awaitable<void> task) {
  const auto break_off = [this] {
    client_->stop_sending();
    client_->abort();
  };
  signals_.emplace(loop_);
  signals_->listen(break_off, break_off);
  run(std::move(task));
  return !signals_->came();
}

}  // namespace sluice::cli
