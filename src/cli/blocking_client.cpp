#include "cli/blocking_client.hpp"

#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <functional>
#include <utility>

#include "cli/graceful_stop.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

void run_to_end(asio::io_context& loop, asio::awaitable<void> task,
                const std::function<void()>& at_end) {
  std::exception_ptr fault;
  asio::co_spawn(loop, std::move(task), [&](std::exception_ptr thrown) {
    fault = std::move(thrown);
    at_end();
  });
  loop.run();
  if (fault) std::rethrow_exception(fault);
}

}  // namespace

blocking_client::blocking_client(const relay_options& relay)
    : loop_(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO),
      time_(loop_),
      client_(make_http_client(loop_, time_, relay)) {}

// Idle connections would keep the event loop running.
void blocking_client::close() {
  client_->stop_sending();
  client_->abort();
}

void blocking_client::run(asio::awaitable<void> task) {
  run_to_end(loop_, std::move(task), [this] { close(); });
}

bool blocking_client::run_interruptibly(asio::awaitable<void> task) {
  const auto abort = [this] { close(); };
  graceful_stop ending(loop_, time_, duration::zero(), {.stop = abort, .abort = abort});
  run_to_end(loop_, std::move(task), [&] {
    ending.leave();
    close();
  });
  return !ending.interrupted();
}

}  // namespace sluice::cli
