#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "async/background.hpp"
#include "async/wait_queue.hpp"
#include "http/http_client.hpp"
#include "notify/message.hpp"
#include "sluice/clock.hpp"
#include "sluice/observer.hpp"
#include "store/batch_store.hpp"

namespace sluice::server {

struct webhook_options {
  std::string url;                              ///< empty: no webhook
  std::string secret;                           ///< the secret of Standard Webhooks
  duration timeout = std::chrono::seconds{15};  ///< time limit of one try
};

/// Posts the ends of batches to the webhook, one at a time. Batches never wait for it.
/// Announcements that are not delivered stay in the store, and are sent after a restart. Not thread
/// safe: use it on the event loop's thread.
class batch_announcer {
 public:
  /// Makes the client that posts one message. Destroy the client before the event loop.
  using client_maker = std::function<std::unique_ptr<http_client>(const notify::message&)>;

  /// How often it checks the store for announcements that earlier processes or other servers have
  /// left.
  static constexpr std::chrono::seconds poll{10};

  /// All references must outlive it; `listener` may be null.
  batch_announcer(background& disk, clock& time, store::batch_store& records,
                  webhook_options options, client_maker make_client, observer* listener);
  batch_announcer(const batch_announcer&) = delete;
  batch_announcer& operator=(const batch_announcer&) = delete;
  ~batch_announcer();

  /// Posts announcements until stop() is called and the current try has ended.
  boost::asio::awaitable<void> work();
  /// Call it when a batch has ended.
  void wake();
  /// Starts no more tries.
  void stop();
  /// Like stop(), but also cuts off the current try; it is repeated after the next start.
  void abort();

 private:
  struct outcome {
    bool delivered = false;
    bool refused = false;  ///< the receiver asks for no more tries
    std::string why;
  };

  boost::asio::awaitable<void> post_all();
  boost::asio::awaitable<outcome> post(const store::announcement& what);
  std::optional<std::int64_t> judge(const store::announcement& what, const outcome& how);
  boost::asio::awaitable<void> sleep();
  std::int64_t unix_now() const { return static_cast<std::int64_t>(time_.unix_now()); }
  void say(severity level, const std::string& batch, const std::string& sentence) const;

  background& disk_;
  clock& time_;
  store::batch_store& records_;
  webhook_options options_;
  client_maker make_client_;
  observer* observer_;
  std::unique_ptr<http_client> client_;  // the client of the current try
  std::optional<std::int64_t> due_at_;   // the time of the next try that this process knows of
  wait_queue idle_;
  bool woken_ = false;
  bool stopping_ = false;
  bool aborted_ = false;
};

/// The client of real servers, which uses the proxies of the environment.
batch_announcer::client_maker webhook_clients(boost::asio::io_context& loop, clock& time,
                                              duration timeout);

}  // namespace sluice::server
