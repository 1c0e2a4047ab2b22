#include "upstream/attempt.hpp"

#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/fake_client.hpp"
#include "support/manual_clock.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string chunk(std::string_view delta, std::string_view finish = "null") {
  return R"(data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[)"
         R"({"index":0,"delta":{)" +
         std::string(delta) + R"(},"finish_reason":)" + std::string(finish) + "}]}\n\n";
}

// The head arrives after 40 ms (10 ms of them for the connection), a delta with the role at once,
// and then content.
test::exchange_plan stream() {
  test::exchange_plan planned;
  planned.connecting = 10ms;
  planned.before_head = 30ms;
  planned.head.status = 200;
  planned.head.fields.add("Content-Type", "text/event-stream");
  planned.head.fields.add("X-Request-Id", "req_1");
  planned.head.fields.add("Set-Cookie", "a=1");
  planned.body = {{0ms, chunk(R"("role":"assistant","content":"")")},
                  {20ms, chunk(R"("reasoning_content":"hm")")},
                  {30ms, chunk(R"("content":"hel")")},
                  {40ms, chunk(R"("content":"lo")", R"("stop")")},
                  {50ms, "data: [DONE]\n\n"}};
  return planned;
}

struct recording_observer final : attempt_observer {
  explicit recording_observer(clock& time) : time_(time), begin_(time.now()) {}
  void on_sending(time_point) override { note("sending"); }
  void on_head(const response_head& head) override {
    note("head " + std::to_string(head.status));
    cookie = head.fields.last("set-cookie").value_or("");
  }
  void on_body(std::string_view bytes) override { raw += bytes; }
  void on_pieces(const attempt& by) override {
    note("pieces " + std::to_string(by.pieces().any));
    EXPECT_EQ(by.came(), time_.now());
  }
  std::size_t held() const override { return raw.size(); }

  std::vector<std::string> events;
  std::string raw;
  std::string cookie;

 private:
  void note(const std::string& what) {
    events.push_back(std::to_string((time_.now() - begin_) / 1ms) + " ms: " + what);
  }
  clock& time_;
  time_point begin_;
};

struct attempt_test : testing::Test {
  boost::asio::io_context loop{1};
  test::manual_clock time;
  test::fake_client client{time};
  relay_options relay = [] {
    relay_options made;
    made.base_url = "https://relay.example/v1";
    made.api_key = "sk-attempt-0123456789abcdef";
    return made;
  }();
  const secrets hidden{relay};
  start_gate gate{time, {2, 20s, pacing::burst}, 8};  // two starts a minute
  std::optional<attempt> current;
  std::optional<attempt_outcome> outcome;
  bool thrown = false;

  void make(attempt_observer* observer = nullptr) { make(observer, client); }
  void make(attempt_observer* observer, http_client& by) {
    outcome.reset();
    boost::asio::co_spawn(
        loop,
        [this, observer, &by]() -> boost::asio::awaitable<void> {
          const auto turn = co_await gate.enter();
          if (!turn) co_return;
          current.emplace(time, attempt::way{by, relay, hidden, gate}, *turn,
                          openai::reply_reader::expectation{.model = "m"}, observer);
          try {
            outcome = co_await current->send({"/v1/chat/completions", "{}", "key", true});
          } catch (const std::runtime_error&) {
            thrown = true;
          }
        },
        boost::asio::detached);
    test::run_virtual(loop, time, [&] { return outcome || thrown; });
  }
  // Starts attempts until the window is full, and returns their number. The attempts end at once,
  // and their slots count as used.
  std::size_t slots_left() {
    std::size_t left = 0;
    boost::asio::co_spawn(
        loop,
        [&]() -> boost::asio::awaitable<void> {
          while (const auto turn = co_await gate.enter()) {
            ++left;
            gate.leave(*turn, false);
          }
        },
        boost::asio::detached);
    poll();
    gate.close();
    poll();
    gate.open();
    return left;
  }
  void poll() {
    loop.restart();
    while (loop.poll() > 0) {
    }
  }
};

TEST_F(attempt_test, reads_the_reply_and_records_the_times) {
  client.plan = [](const auto&) { return stream(); };
  const time_point begin = time.now();
  make();
  ASSERT_TRUE(outcome->has_value()) << outcome->error().message;
  EXPECT_THAT((*outcome)->body, HasSubstr(R"("content":"hello")"));
  EXPECT_EQ((*outcome)->request_id, "req_1");
  EXPECT_TRUE(current->end().sent_whole);
  const auto& seen = current->seen();
  EXPECT_EQ(seen.started, begin);
  EXPECT_EQ(seen.sending, begin + 10ms);
  EXPECT_TRUE(seen.connected_anew);
  EXPECT_EQ(seen.head, begin + 40ms);
  EXPECT_EQ(seen.first_piece, begin + 60ms) << "reasoning is a piece, a role is not";
  EXPECT_EQ(seen.ended, begin + 180ms);
  EXPECT_EQ(current->pieces().content, 2U);
  EXPECT_EQ(current->pieces().reasoning, 1U);
}

TEST_F(attempt_test, an_observer_gets_the_head_the_bytes_and_the_pieces) {
  client.plan = [](const auto&) { return stream(); };
  recording_observer observer(time);
  make(&observer);
  ASSERT_TRUE(outcome->has_value());
  EXPECT_THAT(observer.events, ElementsAre("10 ms: sending", "40 ms: head 200", "60 ms: pieces 1",
                                           "90 ms: pieces 2", "130 ms: pieces 3"));
  EXPECT_EQ(observer.cookie, "a=1") << "all header fields are passed on";
  std::string sent;
  for (const auto& [delay, piece] : stream().body) sent += piece;
  EXPECT_EQ(observer.raw, sent);
  const std::size_t held = current->held();
  make();
  EXPECT_EQ(held, current->held() + sent.size()) << "bytes stored by the observer count too";
}

TEST_F(attempt_test, the_kernels_timestamps_are_used) {
  // A client that reports events 5 ms late, like a busy event loop.
  struct stamping final : http_client {
    explicit stamping(test::manual_clock& clock) : time(clock) {}
    boost::asio::awaitable<exchange_end> exchange(outgoing, response_handler& handler) override {
      handler.on_sending(false);
      handler.on_sent();
      const auto planned = stream();
      time.advance(30ms);
      handler.on_arrival(time.now() - 5ms);
      handler.on_head(planned.head);
      for (const auto& [delay, piece] : planned.body) {
        time.advance(delay);
        handler.on_arrival(time.now() - 5ms);
        handler.on_body(piece);
      }
      exchange_end end;
      end.end = how;
      end.sent_any = end.sent_whole = end.head_arrived = true;
      co_return end;
    }
    void stop_sending() override {}
    void allow_sending() override {}
    void abort() override {}
    test::manual_clock& time;
    exchange_end::how how = exchange_end::how::complete;
  };
  for (const auto how : {exchange_end::how::complete, exchange_end::how::broken}) {
    stamping stamped(time);
    stamped.how = how;
    const time_point begin = time.now();
    make(nullptr, stamped);
    EXPECT_FALSE(current->seen().connected_anew);
    EXPECT_EQ(current->seen().head, begin + 25ms);
    EXPECT_EQ(current->seen().first_piece, begin + 45ms);
    EXPECT_EQ(current->seen().ended, begin + (how == exchange_end::how::complete ? 165ms : 170ms))
        << "a broken connection has no arrival time, so the current time counts";
  }
}

TEST_F(attempt_test, the_gate_counts_a_used_slot) {
  const struct {
    const char* name;
    test::exchange_plan planned;
    std::size_t slots;  // number of free slots, of two
  } rows[] = {
      {"a reply", stream(), 1},
      {"a refusal", test::refusal_plan(429), 1},
      {"no connection", test::unreachable_plan(), 2},
  };
  for (const auto& row : rows) {
    time.advance(10min);
    client.plan = [&](const auto&) { return row.planned; };
    make();
    EXPECT_EQ(gate.now().in_flight, 1U) << row.name << ": until leave()";
    current->leave();
    EXPECT_EQ(gate.now().in_flight, 0U) << row.name;
    EXPECT_EQ(slots_left(), row.slots) << row.name;
  }
}

TEST_F(attempt_test, a_slot_is_free_a_minute_after_the_head_even_if_the_reply_takes_longer) {
  auto slow = stream();  // its head arrives after 40 ms
  slow.body.front().first = 5min;
  auto silent = stream();
  silent.before_head = 5min;
  const struct {
    const char* name;
    test::exchange_plan planned;
    duration after;
    std::size_t slots;  // number of free slots, of two
  } rows[] = {
      {"not earlier than a minute after the head", slow, 60s, 1},
      {"a minute after the head", slow, 62s, 2},
      {"without a head it may have been counted later", silent, 62s, 1},
      {"without a head, after the margin and a minute", silent, 82s, 2},
  };
  for (const auto& row : rows) {
    time.advance(10min);
    client.plan = [&](const auto&) { return row.planned; };
    std::optional<std::size_t> left;
    time.call_at(time.now() + row.after, [&] { left = slots_left(); });
    make();
    EXPECT_EQ(left, row.slots) << row.name;
    current->leave();
  }
}

TEST_F(attempt_test, if_the_client_throws_the_permit_is_given_back) {
  client.plan = [](const auto&) -> test::exchange_plan { throw std::runtime_error("broken"); };
  make();
  EXPECT_TRUE(thrown);
  EXPECT_EQ(gate.now().in_flight, 0U);
}

TEST_F(attempt_test, an_attempt_that_is_never_sent_gives_its_slot_back) {
  for (int i = 0; i < 5; ++i) {  // more often than there are slots
    bool left = false;
    boost::asio::co_spawn(
        loop,
        [&]() -> boost::asio::awaitable<void> {
          const auto turn = co_await gate.enter();
          attempt unsent(time, {client, relay, hidden, gate}, *turn, {});
          unsent.leave();
          left = true;
        },
        boost::asio::detached);
    poll();
    EXPECT_TRUE(left) << i;
  }
}

TEST_F(attempt_test, a_reply_is_limited_by_the_relays_max_response_bytes) {
  relay.max_response_bytes = 100;
  client.plan = [](const auto&) { return test::completion_plan(std::string(200, 'x')); };
  make();
  ASSERT_FALSE(outcome->has_value());
  EXPECT_EQ(outcome->error().code, errc::response_too_large);
}

TEST(redact_outcome, finish_reasons_that_become_the_same_are_added_up) {
  relay_options relay;
  relay.api_key = "sk-0123456789";
  reply came;
  came.finish_reasons = {{"by sk%2D0123456789", 3}, {"by sk-0123456789", 2}, {"stop", 1}};
  attempt_outcome outcome = std::move(came);
  redact(outcome, secrets(relay));
  EXPECT_THAT(outcome->finish_reasons, ElementsAre(Pair("by [key]", 5), Pair("stop", 1)));
}

TEST_F(attempt_test, a_redacted_outcome_contains_the_address_and_no_key) {
  client.plan = [&](const auto&) {
    auto planned = test::refusal_plan(404, "no " + relay.api_key);
    planned.head.fields.add("X-Request-Id", relay.api_key);
    return planned;
  };
  make();
  current->redact(*outcome);
  const failure& why = outcome->error();
  EXPECT_EQ(why.message, "request to https://relay.example/v1/chat/completions: no [key]");
  EXPECT_EQ(why.request_id, "[key]");
  EXPECT_EQ(why.body.find(relay.api_key), std::string::npos);
  client.plan = [&](const auto&) { return test::completion_plan(relay.api_key); };
  time.advance(10min);
  make();
  current->redact(*outcome);
  EXPECT_THAT((*outcome)->body, HasSubstr(R"("content":"[key]")"));
}

}  // namespace
}  // namespace sluice
