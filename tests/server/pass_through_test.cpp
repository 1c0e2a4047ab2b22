// Tests interactive calls in virtual time, between fake clients and a fake relay.
#include "server/pass_through.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "async/wait_queue.hpp"
#include "server/plain_exchange.hpp"
#include "server/reply_pipe.hpp"
#include "server/server_rig.hpp"

namespace sluice::server {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;
using test::completion_plan;
using test::exchange_call;
using test::exchange_plan;
using test::refusal_plan;
using testing::HasSubstr;

constexpr const char* chat = "/v1/chat/completions";

// A request of a client, and the reply that the client got.
class fake_exchange final : public plain_exchange {
 public:
  fake_exchange(clock& time, std::string path, std::string body)
      : time_(time), body_(std::move(body)) {
    head_.method = "POST";
    head_.path = std::move(path);
  }
  http_server::request_head& request() { return head_; }

  const http_server::request_head& head() const noexcept override { return head_; }
  asio::awaitable<std::string_view> read_piece() override {
    piece_ = std::exchange(body_, {});
    co_return std::string_view(piece_);
  }
  asio::awaitable<bool> send(int code, const header_fields& with, std::string_view body) override {
    status = code;
    fields = with;
    text = body;
    complete = !gone_;
    co_return complete;
  }
  asio::awaitable<bool> begin(int code, const header_fields& with,
                              std::optional<std::uint64_t> announced) override {
    status = code;
    fields = with;
    length = announced;
    begun_at = time_.now();
    co_return !gone_;
  }
  asio::awaitable<bool> write(std::string_view piece) override {
    while (slow && !gone_) co_await taken_.wait();
    text += piece;
    pieces.emplace_back(time_.now(), piece);
    co_return !gone_;
  }
  asio::awaitable<bool> finish() override {
    EXPECT_NE(status, 0) << "an answer without a head";
    complete = !gone_;
    co_return complete;
  }
  void on_client_gone(std::function<void()> act) override {
    if (gone_) return act();
    act_ = std::move(act);
  }

  /// The client closes its connection.
  void leave() {
    gone_ = true;
    taken_.wake_all();
    if (act_) std::exchange(act_, nullptr)();
  }
  /// A slow client takes everything that was written.
  void take() {
    slow = false;
    taken_.wake_all();
  }
  std::string field(std::string_view name) const {
    return std::string(fields.last(name).value_or(""));
  }
  nlohmann::json error() const { return nlohmann::json::parse(text)["error"]; }

  int status = 0;
  header_fields fields;
  std::optional<std::uint64_t> length;  // as begin() announced it
  std::string text;
  std::vector<std::pair<time_point, std::string>> pieces;
  time_point begun_at{};
  bool complete = false;
  bool slow = false;
  bool ended = false;  // the handler has returned

 private:
  clock& time_;
  http_server::request_head head_;
  std::string body_;
  std::string piece_;
  std::function<void()> act_;
  wait_queue taken_;
  bool gone_ = false;
};

struct pass_throughs : server_rig {
  ~pass_throughs() override { close(); }

  pass_through& calls() {
    if (!calls_) {
      runner();
      pass_settings.defaults.reply_tokens = 1000;
      calls_ = std::make_unique<pass_through>(
          pass_through::needs{
              .loop = loop,
              .disk = disk,
              .sender = sender(),
              .prices = prices,
              .money = runner().money(),
              .figures = figures,
              .limit_of = [this](const std::string& key) { return runner().limit_of(key); },
              .listener = &notices},
          pass_settings);
    }
    return *calls_;
  }
  void close() {
    if (!calls_) return;
    calls_->stop();
    for (auto& one : made) {
      if (!one->ended) one->leave();
    }
    bool over = false;
    asio::co_spawn(loop, calls_->ended(), [&](const std::exception_ptr& thrown) {
      EXPECT_EQ(thrown, nullptr);
      over = true;
    });
    run([&] { return over; });
    EXPECT_TRUE(over) << "a call hangs";
    calls_.reset();
  }
  // Kills the server and starts it again with its stored data.
  void restart() {
    close();
    stop();
  }

  static std::string body(const std::string& more = "", const std::string& model = "gpt-4o-mini") {
    return R"({"model":")" + model +
           R"(","max_tokens":10,"messages":[{"role":"user","content":"hi"}])" + more + "}";
  }
  fake_exchange& call(const std::string& text = body(), const std::string& key = "",
                      const std::string& path = chat) {
    return *begin(std::make_unique<fake_exchange>(time, path, text), key);
  }
  fake_exchange* begin(std::unique_ptr<fake_exchange> client, const std::string& key) {
    fake_exchange* const one = client.get();
    made.push_back(std::move(client));
    pass_through& through = calls();
    asio::co_spawn(
        loop,
        [](pass_through& to, fake_exchange& from, client_key who) -> asio::awaitable<void> {
          co_await to.serve(from, who);
        }(through, *one, *keys.named(key)),
        [one](const std::exception_ptr& thrown) {
          EXPECT_EQ(thrown, nullptr);
          one->ended = true;
        });
    settle();
    return one;
  }
  // Runs everything that can happen at the current time.
  void settle() {
    const time_point now = time.now();
    bool reached = false;
    const auto alarm = time.call_at(now, [&] { reached = true; });
    run([&] { return reached; });
    time.cancel(alarm);
    loop.restart();
    while (loop.poll() > 0) {
    }
  }
  void pass(duration length) {
    bool reached = false;
    const auto alarm = time.call_at(time.now() + length, [&] { reached = true; });
    run([&] { return reached; });
    time.cancel(alarm);
    settle();
  }
  void finish(const fake_exchange& one) {
    run([&] { return one.ended; });
    EXPECT_TRUE(one.ended) << "the call hangs";
  }
  // The maximum number of starts in any 60 s, as the relay counts them.
  std::size_t most_in_a_minute() const {
    std::size_t most = 0;
    for (std::size_t i = 0; i < relay.counted.size(); ++i) {
      std::size_t n = 0;
      for (std::size_t j = i; j < relay.counted.size() && relay.counted[j] - relay.counted[i] < 60s;
           ++j) {
        ++n;
      }
      most = std::max(most, n);
    }
    return most;
  }
  static exchange_plan stream_plan(std::vector<std::pair<duration, std::string>> pieces) {
    exchange_plan planned;
    planned.head.status = 200;
    planned.head.fields.add("Content-Type", "text/event-stream");
    planned.body = std::move(pieces);
    return planned;
  }
  static std::string delta(const std::string& text) {
    return R"(data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":")" +
           text + "\"}}]}\n\n";
  }
  // The events of Anthropic's messages.
  static std::string message_start() {
    return "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\","
           "\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\n";
  }
  static std::string text_delta() {
    return "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
           "\"delta\":{\"type\":\"text_delta\",\"text\":\"hello\"}}\n\n";
  }
  static std::string message_end() {
    return "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
           "\"end_turn\"},\"usage\":{\"output_tokens\":5}}\n\n"
           "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
  }
  static std::string last() {
    return "data: "
           "{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
  }
  void use_keys(const std::string& more) {
    keys =
        access_keys("[[key]]\nname = \"alice\"\nkey = \"sk-alice-0123456789abc\"\n" + more, "keys");
  }

  pass_through_options pass_settings;
  server_figures figures{0};
  std::vector<std::unique_ptr<fake_exchange>> made;

 private:
  std::unique_ptr<pass_through> calls_;
};

TEST_F(pass_throughs, PassesARequestOnByteForByteAndItsReplyBack) {
  const std::string sent = "{ \"model\" : \"gpt-4o-mini\", \"messages\":[], \"unknown\":1.0 }\n";
  auto client = std::make_unique<fake_exchange>(time, chat, sent);
  client->request().fields.add("Authorization", "Bearer of-the-client");
  client->request().fields.add("X-Stainless-Lang", "js");
  client->request().fields.add("Idempotency-Key", "mine");
  const fake_exchange& one = *begin(std::move(client), "");
  finish(one);
  ASSERT_EQ(relay.calls.size(), 1U);
  EXPECT_EQ(relay.calls[0].path, chat);
  EXPECT_EQ(relay.calls[0].body, sent);
  EXPECT_EQ(relay.calls[0].idempotency_key, "mine");
  EXPECT_EQ(relay.calls[0].fields.last("X-Stainless-Lang"), "js");
  EXPECT_FALSE(relay.calls[0].fields.last("Authorization"));
  EXPECT_EQ(one.status, 200);
  EXPECT_EQ(one.text, completion_plan().body[0].second);
  EXPECT_EQ(one.field("X-Request-Id"), "req_fake");
  EXPECT_TRUE(one.complete);
  const auto counted = figures.calls("", time.now());
  EXPECT_EQ(counted.succeeded, 1U);
  EXPECT_EQ(counted.tokens.total_tokens(), 15);
  EXPECT_GT(counted.cost, usd{});
}

TEST_F(pass_throughs, HandsAStreamThroughAsItComes) {
  relay.plan = [](const exchange_call&) {
    return stream_plan({{1s, delta("a")}, {2s, delta("b")}, {3s, last() + "data: [DONE]\n\n"}});
  };
  const time_point begin = time.now();
  const auto& one = call(body(",\"stream\":true"));
  EXPECT_TRUE(relay.calls.at(0).streamed);
  finish(one);
  EXPECT_EQ(one.begun_at - begin, 300ms) << "the head does not wait for the body";
  ASSERT_EQ(one.pieces.size(), 3U);
  EXPECT_EQ(one.pieces[0].first - begin, 1300ms);
  EXPECT_EQ(one.pieces[1].first - begin, 3300ms);
  EXPECT_EQ(one.pieces[2].first - begin, 6300ms);
  EXPECT_EQ(one.text, delta("a") + delta("b") + last() + "data: [DONE]\n\n");
  EXPECT_TRUE(one.complete);
}

TEST_F(pass_throughs, EstimatesTheTokensOfAStreamWithoutUsage) {
  relay.plan = [](const exchange_call&) {
    return stream_plan({{1s, delta("hello world") + last() + "data: [DONE]\n\n"}});
  };
  const auto& one = call(body(",\"stream\":true"));
  finish(one);
  settle();
  const auto counted = figures.calls("", time.now());
  EXPECT_EQ(counted.tokens.completion_tokens, 2);
  EXPECT_EQ(counted.tokens.prompt_tokens, 8);
}

TEST_F(pass_throughs, SeveralClientsShareOneLimit) {
  options.pace.requests_per_minute = 2;
  for (int i = 0; i < 7; ++i) call();
  run([&] { return std::ranges::all_of(made, [](const auto& one) { return one->ended; }); });
  EXPECT_EQ(relay.calls.size(), 7U);
  EXPECT_EQ(most_in_a_minute(), 2U);
  for (const auto& one : made) EXPECT_EQ(one->status, 200);
}

TEST_F(pass_throughs, GoesBeforeTheBatchAndTheCapHolds) {
  options.pace.requests_per_minute = 5;
  const std::string id = create(lines(20));
  runner();
  run([&] { return relay.calls.size() >= 5; });
  const auto& one = call(body(",\"user\":\"interactive\""));
  EXPECT_EQ(one.status, 0) << "it waits for the minute";
  finish(one);
  EXPECT_EQ(one.status, 200);
  std::size_t at = 0;
  while (at < relay.calls.size() && relay.calls[at].body.find("interactive") == std::string::npos)
    ++at;
  EXPECT_EQ(at, 5U) << "the first one of the next minute";
  run_until_ended({id});
  EXPECT_EQ(most_in_a_minute(), 5U);
  EXPECT_EQ(batch(id).progress.counts.completed, 20U);
}

TEST_F(pass_throughs, AReserveKeepsSlotsFreeForCalls) {
  options.pace.requests_per_minute = 5;
  options.pace.interactive_reserve = 2;
  const std::string id = create(lines(20));
  runner();
  run([&] { return relay.calls.size() >= 3; });
  pass(10s);
  EXPECT_EQ(relay.calls.size(), 3U) << "the batch leaves two of five";
  for (int i = 0; i < 2; ++i) {
    const auto& one = call();
    finish(one);
    EXPECT_EQ(one.status, 200);
  }
  EXPECT_LT(time.now() - relay.calls[0].at, 12s);
  run_until_ended({id});
  EXPECT_LE(most_in_a_minute(), 5U);
}

TEST_F(pass_throughs, FlexWaitsBehindOtherCalls) {
  options.pace.requests_per_minute = 1;
  finish(call());
  const auto& flex = call(body(",\"service_tier\":\"flex\""));
  const auto& usual = call();
  finish(usual);
  EXPECT_FALSE(flex.ended);
  finish(flex);
  EXPECT_THAT(relay.calls.at(2).body, HasSubstr("\"service_tier\":\"flex\"")) << "sent unchanged";
}

TEST_F(pass_throughs, AClientThatLeavesCancelsItsRequestAtOnce) {
  relay.plan = [](const exchange_call&) {
    return stream_plan({{1s, delta("a")}, {1h, delta("b")}});
  };
  auto& one = call(body(",\"stream\":true"));
  pass(2s);
  EXPECT_EQ(relay.in_flight, 1U);
  const time_point left = time.now();
  one.leave();
  finish(one);
  EXPECT_EQ(relay.in_flight, 0U);
  EXPECT_EQ(time.now(), left);
  EXPECT_EQ(one.text, delta("a"));
  EXPECT_FALSE(one.complete);
  EXPECT_EQ(figures.calls("", time.now()).gone, 1U);
  EXPECT_EQ(figures.calls("", time.now()).failed, 0U);
  EXPECT_TRUE(notices.warnings.empty()) << "this says nothing of the relay";
}

TEST_F(pass_throughs, AClientThatLeavesWhileItWaitsTakesNoSlot) {
  options.pace.requests_per_minute = 1;
  finish(call());
  auto& impatient = call(body(",\"user\":\"impatient\""));
  const auto& patient = call();
  pass(10s);
  impatient.leave();
  finish(impatient);
  finish(patient);
  EXPECT_EQ(patient.status, 200);
  EXPECT_EQ(relay.calls.size(), 2U);
  EXPECT_LT(time.now() - relay.calls[0].at, 62s) << "the very next slot was free for it";
}

TEST_F(pass_throughs, ASlowClientMakesTheRelayWait) {
  const std::string piece = delta(std::string(16 * 1024, 'x'));
  relay.plan = [&](const exchange_call&) {
    std::vector<std::pair<duration, std::string>> pieces(100, {1ms, piece});
    pieces.emplace_back(1ms, last());
    return stream_plan(std::move(pieces));
  };
  auto client = std::make_unique<fake_exchange>(time, chat, body(",\"stream\":true"));
  client->slow = true;
  auto& one = *begin(std::move(client), "");
  pass(60s);
  EXPECT_TRUE(one.pieces.empty());
  EXPECT_EQ(relay.in_flight, 1U);
  one.take();
  finish(one);
  EXPECT_TRUE(one.complete);
  EXPECT_EQ(one.text.size(), 100 * piece.size() + last().size());
  for (const auto& [at, bytes] : one.pieces) {
    EXPECT_LE(bytes.size(), reply_pipe::most_waiting + piece.size())
        << "no more than this was in memory";
  }
}

TEST_F(pass_throughs, ASlowClientThatLeavesEndsTheExchange) {
  relay.plan = [&](const exchange_call&) {
    return stream_plan(std::vector<std::pair<duration, std::string>>(
        100, {1ms, delta(std::string(16 * 1024, 'x'))}));
  };
  auto client = std::make_unique<fake_exchange>(time, chat, body(",\"stream\":true"));
  client->slow = true;
  auto& one = *begin(std::move(client), "");
  pass(60s);
  one.leave();
  finish(one);
  EXPECT_EQ(relay.in_flight, 0U);
}

TEST_F(pass_throughs, ARefusalThatPassesIsTriedAgain) {
  for (const int status : {429, 503, 529}) {
    relay.calls.clear();
    relay.plan = [status](const exchange_call& call) {
      return call.number == 0 ? refusal_plan(status, "slow down", "", {{"Retry-After", "3"}})
                              : completion_plan();
    };
    const time_point begin = time.now();
    const auto& one = call();
    finish(one);
    EXPECT_EQ(one.status, 200) << status;
    EXPECT_EQ(relay.calls.size(), 2U);
    EXPECT_GE(time.now() - begin, 3s);
    EXPECT_EQ(relay.calls[0].idempotency_key, relay.calls[1].idempotency_key);
  }
}

TEST_F(pass_throughs, WhatMayHaveBeenBilledIsNotSentTwice) {
  for (const int status : {400, 401, 404, 408, 422, 500, 502, 504}) {
    relay.calls.clear();
    relay.plan = [status](const exchange_call&) {
      return refusal_plan(status, "no", "some_code", {{"X-Request-Id", "req_9"}});
    };
    const auto& one = call();
    finish(one);
    EXPECT_EQ(one.status, status);
    EXPECT_EQ(relay.calls.size(), 1U) << status;
    EXPECT_EQ(one.error()["code"], "some_code") << "as the relay wrote it";
    EXPECT_EQ(one.field("X-Request-Id"), "req_9");
  }
  relay.calls.clear();
  relay.plan = [](const exchange_call&) {
    exchange_plan cut;
    cut.with_head = false;
    cut.end = exchange_end::how::broken;
    cut.message = "reset";
    return cut;
  };
  const auto& one = call();
  finish(one);
  EXPECT_EQ(one.status, 502);
  EXPECT_EQ(relay.calls.size(), 1U);
  EXPECT_EQ(one.error()["type"], "server_error");
}

TEST_F(pass_throughs, ALongHintIsLeftToTheClient) {
  relay.plan = [](const exchange_call&) {
    return refusal_plan(429, "slow down", "rate_limit_exceeded", {{"Retry-After", "90"}});
  };
  const time_point begin = time.now();
  const auto& one = call();
  finish(one);
  EXPECT_EQ(one.status, 429);
  EXPECT_EQ(one.field("Retry-After"), "90");
  EXPECT_EQ(relay.calls.size(), 1U);
  EXPECT_LT(time.now() - begin, 1s);
}

TEST_F(pass_throughs, WithoutAConnectionItIsTriedForAWhile) {
  relay.plan = [](const exchange_call&) { return test::unreachable_plan(); };
  const time_point begin = time.now();
  const auto& one = call();
  finish(one);
  EXPECT_EQ(one.status, 503);
  EXPECT_GT(relay.calls.size(), 1U);
  EXPECT_LE(time.now() - begin, 61s);
  EXPECT_EQ(one.error()["code"], "relay_unavailable");
  EXPECT_NE(one.field("Retry-After"), "");
  relay.plan = [](const exchange_call&) { return completion_plan(); };
  const auto& later = call();
  finish(later);
  EXPECT_EQ(later.status, 200);
}

TEST_F(pass_throughs, ARelayThatAsksForALongWaitIsNotAskedBeforeItsEnd) {
  relay.plan = [](const exchange_call& call) {
    return call.number == 0 ? refusal_plan(429, "come back", "", {{"Retry-After", "3600"}})
                            : completion_plan();
  };
  finish(call());
  const auto& early = call();
  finish(early);
  EXPECT_EQ(early.status, 503);
  const double seconds = std::stod(early.field("Retry-After"));
  EXPECT_NEAR(seconds, 3600, 120);
  EXPECT_EQ(relay.calls.size(), 1U);
  pass(std::chrono::seconds{static_cast<int>(seconds) + 1});
  const auto& late = call();
  finish(late);
  EXPECT_EQ(late.status, 200);
}

TEST_F(pass_throughs, AReplyThatBreaksOffDoesNotLookComplete) {
  relay.plan = [](const exchange_call&) {
    auto planned = stream_plan({{1s, delta("a")}});
    planned.end = exchange_end::how::broken;
    return planned;
  };
  const auto& one = call(body(",\"stream\":true"));
  finish(one);
  EXPECT_EQ(one.status, 200);
  EXPECT_EQ(one.text, delta("a"));
  EXPECT_FALSE(one.complete);
  EXPECT_EQ(relay.calls.size(), 1U);
}

TEST_F(pass_throughs, TheRelaysKeyDoesNotComeBack) {
  options.relay.api_key = "sk-of-the-relay-0123456789";
  relay.plan = [](const exchange_call&) {
    return refusal_plan(401, "Incorrect API key provided: sk-of-the-relay-0123456789");
  };
  const auto& one = call();
  finish(one);
  EXPECT_EQ(one.status, 401);
  EXPECT_THAT(one.text, testing::Not(HasSubstr("0123456789")));
}

TEST_F(pass_throughs, AKeyUsesOnlyItsModels) {
  use_keys("models = [\"gpt-4o-mini\"]\n");
  const auto& one = call(body("", "gpt-4o"), "alice");
  finish(one);
  EXPECT_EQ(one.status, 404);
  EXPECT_EQ(one.error()["code"], "model_not_found");
  EXPECT_EQ(one.error()["param"], "model");
  EXPECT_EQ(relay.calls.size(), 0U);
  const auto& other = call(body(), "alice");
  finish(other);
  EXPECT_EQ(other.status, 200);
}

TEST_F(pass_throughs, AKeyOverItsOwnLimitIsRefusedWithATime) {
  use_keys("rpm = 2\n");
  for (int i = 0; i < 2; ++i) finish(call(body(), "alice"));
  const auto& one = call(body(), "alice");
  finish(one);
  EXPECT_EQ(one.status, 429);
  EXPECT_EQ(one.error()["code"], "rate_limit_exceeded");
  const int seconds = std::stoi(one.field("Retry-After"));
  EXPECT_GT(seconds, 55);
  EXPECT_LE(seconds, 61);
  EXPECT_EQ(relay.calls.size(), 2U);
  pass(std::chrono::seconds{seconds});
  const auto& later = call(body(), "alice");
  finish(later);
  EXPECT_EQ(later.status, 200);
}

TEST_F(pass_throughs, AKeyOverItsTokensIsRefused) {
  use_keys("tpm = 30\n");
  finish(call(body(), "alice"));
  const auto& one = call(body(), "alice");
  finish(one);
  EXPECT_EQ(one.status, 429) << "8 tokens of the prompt and 10 of the reply, beside 15";
  EXPECT_EQ(one.error()["type"], "tokens");
}

TEST_F(pass_throughs, ACallWaitsWhereABatchHasUsedTheLimitOfItsKey) {
  use_keys("rpm = 3\n");
  const std::string id = create(lines(9), [](store::batch_record& one) { one.owner = "alice"; });
  runner();
  run([&] { return relay.calls.size() >= 3; });
  const auto& one = call(body(",\"user\":\"interactive\""), "alice");
  finish(one);
  EXPECT_EQ(one.status, 200);
  EXPECT_THAT(relay.calls.at(3).body, HasSubstr("interactive")) << "before the rest of the batch";
  run_until_ended({id});
  EXPECT_EQ(most_in_a_minute(), 3U);
}

// With gpt-4o-mini, a call reserves less than $0.0001 and costs $0.0000045.
TEST_F(pass_throughs, TwoCallsCannotSpendTheSameMoney) {
  use_keys("budget = \"0.00002\"\n");
  relay.plan = [](const exchange_call&) { return completion_plan("x", 5s); };
  const auto& first = call(body(), "alice");
  const auto& second = call(body(), "alice");
  const auto& third = call(body(), "alice");
  for (const auto* one : {&first, &second, &third}) finish(*one);
  EXPECT_EQ(first.status, 200);
  const bool both = second.status == 200;
  const auto& refused = both ? third : second;
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.error()["code"], "rate_limit_exceeded") << "what is reserved may come back";
  EXPECT_NE(refused.field("Retry-After"), "");
  settle();
  const usd one_call = *usd::parse("0.0000045");
  EXPECT_EQ(records.add_call_spend("alice", {}), one_call * (both ? 2 : 1)) << "settled exactly";
}

TEST_F(pass_throughs, ASpentBudgetStaysSpentAfterARestart) {
  use_keys("budget = \"0.00002\"\n");
  std::size_t served = 0;
  while (served < 10) {
    const auto& one = call(body(), "alice");
    finish(one);
    settle();
    if (one.status != 200) {
      EXPECT_EQ(one.error()["code"], "insufficient_quota");
      EXPECT_EQ(one.field("X-Should-Retry"), "false");
      break;
    }
    ++served;
  }
  EXPECT_GT(served, 0U);
  EXPECT_LT(served, 3U);
  restart();
  const auto& again = call(body(), "alice");
  finish(again);
  EXPECT_EQ(again.status, 429);
  EXPECT_EQ(again.error()["type"], "insufficient_quota");
}

TEST_F(pass_throughs, ACallOfUnknownOutcomeKeepsItsReservation) {
  use_keys("budget = \"1\"\n");
  relay.plan = [](const exchange_call&) {
    return stream_plan({{1s, delta("a")}, {1h, delta("b")}});
  };
  auto& one = call(body(",\"stream\":true"), "alice");
  pass(2s);
  const usd reserved = records.add_call_spend("alice", {});
  EXPECT_GT(reserved, usd{}) << "in the store before it is sent";
  one.leave();
  finish(one);
  settle();
  EXPECT_EQ(records.add_call_spend("alice", {}), reserved);
  relay.plan = [](const exchange_call&) { return refusal_plan(400, "no"); };
  finish(call(body(), "alice"));
  settle();
  EXPECT_EQ(records.add_call_spend("alice", {}), reserved) << "a refusal costs nothing";
}

// The relay has not kept to max_tokens, and tells no usage.
TEST_F(pass_throughs, AnEstimatedCostAboveTheReservationCounts) {
  use_keys("budget = \"1\"\n");
  std::string words;
  for (int i = 0; i < 1000; ++i) words += "word ";
  relay.plan = [&](const exchange_call&) {
    auto planned = completion_plan();
    planned.body = {{5s, R"({"object":"chat.completion","choices":[{"index":0,"message":{"role":)"
                         R"("assistant","content":")" +
                             words + R"("},"finish_reason":"stop"}]})"}};
    return planned;
  };
  const auto& one = call(body(",\"max_tokens\":1"), "alice");
  pass(1s);
  const usd reserved = records.add_call_spend("alice", {});
  finish(one);
  settle();
  EXPECT_EQ(one.status, 200);
  EXPECT_GT(records.add_call_spend("alice", {}), reserved * 10);
}

TEST_F(pass_throughs, ABatchAndCallsShareTheBudgetOfTheirKey) {
  use_keys("budget = \"0.0001\"\n");
  options.pace.requests_per_minute = 30;
  const std::string id = create(lines(40), [](store::batch_record& one) { one.owner = "alice"; });
  runner();
  run([&] { return relay.calls.size() >= 3; });
  std::size_t served = 0;
  for (int i = 0; i < 30; ++i) {
    const auto& one = call(body(), "alice");
    finish(one);
    if (one.status == 200) ++served;
    pass(2s);
  }
  pass(10min);
  EXPECT_GT(served, 0U);
  const usd spent = batch(id).progress.spent + records.add_call_spend("alice", {});
  EXPECT_LE(spent, *usd::parse("0.0001"));
  EXPECT_GT(spent, *usd::parse("0.00008")) << "and nearly all of it can be used";
  EXPECT_EQ(spent, *usd::parse("0.0000045") * static_cast<std::int64_t>(relay.calls.size()));
}

TEST_F(pass_throughs, AModelWithoutAPriceIsRefusedToAKeyWithABudget) {
  use_keys("budget = \"1\"\n");
  const auto& one = call(body("", "a-model-without-a-price"), "alice");
  finish(one);
  EXPECT_EQ(one.status, 400);
  EXPECT_EQ(one.error()["code"], "cost_not_bounded");
  EXPECT_EQ(relay.calls.size(), 0U);
}

TEST_F(pass_throughs, ABodyThatCannotBeReadIsRefused) {
  pass_settings.max_body_bytes = 100;
  const auto& large = call(std::string(200, ' '));
  finish(large);
  EXPECT_EQ(large.status, 413);
  const auto& broken = call("{\"model\":");
  finish(broken);
  EXPECT_EQ(broken.status, 400);
  EXPECT_EQ(broken.error()["type"], "invalid_request_error");
  EXPECT_EQ(relay.calls.size(), 0U);
}

TEST_F(pass_throughs, StoppingRefusesThoseThatWaitAndLetsTheOthersFinish) {
  options.pace.requests_per_minute = 1;
  relay.plan = [](const exchange_call&) { return completion_plan("x", 20s); };
  const auto& in_flight = call();
  const auto& waiting = call();
  calls().stop();
  finish(waiting);
  EXPECT_EQ(waiting.status, 503);
  finish(in_flight);
  EXPECT_EQ(in_flight.status, 200);
  const auto& late = call();
  finish(late);
  EXPECT_EQ(late.status, 503);
}

TEST_F(pass_throughs, AMessagesCallIsCountedAndRefusedInItsOwnForm) {
  options.relay.api_key = "sk-of-the-relay-0123456789";
  relay.plan = [](const exchange_call&) {
    auto planned = completion_plan();
    planned.body = {
        {duration{},
         R"({"type":"message","content":[],"usage":{"input_tokens":7,"output_tokens":3}})"}};
    return planned;
  };
  const auto& one = call(body("", "claude-x"), "", "/v1/messages");
  finish(one);
  EXPECT_EQ(one.status, 200);
  EXPECT_TRUE(one.complete);
  EXPECT_EQ(relay.calls.at(0).path, "/v1/messages");
  EXPECT_EQ(relay.calls.at(0).fields.last("x-api-key"), "sk-of-the-relay-0123456789");
  EXPECT_EQ(figures.calls("", time.now()).tokens.total_tokens(), 10);
  use_keys("rpm = 1\n");
  finish(call(body("", "claude-x"), "alice", "/v1/messages"));
  const auto& refused = call(body("", "claude-x"), "alice", "/v1/messages");
  finish(refused);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(nlohmann::json::parse(refused.text)["type"], "error");
}

TEST_F(pass_throughs, AMessageThatBreaksOffKeepsItsReservation) {
  use_keys("budget = \"1\"\n");
  const std::string error =
      "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
      "\"message\":\"Overloaded\"}}\n\n";
  usd kept;
  std::uint64_t failed = 0;
  for (const std::string& end : {std::string(), error}) {
    const std::string events = message_start() + text_delta() + text_delta() + end;
    relay.plan = [&](const exchange_call&) { return stream_plan({{1s, events}, {10s, ""}}); };
    const auto& one = call(body(",\"stream\":true"), "alice", "/v1/messages");
    pass(5s);
    const usd reserved = records.add_call_spend("alice", {});
    EXPECT_GT(reserved, kept);
    finish(one);
    settle();
    kept = records.add_call_spend("alice", {});
    EXPECT_EQ(kept, reserved) << end;
    EXPECT_EQ(one.text, events) << "the client gets what the relay sent";
    EXPECT_TRUE(one.complete) << "and it ends as at the relay";
    const auto counted = figures.calls("alice", time.now());
    EXPECT_EQ(counted.failed, ++failed);
    EXPECT_EQ(counted.succeeded, 0U);
  }
  relay.plan = [](const exchange_call&) {
    return stream_plan({{1s, message_start() + text_delta() + message_end()}});
  };
  finish(call(body(",\"stream\":true"), "alice", "/v1/messages"));
  settle();
  kept += *usd::parse("0.0000045");
  EXPECT_EQ(records.add_call_spend("alice", {}), kept) << "a whole message is settled exactly";
  EXPECT_EQ(figures.calls("alice", time.now()).succeeded, 1U);
}

TEST_F(pass_throughs, AMessagesCallWithAnotherReplyKeepsItsReservation) {
  use_keys("budget = \"1\"\n");
  relay.plan = [](const exchange_call&) {
    auto planned = completion_plan();
    planned.body = {{5s, R"({"error":{"message":"no channel"},"usage":{"input_tokens":0}})"}};
    return planned;
  };
  const auto& one = call(body(), "alice", "/v1/messages");
  pass(1s);
  const usd reserved = records.add_call_spend("alice", {});
  finish(one);
  settle();
  EXPECT_EQ(one.status, 200);
  EXPECT_TRUE(one.complete);
  EXPECT_EQ(records.add_call_spend("alice", {}), reserved);
  EXPECT_EQ(figures.calls("alice", time.now()).failed, 1U);
}

// Azure's content filter.
TEST_F(pass_throughs, ARefusalThatIsAReplyIsPassedOnOnce) {
  std::string filtered = completion_plan().body[0].second;
  filtered.replace(filtered.find("\"stop\""), 6, "\"content_filter\"");
  relay.plan = [&](const exchange_call&) {
    auto planned = completion_plan();
    planned.head.status = 400;
    planned.body = {{1s, filtered}};
    return planned;
  };
  const auto& one = call();
  finish(one);
  EXPECT_EQ(one.status, 400);
  EXPECT_EQ(one.text, filtered);
  EXPECT_TRUE(one.complete);
  EXPECT_EQ(relay.calls.size(), 1U);
  const auto counted = figures.calls("", time.now());
  EXPECT_EQ(counted.succeeded, 1U);
  EXPECT_EQ(counted.tokens.total_tokens(), 15);
}

// The HTTP client may have decompressed the body, even if no header names an encoding.
TEST_F(pass_throughs, TheLengthOfACompressedReplyIsNotPassedOn) {
  const std::string whole = completion_plan(std::string(200, 'x')).body[0].second;
  relay.plan = [&](const exchange_call& call) {
    auto planned = completion_plan();
    planned.head.fields.add("Content-Length", "90");
    planned.body = {{call.number == 0 ? duration{} : 1s, whole}};
    return planned;
  };
  for (int i = 0; i < 2; ++i) {
    const auto& one = call();
    finish(one);
    EXPECT_EQ(one.text, whole);
    EXPECT_FALSE(one.length);
    EXPECT_EQ(one.field("Content-Length"), "");
    EXPECT_TRUE(one.complete);
  }
}

}  // namespace
}  // namespace sluice::server
