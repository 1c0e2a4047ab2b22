#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>

#include "async/steady_clock.hpp"
#include "http/http_client.hpp"
#include "sluice/config.hpp"

namespace sluice::cli {

/// An HTTP client with its own event loop, for a few requests during which the command does nothing
/// else. For one thread.
class blocking_client {
 public:
  explicit blocking_client(const relay_options& relay);

  http_client& client() noexcept { return *client_; }
  const clock& time() const noexcept { return time_; }

  /// Runs a task that uses the client, and returns when it has ended. Call it once. Rethrows what
  /// the task throws.
  void run(boost::asio::awaitable<void> task);
  /// The same, but a signal aborts the requests of the task. Returns false if a signal came.
  bool run_interruptibly(boost::asio::awaitable<void> task);

 private:
  void close();

  boost::asio::io_context loop_;
  steady_clock time_;
  const std::unique_ptr<http_client> client_;
};

}  // namespace sluice::cli
