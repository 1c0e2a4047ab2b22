#pragma once

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/wait_queue.hpp"
#include "http/http_client.hpp"
#include "sluice/clock.hpp"

namespace sluice::test {

/// The course of one exchange, step by step.
struct exchange_plan {
  duration connecting{};   ///< time for a new connection; zero: a reused one
  duration before_sent{};  ///< time until the last byte is sent
  bool sent_any = true;    ///< some bytes were sent before it ended
  bool sent_whole = true;  ///< all bytes were sent
  duration on_the_way{};   ///< from the last byte sent until the relay counts the request
  duration before_head = std::chrono::milliseconds{300};  ///< from the last byte sent
  bool with_head = true;
  response_head head = {};
  /// Pieces of the body, each with the time since the previous one.
  std::vector<std::pair<duration, std::string>> body = {};
  exchange_end::how end = exchange_end::how::complete;
  std::string message = {};
};

/// One call of exchange().
struct exchange_call {
  time_point at{};
  std::string path;
  std::string body;
  std::string idempotency_key;
  bool streamed = false;
  http_client::verb method = http_client::verb::post;
  std::size_t number = 0;     ///< number of earlier calls
  std::size_t in_flight = 0;  ///< including this one
  header_fields fields = {};  ///< from the caller
};

/// A client without a network: a script decides the course of each exchange, on the test's clock.
class fake_client final : public http_client {
 public:
  using script = std::function<exchange_plan(const exchange_call&)>;

  explicit fake_client(clock& time) : time_(time) {}

  script plan;
  std::vector<exchange_call> calls;
  std::vector<time_point> counted;  ///< when the relay counted each request
  std::vector<std::size_t> sent;    ///< the call number of each request in `counted`
  std::size_t in_flight = 0;
  std::size_t most_in_flight = 0;
  unsigned aborts = 0;

  boost::asio::awaitable<exchange_end> exchange(outgoing request,
                                                response_handler& handler) override {
    ++in_flight;
    most_in_flight = std::max(most_in_flight, in_flight);
    exchange_call call{time_.now(),
                       std::string(request.path),
                       std::string(request.body),
                       std::string(request.idempotency_key),
                       request.streamed,
                       request.method,
                       calls.size(),
                       in_flight,
                       request.fields == nullptr ? header_fields{} : *request.fields};
    calls.push_back(call);
    const exchange_plan planned = plan(call);
    exchange_end result;
    way here;
    here.epoch = epoch_;
    here.number = call.number;
    const exchange_group::member in_group(
        request.group, [] {},
        [&here] {
          here.aborted = true;
          here.room.wake_all();
          if (here.parked != nullptr) here.parked->cancel();
        });
    const bool whole = co_await follow(planned, handler, result, here);
    --in_flight;
    if (here.refused) {
      result.end = exchange_end::how::unreachable;
      result.message = "interrupted";
    } else if (whole) {
      result.end = planned.end;
      result.message = planned.message;
    } else {
      result.end = exchange_end::how::broken;
      result.message = "aborted";
    }
    co_return result;
  }

  void allow_sending() override { sending = true; }
  void stop_sending() override { sending = false; }
  bool sending = true;

  void abort() override {
    ++aborts;
    ++epoch_;
    for (auto* waiting : parked_) waiting->cancel();
  }

 private:
  using parking = boost::asio::steady_timer;

  // State of one exchange.
  struct way {
    std::uint64_t epoch = 0;
    std::size_t number = 0;
    parking* parked = nullptr;
    wait_queue room;  // woken when the exchange is aborted
    bool aborted = false;
    bool refused = false;  // by the handler, before the first byte
  };

  // Returns false if the exchange was aborted.
  boost::asio::awaitable<bool> follow(const exchange_plan& planned, response_handler& handler,
                                      exchange_end& result, way& here) {
    if (!co_await pass(planned.connecting + planned.before_sent, here)) co_return false;
    result.sent_any = planned.sent_any;
    if (!planned.sent_any) co_return true;
    if (!handler.may_send()) {
      result.sent_any = false;
      here.refused = true;
      co_return true;
    }
    handler.on_sending(planned.connecting > duration{});
    counted.push_back(time_.now() + planned.on_the_way);
    sent.push_back(here.number);
    if (!planned.sent_whole) co_return true;
    result.sent_whole = true;
    handler.on_sent();
    if (!co_await pass(planned.before_head, here)) co_return false;
    if (!planned.with_head) co_return true;
    result.head_arrived = true;
    handler.on_head(planned.head);
    for (const auto& [delay, piece] : planned.body) {
      if (!co_await pass(delay, here)) co_return false;
      wait_queue* const signal = handler.room_signal();
      while (signal != nullptr && !handler.has_room() && !here.aborted) {
        co_await wait_queue::wait_in_both(*signal, here.room);
      }
      if (here.aborted) co_return false;
      if (handler.on_body(piece) == body_need::nothing) co_return true;
    }
    co_return true;
  }

  boost::asio::awaitable<bool> pass(duration time, way& here) {
    parking parked(co_await boost::asio::this_coro::executor, parking::time_point::max());
    const auto place = parked_.insert(parked_.end(), &parked);
    here.parked = &parked;
    const auto alarm = time_.call_at(time_.now() + time, [&parked] { parked.cancel(); });
    boost::system::error_code woken;
    co_await parked.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, woken));
    time_.cancel(alarm);
    parked_.erase(place);
    here.parked = nullptr;
    co_return !here.aborted && here.epoch == epoch_;
  }

  clock& time_;
  std::list<parking*> parked_;
  std::uint64_t epoch_ = 0;
};

/// The whole reply of a chat completion, as JSON.
inline exchange_plan completion_plan(std::string_view text = "hello",
                                     duration head = std::chrono::milliseconds{300}) {
  exchange_plan planned;
  planned.before_head = head;
  planned.head.status = 200;
  planned.head.fields.add("Content-Type", "application/json");
  planned.head.fields.add("X-Request-Id", "req_fake");
  planned.body = {
      {duration{},
       R"({"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,)"
       R"("message":{"role":"assistant","content":")" +
           std::string(text) +
           R"("},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,)"
           R"("total_tokens":15}})"}};
  return planned;
}

/// A refusal with an OpenAI error object.
inline exchange_plan refusal_plan(int status, std::string_view message = "no",
                                  std::string_view code = "",
                                  const std::map<std::string, std::string>& hints = {}) {
  exchange_plan planned;
  planned.head.status = status;
  planned.head.fields.add("Content-Type", "application/json");
  for (const auto& [name, value] : hints) planned.head.fields.add(name, value);
  planned.body = {{duration{}, R"({"error":{"message":")" + std::string(message) +
                                   R"(","type":"error","code":")" + std::string(code) + R"("}})"}};
  return planned;
}

/// An exchange that gets no connection.
inline exchange_plan unreachable_plan() {
  exchange_plan planned;
  planned.before_sent = std::chrono::milliseconds{5};
  planned.sent_any = planned.sent_whole = planned.with_head = false;
  planned.end = exchange_end::how::unreachable;
  planned.message = "connection refused";
  return planned;
}

}  // namespace sluice::test
