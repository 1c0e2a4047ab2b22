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

std::string said(std::string_view delta, std::string_view finish = "null") {
  return R"(data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[)"
         R"({"index":0,"delta":{)" +
         std::string(delta) + R"(},"finish_reason":)" + std::string(finish) + "}]}\n\n";
}

// The head after 40 ms (a connection took 10 of them), a role at once, then content.
test::exchange_plan stream() {
  test::exchange_plan planned;
  planned.connecting = 10ms;
  planned.before_head = 30ms;
  planned.head.status = 200;
  planned.head.fields.add("Content-Type", "text/event-stream");
  planned.head.fields.add("X-Request-Id", "req_1");
  planned.head.fields.add("Set-Cookie", "a=1");
  planned.body = {{0ms, said(R"("role":"assistant","content":"")")},
                  {20ms, said(R"("reasoning_content":"hm")")},
                  {30ms, said(R"("content":"hel")")},
                  {40ms, said(R"("content":"lo")", R"("stop")")},
                  {50ms, "data: [DONE]\n\n"}};
  return planned;
}

struct noting final : attempt_observer {
  explicit noting(clock& time) : time_(time), begin_(time.now()) {}
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

  std::vector<std::string> told;
  std::string raw;
  std::string cookie;

 private:
  void note(const std::string& what) {
    told.push_back(std::to_string((time_.now() - begin_) / 1ms) + " ms: " + what);
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
  std::optional<attempt> tried;
  std::optional<attempt_outcome> told;
  bool thrown = false;

  void make(attempt_observer* observer = nullptr) { make(observer, client); }
  void make(attempt_observer* observer, http_client& by) {
    told.reset();
    boost::asio::co_spawn(
        loop,
        [this, observer, &by]() -> boost::asio::awaitable<void> {
          const auto turn = co_await gate.enter();
          if (!turn) co_return;
          tried.emplace(time, attempt::way{by, relay, hidden, gate}, *turn,
                        openai::reply_reader::expectation{.model = "m"}, observer);
          try {
            told = co_await tried->send({"/v1/chat/completions", "{}", "key", true});
          } catch (const std::runtime_error&) {
            thrown = true;
          }
        },
        boost::asio::detached);
    test::run_virtual(loop, time, [&] { return told || thrown; });
  }
  // How many more may start now; they end at once, and their slots count as used.
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

TEST_F(attempt_test, reads_the_reply_and_keeps_the_moments) {
  client.plan = [](const auto&) { return stream(); };
  const time_point begin = time.now();
  make();
  ASSERT_TRUE(told->has_value()) << told->error().message;
  EXPECT_THAT((*told)->body, HasSubstr(R"("content":"hello")"));
  EXPECT_EQ((*told)->request_id, "req_1");
  EXPECT_TRUE(tried->end().sent_whole);
  const auto& seen = tried->seen();
  EXPECT_EQ(seen.started, begin);
  EXPECT_EQ(seen.sending, begin + 10ms);
  EXPECT_TRUE(seen.connected_anew);
  EXPECT_EQ(seen.head, begin + 40ms);
  EXPECT_EQ(seen.first_piece, begin + 60ms) << "a role is no piece, reasoning is";
  EXPECT_EQ(seen.ended, begin + 180ms);
  EXPECT_EQ(tried->pieces().content, 2U);
  EXPECT_EQ(tried->pieces().reasoning, 1U);
}

TEST_F(attempt_test, an_observer_sees_the_head_the_bytes_and_the_pieces_as_they_come) {
  client.plan = [](const auto&) { return stream(); };
  noting observer(time);
  make(&observer);
  ASSERT_TRUE(told->has_value());
  EXPECT_THAT(observer.told, ElementsAre("10 ms: sending", "40 ms: head 200", "60 ms: pieces 1",
                                         "90 ms: pieces 2", "130 ms: pieces 3"));
  EXPECT_EQ(observer.cookie, "a=1") << "a field that nobody here reads";
  std::string sent;
  for (const auto& [delay, piece] : stream().body) sent += piece;
  EXPECT_EQ(observer.raw, sent);
  const std::size_t held = tried->held();
  make();
  EXPECT_EQ(held, tried->held() + sent.size()) << "what it keeps counts as well";
}

TEST_F(attempt_test, what_the_kernel_stamped_came_then) {
  // Told of by 5 ms too late, as a loop that is busy is.
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
    EXPECT_FALSE(tried->seen().connected_anew);
    EXPECT_EQ(tried->seen().head, begin + 25ms);
    EXPECT_EQ(tried->seen().first_piece, begin + 45ms);
    EXPECT_EQ(tried->seen().ended, begin + (how == exchange_end::how::complete ? 165ms : 170ms))
        << "a connection breaks when it is told";
  }
}

TEST_F(attempt_test, the_gate_knows_of_a_slot_that_was_used) {
  const struct {
    const char* name;
    test::exchange_plan planned;
    std::size_t slots;  // that are left of two
  } rows[] = {
      {"a reply", stream(), 1},
      {"a refusal", test::refusal_plan(429), 1},
      {"no connection", test::unreachable_plan(), 2},
  };
  for (const auto& row : rows) {
    time.advance(10min);
    client.plan = [&](const auto&) { return row.planned; };
    make();
    EXPECT_EQ(gate.now().in_flight, 1U) << row.name << ": until it is left";
    tried->leave();
    EXPECT_EQ(gate.now().in_flight, 0U) << row.name;
    EXPECT_EQ(slots_left(), row.slots) << row.name;
  }
}

TEST_F(attempt_test, a_slot_is_free_a_minute_after_the_head_however_long_the_reply_takes) {
  auto slow = stream();  // its head comes after 40 ms
  slow.body.front().first = 5min;
  auto silent = stream();
  silent.before_head = 5min;
  const struct {
    const char* name;
    test::exchange_plan planned;
    duration after;
    std::size_t slots;  // of two
  } rows[] = {
      {"a minute after the head at the soonest", slow, 60s, 1},
      {"a minute after the head", slow, 62s, 2},
      {"without a head it may have been on its way", silent, 62s, 1},
      {"without a head, once the margin is over as well", silent, 82s, 2},
  };
  for (const auto& row : rows) {
    time.advance(10min);
    client.plan = [&](const auto&) { return row.planned; };
    std::optional<std::size_t> left;
    time.call_at(time.now() + row.after, [&] { left = slots_left(); });
    make();
    EXPECT_EQ(left, row.slots) << row.name;
    tried->leave();
  }
}

TEST_F(attempt_test, a_client_that_throws_leaves_the_gate) {
  client.plan = [](const auto&) -> test::exchange_plan { throw std::runtime_error("broken"); };
  make();
  EXPECT_TRUE(thrown);
  EXPECT_EQ(gate.now().in_flight, 0U);
}

TEST_F(attempt_test, one_that_is_never_sent_gives_its_slot_back) {
  for (int i = 0; i < 5; ++i) {  // more than there are slots
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

TEST_F(attempt_test, a_reply_is_as_long_as_the_relay_may_answer) {
  relay.max_response_bytes = 100;
  client.plan = [](const auto&) { return test::completion_plan(std::string(200, 'x')); };
  make();
  ASSERT_FALSE(told->has_value());
  EXPECT_EQ(told->error().code, errc::response_too_large);
}

TEST_F(attempt_test, what_is_kept_names_the_address_and_no_key) {
  client.plan = [&](const auto&) {
    auto planned = test::refusal_plan(404, "no " + relay.api_key);
    planned.head.fields.add("X-Request-Id", relay.api_key);
    return planned;
  };
  make();
  tried->redact(*told);
  const failure& why = told->error();
  EXPECT_EQ(why.message, "request to https://relay.example/v1/chat/completions: no [key]");
  EXPECT_EQ(why.request_id, "[key]");
  EXPECT_EQ(why.body.find(relay.api_key), std::string::npos);
  client.plan = [&](const auto&) { return test::completion_plan(relay.api_key); };
  time.advance(10min);
  make();
  tried->redact(*told);
  EXPECT_THAT((*told)->body, HasSubstr(R"("content":"[key]")"));
}

}  // namespace
}  // namespace sluice
