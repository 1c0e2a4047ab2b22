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

/// What those who run the server see of it: /healthz, /readyz and /metrics, which need no key, and
/// the access log. Not thread safe: use it on the event loop's thread.
class server_watch {
 public:
  /// All references outlive it.
  struct needs {
    clock& time;
    background& disk;
    store::batch_store& records;
    engine& sender;
    batch_runner& runner;
    std::function<std::size_t()> connections;  ///< of clients
    server_figures& figures;
    access_log log;  ///< may be empty
  };
  explicit server_watch(needs with) : with_(std::move(with)) {}

  /// Answers the request if it is for one of these routes. False: it is not.
  boost::asio::awaitable<bool> serve(watched_call& call);
  /// The request was answered. Counts and logs it.
  void answered(const watched_call& call, time_point began);
  /// The answer to a request that has no well-formed head: it is counted and logged, too.
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
