#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>

#include "async/steady_clock.hpp"
#include "http/http_client.hpp"
#include "sluice/config.hpp"
#include "terminal/interrupts.hpp"

namespace sluice::cli {

/// A client on an event loop of its own, for a question that is put while nothing else goes on.
class lone_client {
 public:
  explicit lone_client(const relay_options& relay);

  http_client& client() noexcept { return *client_; }
  const clock& time() const noexcept { return time_; }

  /// Runs a task that uses the client to its end, once. Rethrows what it throws.
  void run(boost::asio::awaitable<void> task);
  /// The same, where a signal (interrupts.hpp) breaks its exchanges off: then false.
  bool run_interruptibly(boost::asio::awaitable<void> task);

 private:
  void leave();

  boost::asio::io_context loop_;
  steady_clock time_;
  const std::unique_ptr<http_client> client_;
  std::optional<interrupts> signals_;
};

}  // namespace sluice::cli
