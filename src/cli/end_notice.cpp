#include "cli/end_notice.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>

#include "async/sleeper.hpp"
#include "async/steady_clock.hpp"
#include "cli/graceful_stop.hpp"
#include "http/base_url.hpp"
#include "http/http_client.hpp"
#include "http/kept_response.hpp"
#include "http/proxy.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::seconds longest_connect{5};
constexpr std::chrono::seconds longest_try{10};
constexpr std::uint64_t longest_reply = 65536;

relay_options way_to(const notify::message& sent) {
  relay_options way;
  way.base_url = sent.url + "#";  // exactly this address
  way.headers = sent.headers;
  way.proxy = proxy_from_environment(base_url::parse(way.base_url), std::getenv);
  way.connect_timeout = longest_connect;
  way.first_byte_timeout = longest_try;
  way.total_timeout = longest_try;
  return way;
}

// The tries to deliver one message, on their own event loop.
class delivery {
 public:
  delivery(const notify_options& to, notify::message sent, std::string id)
      : form_(to.form),
        sent_(std::move(sent)),
        id_(std::move(id)),
        client_(make_http_client(loop_, time_, way_to(sent_))) {}

  notify::verdict run() {
    std::exception_ptr fault;
    {
      const auto give_up = [this] { end(); };
      graceful_stop ending(loop_, time_, duration::zero(), {.stop = give_up, .abort = give_up});
      asio::co_spawn(loop_, work(), [&](std::exception_ptr thrown) {
        fault = std::move(thrown);
        ending.leave();
        end();
      });
      loop_.run();
    }
    if (fault) std::rethrow_exception(fault);
    return last_;
  }

 private:
  asio::awaitable<void> work() {
    for (unsigned tries = 1;; ++tries) {
      co_await post();
      if (last_.what != notify::verdict::kind::try_again || over_) co_return;
      const auto pause = notify::pause_after(tries);
      if (!pause) co_return;
      spdlog::debug("--notify: {}; tried again in {} s", last_.why, pause->count());
      co_await sleeps_.sleep_until(time_.now() + *pause);
      if (over_) co_return;
    }
  }

  asio::awaitable<void> post() {
    kept_response answer(longest_reply);
    const auto ended = co_await client_->exchange(
        {.path = "/", .body = sent_.body, .idempotency_key = id_}, answer);
    if (answer.head.status == 0) {
      last_ = {notify::verdict::kind::try_again, ended.message};
    } else {
      last_ = notify::judge(form_, answer.head.status, answer.body);
    }
  }

  void end() {
    over_ = true;
    client_->stop_sending();
    client_->abort();
    sleeps_.wake_all();
  }

  asio::io_context loop_{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  steady_clock time_{loop_};
  sleeper sleeps_{time_};
  notify::webhook_form form_;
  notify::message sent_;
  std::string id_;
  std::unique_ptr<http_client> client_;
  notify::verdict last_;
  bool over_ = false;
};

}  // namespace

void announce_end(const notify_options& to, const notify::run_end& end) noexcept {
  if (to.url.empty()) return;
  try {
    const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
    auto sent = notify::compose(to.form, to.url, to.secret, end, now.count());
    const auto last = delivery(to, std::move(sent), "msg_" + end.run).run();
    if (last.what == notify::verdict::kind::delivered) {
      spdlog::info("the end of the run was posted to {}", notify::shown_host(to.url));
    } else {
      spdlog::warn("the end of the run could not be posted to {}: {}", notify::shown_host(to.url),
                   last.why);
    }
  } catch (const std::exception& fault) {
    try {
      spdlog::warn("the end of the run could not be posted: {}", fault.what());
    } catch (...) {
      return;  // if the log cannot be written, nothing more can be done
    }
  }
}

}  // namespace sluice::cli
