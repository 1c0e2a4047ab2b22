#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include "async/background.hpp"
#include "http/server/server.hpp"
#include "server/access_log.hpp"
#include "server/batch_runner.hpp"
#include "server/request_counts.hpp"
#include "server/server_figures.hpp"
#include "server/watched_call.hpp"
#include "sluice/clock.hpp"
#include "sluice/engine.hpp"
#include "store/batch_store.hpp"

namespace sluice::server {

/// What operators see of the server: /healthz, /readyz and /metrics, which need no
/// key, and the access log. Not thread safe: use it on the event loop's thread.
class server_watch {
 public:
  /// The objects that it uses. All references must outlive it.
  struct needs {
    clock& time;
    background& disk;
    store::batch_store& records;
    engine& sender;
    batch_runner& runner;
    std::function<std::size_t()> connections;  ///< number of open client connections
    server_figures& figures;
    access_log log;  ///< may be empty
  };
  explicit server_watch(needs with) : with_(std::move(with)) {}

  /// Answers the request if it is for one of these routes. Returns false if it is not.
  boost::asio::awaitable<bool> serve(watched_call& call);
  /// Counts and logs a request that was answered.
  void answered(const watched_call& call, time_point began);
  /// Counts and logs a request without a well-formed head, and returns its answer.
  http_server::refusal_answer refused(int status, std::string body);
  /// From now on the server is not ready.
  void stop() noexcept { stopping_ = true; }

 private:
  boost::asio::awaitable<void> show_health(watched_call& call);
  boost::asio::awaitable<void> show_readiness(watched_call& call);
  boost::asio::awaitable<void> show_metrics(watched_call& call);

  needs with_;
  request_counts requests_;
  bool stopping_ = false;
};

}  // namespace sluice::server
