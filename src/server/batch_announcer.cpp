#include "server/batch_announcer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "http/base_url.hpp"
#include "http/kept_response.hpp"
#include "http/proxy.hpp"
#include "notify/batch_event.hpp"
#include "sluice/error.hpp"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

constexpr std::uint64_t most_read = 65536;
// Longer than any try can take. During this time no other server tries to send the same
// announcement.
constexpr std::int64_t try_margin_s = 60;

std::int64_t end_of(const store::batch_record& batch) {
  for (const auto& time :
       {batch.completed_at, batch.failed_at, batch.expired_at, batch.cancelled_at}) {
    if (time) return *time;
  }
  return batch.created_at;
}

}  // namespace

batch_announcer::batch_announcer(background& disk, clock& time, store::batch_store& records,
                                 webhook_options options, client_maker make_client,
                                 observer* listener)
    : disk_(disk),
      time_(time),
      records_(records),
      options_(std::move(options)),
      make_client_(std::move(make_client)),
      observer_(listener) {}

batch_announcer::~batch_announcer() = default;

asio::awaitable<void> batch_announcer::work() {
  while (!stopping_) {
    std::string fault;
    try {
      co_await post_all();
    } catch (const store::store_error& thrown) {
      fault = thrown.what();
    }
    if (!fault.empty()) say(severity::warning, {}, fault);
    co_await sleep();
  }
}

asio::awaitable<void> batch_announcer::post_all() {
  due_at_.reset();
  while (!stopping_) {
    const std::int64_t again_at =
        unix_now() + try_margin_s +
        std::chrono::duration_cast<std::chrono::seconds>(options_.timeout).count();
    auto next =
        co_await disk_.run([&] { return records_.next_announcement(unix_now(), again_at); });
    if (!next) co_return;
    const store::announcement what = *std::move(next);
    const outcome how = co_await post(what);
    // This process has cut off the try, so it does not count as a failure of the receiver.
    const auto later = aborted_ && !how.delivered ? std::optional(unix_now()) : judge(what, how);
    co_await disk_.run([&] { records_.settle_announcement(what.batch.id, later); });
    if (later) due_at_ = std::min(due_at_.value_or(*later), *later);
  }
}

asio::awaitable<batch_announcer::outcome> batch_announcer::post(const store::announcement& what) {
  const notify::batch_event event{what.batch.id, std::string(store::name_of(what.batch.status)),
                                  end_of(what.batch)};
  const auto message = notify::compose(options_.url, options_.secret, event, time_.unix_now());
  outcome found;
  try {
    client_ = make_client_(message);
  } catch (const fatal_error& fault) {
    found.why = fault.what();
  }
  if (!client_) co_return found;
  const std::string id = message.headers.front().second;
  kept_response answer(most_read);
  const http_client::outgoing request{.path = "/", .body = message.body, .idempotency_key = id};
  const exchange_end ended = co_await client_->exchange(request, answer);
  client_.reset();
  const int status = answer.head.status;
  found.delivered = status >= 200 && status < 300;
  found.refused = notify::ends_tries(status);
  found.why = status == 0 ? ended.message : fmt::format("HTTP {}", status);
  co_return found;
}

// Returns when to try again; nothing if there are no more tries.
std::optional<std::int64_t> batch_announcer::judge(const store::announcement& what,
                                                   const outcome& how) {
  const std::string host = notify::shown_host(options_.url);
  if (how.delivered) {
    say(severity::info, what.batch.id, fmt::format("its end was posted to {}", host));
    return std::nullopt;
  }
  const auto pause = how.refused ? std::nullopt : notify::event_pause_after(what.tries);
  if (!pause) {
    say(severity::warning, what.batch.id,
        fmt::format("its end could not be posted to {} in {} tries ({}); given up", host,
                    what.tries, how.why));
    return std::nullopt;
  }
  say(severity::warning, what.batch.id,
      fmt::format("its end could not be posted to {} ({}); next try in {} s", host, how.why,
                  pause->count()));
  return unix_now() + pause->count();
}

// Waits until wake(), the next try, or the next check of the store.
asio::awaitable<void> batch_announcer::sleep() {
  if (stopping_) co_return;
  if (!std::exchange(woken_, false)) {
    duration longest = poll;
    if (due_at_) {
      const auto left = std::chrono::seconds{std::max<std::int64_t>(*due_at_ - unix_now(), 1)};
      longest = std::min<duration>(longest, left);
    }
    const auto timer = time_.call_at(time_.now() + longest, [this] { idle_.wake_all(); });
    co_await idle_.wait();
    time_.cancel(timer);
    woken_ = false;
  }
}

void batch_announcer::wake() {
  woken_ = true;
  idle_.wake_all();
}

void batch_announcer::stop() {
  stopping_ = true;
  wake();
}

void batch_announcer::abort() {
  aborted_ = true;
  stop();
  if (client_) {
    client_->stop_sending();
    client_->abort();
  }
}

void batch_announcer::say(severity level, const std::string& batch,
                          const std::string& sentence) const {
  if (observer_ != nullptr && observer_->wants(level)) {
    observer_->on_notice({.level = level, .run = batch, .text = sentence});
  }
}

batch_announcer::client_maker webhook_clients(asio::io_context& loop, clock& time,
                                              duration timeout) {
  return [&loop, &time, timeout](const notify::message& sent) {
    relay_options way;
    way.base_url = sent.url + "#";  // use exactly this address
    way.headers = sent.headers;
    way.proxy = proxy_from_environment(base_url::parse(way.base_url), std::getenv);
    way.connect_timeout = timeout;
    way.first_byte_timeout = timeout;
    way.total_timeout = timeout;
    return make_http_client(loop, time, way);
  };
}

}  // namespace sluice::server
