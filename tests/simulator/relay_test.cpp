#include "simulator/relay.hpp"

#include <gtest/gtest.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "simulator/exchange.hpp"

namespace sluice::simulator {
namespace {

using boost::asio::ip::tcp;
using nlohmann::json;

/// What the client received until the connection ended.
struct received {
  int status = 0;  ///< 0: no head arrived
  std::string head;
  std::string body;
  boost::system::error_code end;  ///< eof, or the error that ended the connection

  json document() const { return json::parse(body); }
};

const std::string a_chat =
    R"({"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"max_tokens":9)";

/// Sends one request on a new connection and reads until the relay ends it.
received send(const relay& relay, const std::string& method, const std::string& path,
              const std::string& body = "",
              const std::string& headers = "Authorization: Bearer k\r\n",
              const std::string& version = "HTTP/1.1") {
  boost::asio::io_context io;
  tcp::socket socket(io);
  socket.connect({boost::asio::ip::make_address("127.0.0.1"), relay.port()});
  boost::asio::write(
      socket, boost::asio::buffer(
                  method + " " + path + " " + version + "\r\nHost: relay\r\nConnection: close\r\n" +
                  headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body));
  received reply;
  std::string bytes;
  boost::asio::read(socket, boost::asio::dynamic_buffer(bytes), reply.end);
  const auto split = bytes.find("\r\n\r\n");
  if (split == std::string::npos) return reply;
  reply.head = bytes.substr(0, split + 2);
  reply.body = bytes.substr(split + 4);
  reply.status = std::stoi(reply.head.substr(9, 3));
  return reply;
}

received chat(const relay& relay, const std::string& more = "}",
              const std::string& headers = "Authorization: Bearer k\r\n") {
  return send(relay, "POST", "/v1/chat/completions", a_chat + more, headers);
}

/// The chunks of a chunked body. Sets `finished` if the last chunk arrived.
std::vector<std::string> chunks_of(const std::string& body, bool& finished) {
  std::vector<std::string> data;
  finished = false;
  for (std::size_t at = 0; at < body.size();) {
    const auto line = body.find("\r\n", at);
    if (line == std::string::npos) break;
    const auto size = std::stoul(body.substr(at, line - at), nullptr, 16);
    if (size == 0) {
      finished = true;
      break;
    }
    data.push_back(body.substr(line + 2, size));
    at = line + 2 + size + 2;
  }
  return data;
}

/// The data of a chunked body.
std::string unchunked(const std::string& body, bool& finished) {
  std::string data;
  for (const auto& chunk : chunks_of(body, finished)) data += chunk;
  return data;
}

/// A connection on which a chat request has just been sent.
tcp::socket begin_chat(boost::asio::io_context& io, const relay& relay, const std::string& more) {
  tcp::socket socket(io);
  socket.connect({boost::asio::ip::make_address("127.0.0.1"), relay.port()});
  const std::string body = a_chat + more;
  boost::asio::write(socket, boost::asio::buffer("POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\n"
                                                 "Authorization: Bearer k\r\nContent-Length: " +
                                                 std::to_string(body.size()) + "\r\n\r\n" + body));
  return socket;
}

json ledger(const relay& relay, bool with_requests = false) {
  return json::parse(relay.ledger_json(with_requests));
}

/// Waits until the ledger fulfils the condition. Returns false after ten seconds.
template <class Condition>
bool comes_true(const relay& relay, Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition(ledger(relay))) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

options with_faults(const char* faults) {
  options options;
  options.faults = parse_fault_profile(faults);
  return options;
}

TEST(Relay, AnswersAndBillsTheSameStreamedOrNot) {
  relay relay(options{});
  relay.start();
  const auto plain = chat(relay);
  ASSERT_EQ(plain.status, 200);
  EXPECT_NE(plain.head.find("X-Oneapi-Request-Id: "), std::string::npos);

  const auto streamed = chat(relay, R"(,"stream":true,"stream_options":{"include_usage":true}})");
  ASSERT_EQ(streamed.status, 200);
  EXPECT_NE(streamed.head.find("text/event-stream"), std::string::npos);
  bool finished = false;
  const auto events = unchunked(streamed.body, finished);
  EXPECT_TRUE(finished);
  EXPECT_NE(events.find("data: [DONE]\n\n"), std::string::npos);
  const auto usage = plain.document()["usage"];
  EXPECT_NE(events.find("\"usage\":{\"prompt_tokens\":" + usage["prompt_tokens"].dump()),
            std::string::npos);

  const auto book = ledger(relay);
  EXPECT_EQ(book["attempts"], 2);
  EXPECT_EQ(book["delivered"]["requests"], 2);
  EXPECT_EQ(book["delivered"]["tokens"]["completion"], 2 * usage["completion_tokens"].get<int>());
  EXPECT_EQ(book["delivered"], book["billed"]);
  // Twice 8 prompt and 9 completion tokens of gpt-4o, at $2.50 and $10 per million.
  EXPECT_EQ(book["billed"]["cost_usd"], "0.00022");
}

TEST(Relay, AnswersAndBillsLikeAnExchange) {
  for (const auto* cheat :
       {"none", "substituted", "inflated", "injected", "fake-stream", "mixed=0.5", "overbilled"}) {
    options options;
    options.cheat = parse_cheat(cheat);
    relay relay(options);
    relay.start();
    inference_service service(options);
    usd charged;
    for (std::uint64_t number = 1; number <= 4; ++number) {
      const auto* more = number % 2 == 0 ? R"(,"stream":true})" : "}";
      const auto expected = exchange_with(service, options, endpoint::chat, a_chat + more, number);
      const auto sent = chat(relay, more);
      EXPECT_EQ(sent.status, expected.status);
      bool finished = false;
      const auto without_time = [](std::string body) {
        for (std::size_t at = 0; (at = body.find(R"("created":)", at)) != std::string::npos; ++at)
          body.erase(at + 10, body.find(',', at) - at - 10);
        return body;
      };
      EXPECT_EQ(without_time(number % 2 == 0 ? unchunked(sent.body, finished) : sent.body),
                without_time(expected.body()))
          << cheat;
      charged += expected.cost;
    }
    EXPECT_EQ(ledger(relay)["billed"]["cost_usd"], charged.to_string()) << cheat;
  }
}

TEST(Relay, SpreadsAStreamOverTimeWithoutChangingIt) {
  options options;
  options.ttft = std::chrono::milliseconds(2);
  options.itl = std::chrono::microseconds(300);
  relay slow(options);
  relay fast(simulator::options{});
  slow.start();
  fast.start();
  bool finished = false;
  const auto content = [&](const relay& relay) {
    const auto events = unchunked(chat(relay, R"(,"stream":true})").body, finished);
    EXPECT_TRUE(finished);
    std::string text;
    for (std::size_t at = 0; (at = events.find("data: {", at)) != std::string::npos; ++at) {
      const auto chunk = json::parse(events.substr(at + 6, events.find('\n', at) - at - 6));
      text += chunk["choices"][0]["delta"].value("content", "");
    }
    return text;
  };
  const auto text = content(slow);
  EXPECT_FALSE(text.empty());
  EXPECT_EQ(text, content(fast));
}

TEST(Relay, KeepsAConnectionForTheNextRequest) {
  relay relay(options{});
  relay.start();
  boost::asio::io_context io;
  tcp::socket socket(io);
  socket.connect({boost::asio::ip::make_address("127.0.0.1"), relay.port()});
  const std::string body = a_chat + "}";
  const std::string request =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer k\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\n";
  boost::asio::write(socket, boost::asio::buffer(request + "\r\n" + body + request +
                                                 "Connection: close\r\n\r\n" + body));
  std::string bytes;
  boost::system::error_code end;
  boost::asio::read(socket, boost::asio::dynamic_buffer(bytes), end);
  EXPECT_EQ(end, boost::asio::error::eof);
  const auto second = bytes.find("HTTP/1.1 200", 1);
  EXPECT_NE(second, std::string::npos);
  EXPECT_EQ(ledger(relay)["delivered"]["requests"], 2);
}

TEST(Relay, RefusesOverItsLimitAndCountsIt) {
  options options;
  options.rpm = 3;
  relay relay(options);
  relay.start();
  for (int call = 0; call < 3; ++call) EXPECT_EQ(chat(relay).status, 200);
  const auto refused = chat(relay);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.head.find("etry-"), std::string::npos) << "these relays send no hint";
  EXPECT_NE(refused.document()["error"]["message"].get<std::string>().find("1分钟内最多请求3次"),
            std::string::npos);
  EXPECT_EQ(send(relay, "GET", "/v1/models").status, 200) << "the limit counts only inference";
  const auto book = ledger(relay);
  EXPECT_EQ(book["attempts"], 4);
  EXPECT_EQ(book["max_in_60s"], 4);
  EXPECT_EQ(book["over_limit_refusals"], 1);
  EXPECT_EQ(book["outcomes"], (json{{"200", 3}, {"429", 1}}));
}

TEST(Relay, ALeakyGatewayRefusesWithAnHtmlPage) {
  options options;
  options.rpm = 1;
  options.mode = limit_mode::leaky;
  relay relay(options);
  relay.start();
  EXPECT_EQ(chat(relay).status, 200);
  const auto refused = chat(relay);
  EXPECT_EQ(refused.head.substr(0, 45), "HTTP/1.1 503 Service Temporarily Unavailable\r");
  EXPECT_NE(refused.head.find("Content-Type: text/html\r\n"), std::string::npos);
  EXPECT_EQ(refused.body.substr(0, 6), "<html>");
  EXPECT_NE(refused.body.find("<h1>503 Service Temporarily Unavailable</h1>"), std::string::npos);
  EXPECT_EQ(ledger(relay)["outcomes"], (json{{"200", 1}, {"503", 1}}));
}

TEST(Relay, RefusesUnknownKeys) {
  options options;
  options.keys = {{"sk-good", 10, {}}};
  relay relay(options);
  relay.start();
  EXPECT_EQ(chat(relay, "}", "").status, 401);
  EXPECT_EQ(chat(relay, "}", "Authorization: Bearer sk-bad\r\n").status, 401);
  EXPECT_EQ(chat(relay, "}", "authorization: bearer sk-good\r\n").status, 200);
  EXPECT_TRUE(chat(relay, "}", "").document()["error"]["message"].is_string());
  EXPECT_EQ(send(relay, "GET", "/v1/models", "", "").status, 401);
  EXPECT_EQ(send(relay, "GET", "/simulator/ledger", "", "").status, 200);
  EXPECT_EQ(ledger(relay)["attempts"], 4);
}

TEST(Relay, ErrorsNameTheProblemOfARequest) {
  relay relay(options{});
  relay.start();
  const auto post = [&](const std::string& body) {
    return send(relay, "POST", "/v1/chat/completions", body);
  };
  EXPECT_EQ(post("{").status, 400);
  EXPECT_EQ(post(R"({"model":"gpt-4o"})").status, 400);
  const auto unknown = post(R"({"model":"no-such","messages":[{"role":"user","content":"x"}]})");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.document()["error"]["code"], "model_not_found");
  const auto nowhere = send(relay, "POST", "/v1/v1/chat/completions", "{}");
  EXPECT_EQ(nowhere.status, 404);
  EXPECT_EQ(nowhere.document()["error"]["message"].get<std::string>().find(
                "Invalid URL (POST /v1/v1/chat/completions)"),
            0U);
  EXPECT_EQ(ledger(relay)["billed"]["requests"], 0);
}

TEST(Relay, StopsServingWhenTheBalanceIsSpent) {
  options options;
  options.balance = usd::parse("0.0003");
  relay relay(options);
  relay.start();
  EXPECT_EQ(chat(relay).status, 200);
  EXPECT_EQ(chat(relay).status, 200);
  const auto refused = chat(relay);
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.document()["error"]["code"], "insufficient_user_quota");
  EXPECT_EQ(ledger(relay)["accounts"][0]["remaining_usd"], "0.00008");
}

TEST(Relay, AKeyWithoutMoneyIsRefusedOnAllRoutes) {
  options options;
  options.balance = usd::parse("0.00022");
  relay relay(options);
  relay.start();
  EXPECT_EQ(chat(relay).status, 200);
  EXPECT_EQ(chat(relay).status, 200);
  const auto refused = chat(relay);
  const auto models = send(relay, "GET", "/v1/models");
  EXPECT_EQ(models.status, 401);
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.document()["error"]["code"], models.document()["error"]["code"]);
  const std::string words = refused.document()["error"]["message"];
  EXPECT_EQ(words.find("无效的令牌"), 0U) << words;
  EXPECT_EQ(ledger(relay)["outcomes"], (json{{"200", 2}, {"401", 1}}));
  EXPECT_EQ(ledger(relay)["accounts"][0]["attempts"], 3);
}

TEST(Relay, ACutReplyIsBilledAndNotDelivered) {
  relay relay(with_faults("cut=1"));
  relay.start();
  for (int number = 0; number < 12; ++number) {
    const auto more = ",\"seed\":" + std::to_string(number);
    const auto whole = chat(relay, more + "}");
    EXPECT_TRUE(whole.status == 0 || !json::accept(whole.body));
    bool finished = false;
    const auto events = unchunked(chat(relay, more + ",\"stream\":true}").body, finished);
    EXPECT_EQ(events.find("\"finish_reason\":\"length\""), std::string::npos);
  }
  const auto book = ledger(relay);
  EXPECT_EQ(book["delivered"]["requests"], 0);
  EXPECT_EQ(book["billed_undelivered"]["attempts"], 24);
  EXPECT_EQ(book["billed_undelivered"]["cost_usd"], book["billed"]["cost_usd"]);
  EXPECT_EQ(book["faults"]["cut"], 24);
  EXPECT_EQ(book["outcomes"]["cut"], 24);
}

TEST(Relay, ResetsBeforeAndAfterBilling) {
  relay early(with_faults("reset=1"));
  relay late(with_faults("reset-late=1"));
  for (auto* const relay : {&early, &late}) {
    relay->start();
    const auto reply = chat(*relay);
    EXPECT_EQ(reply.status, 0);
    EXPECT_EQ(reply.end, boost::asio::error::connection_reset);
  }
  EXPECT_EQ(ledger(early)["billed"]["requests"], 0);
  EXPECT_EQ(ledger(late)["billed_undelivered"]["attempts"], 1);
}

TEST(Relay, AStallKeepsTheConnectionOpenAndIsBilled) {
  relay relay(with_faults("stall=1"));
  relay.start();
  boost::asio::io_context io;
  auto socket = begin_chat(io, relay, ",\"stream\":true}");
  char first = 0;
  boost::asio::read(socket, boost::asio::buffer(&first, 1));
  const auto book = ledger(relay);
  EXPECT_EQ(book["billed_undelivered"]["attempts"], 1);
  EXPECT_EQ(book["outcomes"]["stall"], 1);
}

TEST(Relay, AHangIsBilledAndSendsNothing) {
  auto options = with_faults("hang=1");
  options.ttft = std::chrono::hours(1);
  relay relay(options);
  relay.start();
  boost::asio::io_context io;
  auto socket = begin_chat(io, relay, ",\"stream\":true}");
  ASSERT_TRUE(
      comes_true(relay, [](const json& book) { return book["outcomes"].contains("hang"); }));
  const auto book = ledger(relay);
  EXPECT_EQ(book["billed_undelivered"]["attempts"], 1);
  EXPECT_EQ(book["faults"], (json{{"hang", 1}}));
  EXPECT_EQ(socket.available(), 0U);
}

TEST(Relay, AnEarlyHeadComesBeforeTheFirstToken) {
  for (const auto* more : {"}", ",\"stream\":true}"}) {
    auto options = with_faults("early-head=1");
    options.ttft = std::chrono::hours(1);
    relay slow(options);
    slow.start();
    boost::asio::io_context io;
    auto socket = begin_chat(io, slow, more);
    std::string bytes;
    const auto head =
        boost::asio::read_until(socket, boost::asio::dynamic_buffer(bytes), "\r\n\r\n");
    EXPECT_EQ(bytes.substr(0, 15), "HTTP/1.1 200 OK");
    EXPECT_EQ(bytes.size(), head);
    EXPECT_EQ(ledger(slow)["outcomes"], json::object()) << "its body is still due";

    options.ttft = {};
    relay fast(options);
    relay plain(simulator::options{});
    fast.start();
    plain.start();
    const auto without_id = [](const std::string& body) {
      return body.substr(std::min(body.find("choices"), body.size()), 40);
    };
    EXPECT_EQ(without_id(chat(fast, more).body), without_id(chat(plain, more).body));
    EXPECT_EQ(ledger(fast)["outcomes"], (json{{"200", 1}}));
    EXPECT_EQ(ledger(fast)["faults"], (json{{"early-head", 1}}));
    EXPECT_EQ(ledger(fast)["delivered"], ledger(plain)["delivered"]);
  }
}

TEST(Relay, CountsARetryBeforeTheTimeOfItsHint) {
  for (const auto* fault : {"429-hint=1", "429-reset=1"}) {
    relay relay(with_faults(fault));
    relay.start();
    EXPECT_EQ(chat(relay).status, 429);
    EXPECT_EQ(ledger(relay)["early_after_hint"], 0);
    EXPECT_EQ(chat(relay).status, 429);
    EXPECT_EQ(ledger(relay)["early_after_hint"], 1) << fault;
  }
  relay relay(with_faults("429=1"));
  relay.start();
  chat(relay);
  chat(relay);
  EXPECT_EQ(ledger(relay)["early_after_hint"], 0) << "without a hint no retry is early";
}

TEST(Relay, AClientThatLeavesIsBilledAndNotDelivered) {
  options options;
  options.ttft = std::chrono::milliseconds(100);
  relay relay(options);
  relay.start();
  {
    boost::asio::io_context io;
    auto socket = begin_chat(io, relay, "}");
  }
  ASSERT_TRUE(comes_true(
      relay, [](const json& book) { return book["outcomes"].contains("client_closed"); }));
  const auto book = ledger(relay);
  EXPECT_EQ(book["delivered"]["requests"], 0);
  EXPECT_EQ(book["billed_undelivered"]["attempts"], 1);
}

TEST(Relay, AReplyThatTheClientCannotReadIsNotDelivered) {
  constexpr int clients = 20;
  relay relay(options{});
  boost::asio::io_context io;
  for (int client = 0; client < clients; ++client) {
    // Both clients leave before the relay reads: one closes, the other resets.
    auto closed = begin_chat(io, relay, client % 2 == 0 ? "}" : ",\"stream\":true}");
    auto reset = begin_chat(io, relay, "}");
    reset.set_option(boost::asio::socket_base::linger(true, 0));
  }
  relay.start();
  ASSERT_TRUE(comes_true(relay, [](const json& book) {
    return book["outcomes"].value("client_closed", 0) >= clients;
  }));
  EXPECT_EQ(chat(relay).status, 200);
  const auto book = ledger(relay);
  EXPECT_EQ(book["delivered"]["requests"], 1);
  EXPECT_EQ(book["outcomes"]["200"], 1);
  EXPECT_GE(book["billed_undelivered"]["attempts"], clients);
}

TEST(Relay, AHalfClosedClientIsAnswered) {
  for (const auto ttft : {std::chrono::milliseconds(0), std::chrono::milliseconds(30)}) {
    for (const auto* more : {"}", ",\"stream\":true}"}) {
      options options;
      options.ttft = ttft;
      options.itl = ttft / 30;
      relay relay(options);
      relay.start();
      boost::asio::io_context io;
      auto socket = begin_chat(io, relay, more);
      socket.shutdown(tcp::socket::shutdown_send);
      std::string bytes;
      boost::system::error_code end;
      boost::asio::read(socket, boost::asio::dynamic_buffer(bytes), end);
      EXPECT_EQ(bytes.substr(0, 15), "HTTP/1.1 200 OK");
      EXPECT_EQ(end, boost::asio::error::eof);
      const auto book = ledger(relay);
      EXPECT_EQ(book["delivered"]["requests"], 1) << more << " after " << ttft.count() << " ms";
    }
  }
}

TEST(Relay, AClientThatLeavesDuringAStreamIsBilledAndNotDelivered) {
  for (const bool resets : {false, true}) {
    options options;
    options.itl = std::chrono::milliseconds(10);
    relay relay(options);
    relay.start();
    {
      boost::asio::io_context io;
      auto socket = begin_chat(io, relay, ",\"stream\":true}");
      char first = 0;
      boost::asio::read(socket, boost::asio::buffer(&first, 1));
      socket.set_option(boost::asio::socket_base::linger(resets, 0));
    }
    ASSERT_TRUE(comes_true(
        relay, [](const json& book) { return book["outcomes"].contains("client_closed"); }));
    EXPECT_EQ(ledger(relay)["billed_undelivered"]["attempts"], 1);
  }
}

TEST(Relay, StoppingFinishesOpenAttempts) {
  options options;
  options.faults = parse_fault_profile("stall=1");
  options.ttft = std::chrono::hours(1);
  relay relay(options);
  relay.start();
  boost::asio::io_context io;
  auto socket = begin_chat(io, relay, "}");
  ASSERT_TRUE(comes_true(relay, [](const json& book) { return book["billed"]["requests"] == 1; }));
  EXPECT_EQ(ledger(relay)["billed_undelivered"]["attempts"], 0) << "still in flight";
  relay.stop();
  EXPECT_EQ(ledger(relay)["billed_undelivered"]["attempts"], 1);
}

TEST(Relay, AFaultyRunIsTheSameInAnyOrder) {
  const auto outcomes = [](bool backwards) {
    auto options = with_faults("faulty");
    options.faults.probability[static_cast<std::size_t>(fault_kind::stall)] = 0;
    options.rpm = 0;
    relay relay(options);
    relay.start();
    for (int count = 0; count < 80; ++count) {
      const int number = backwards ? 79 - count : count;
      for (int attempt = 0; attempt < 2; ++attempt)
        chat(relay, ",\"seed\":" + std::to_string(number) + "}");
    }
    auto book = ledger(relay);
    book.erase("max_in_60s");
    book.erase("early_after_hint");  // depends on the time
    book.erase("accounts");
    return book;
  };
  const auto forwards = outcomes(false);
  EXPECT_EQ(forwards, outcomes(true));
  EXPECT_GT(forwards["billed_undelivered"]["attempts"], 0);
  EXPECT_GT(forwards["delivered"]["requests"], 100);
}

/// The ledger after equal requests with different keys. Each request is retried until it is
/// answered.
json ledger_of_equal_requests(bool side_by_side, const std::string& run) {
  constexpr std::size_t requests = 30;
  options options;
  options.rpm = 0;
  options.faults = parse_fault_profile("500=0.4,429=0.2,cut=0.2");
  options.faults.longest_run = 3;
  relay relay(options);
  relay.start();
  std::vector<int> left(requests, 1);  // number of attempts; negative once answered
  const auto attempt = [&](std::size_t number) {
    const auto reply = chat(
        relay, "}",
        "Authorization: Bearer k\r\nIdempotency-Key: " + run + std::to_string(number) + "\r\n");
    const bool answered = reply.status == 200 && json::accept(reply.body);
    left[number] = answered ? -left[number] : left[number] + 1;
  };
  for (int round = 0; side_by_side && round < 9; ++round)
    for (std::size_t number = 0; number < requests; ++number)
      if (left[number] > 0) attempt(number);
  for (std::size_t number = 0; number < requests; ++number)
    while (left[number] > 0 && left[number] < 9) attempt(number);
  for (const int attempts : left) EXPECT_GE(attempts, -4) << "four faults in a row";
  for (const int attempts : left) EXPECT_LT(attempts, 0) << "never answered";
  auto book = ledger(relay);
  book.erase("max_in_60s");
  book.erase("accounts");
  EXPECT_GT(book["faults"].size(), 2U) << "equal requests must not all get the same faults";
  return book;
}

TEST(Relay, EqualRequestsHaveTheirOwnFaultsInAnyOrder) {
  const auto one_by_one = ledger_of_equal_requests(false, "monday-");
  EXPECT_EQ(one_by_one, ledger_of_equal_requests(true, "tuesday-"));
}

TEST(Relay, RaggedPiecesJoinToTheSameReply) {
  relay ragged(with_faults("ragged=1"));
  relay plain(options{});
  ragged.start();
  plain.start();
  EXPECT_EQ(chat(ragged).document()["choices"], chat(plain).document()["choices"]);
  bool finished = false;
  unchunked(chat(ragged, ",\"stream\":true}").body, finished);
  EXPECT_TRUE(finished);
  EXPECT_EQ(ledger(ragged)["delivered"]["requests"], 2);
}

TEST(Relay, RaggedChunksEndInsideLinesAndCharacters) {
  const std::string question =
      R"({"model":"gpt-4o","messages":[{"role":"user","content":"请用中文写一段话"}],"stream":true})";
  int in_a_line = 0;
  int in_a_character = 0;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    auto options = with_faults("ragged=1");
    options.seed = seed;
    relay ragged(options);
    ragged.start();
    bool finished = false;
    const auto chunks =
        chunks_of(send(ragged, "POST", "/v1/chat/completions", question).body, finished);
    EXPECT_TRUE(finished);
    ASSERT_FALSE(chunks.empty());
    EXPECT_TRUE(chunks.back().ends_with("[DONE]\n\n")) << "its end is one piece";
    std::string before;
    for (const auto& chunk : chunks) {
      const bool continues = (static_cast<unsigned char>(chunk.front()) & 0xC0U) == 0x80U;
      in_a_character += continues ? 1 : 0;
      const auto line = before.rfind('\n') + 1;
      in_a_line += before.size() > line && before.compare(line, 5, "data:") == 0 ? 1 : 0;
      before += chunk;
    }
    EXPECT_EQ(ledger(ragged)["delivered"]["requests"], 1);
  }
  EXPECT_GT(in_a_line, 0);
  EXPECT_GT(in_a_character, 0);
}

TEST(Relay, KeepsACompleteStreamOpenAndCountsItAsDelivered) {
  relay relay(with_faults("held-open=1"));
  relay.start();
  boost::asio::io_context io;
  auto socket = begin_chat(io, relay, ",\"stream\":true}");
  std::string bytes;
  boost::asio::read_until(socket, boost::asio::dynamic_buffer(bytes), "data: [DONE]\n\n\r\n");
  ASSERT_TRUE(comes_true(relay, [](const json& book) {
    return book["delivered"]["requests"] == 1;
  })) << "the client is still connected";
  EXPECT_EQ(bytes.find("\r\n0\r\n"), std::string::npos) << "the last chunk is missing";
  EXPECT_EQ(socket.available(), 0U);
  EXPECT_EQ(ledger(relay)["outcomes"], (json{{"200", 1}}));

  EXPECT_EQ(chat(relay).status, 200) << "only a stream can stay open";
}

TEST(Relay, AnswersInTheFormOfTheNamedFault) {
  struct form {
    const char* fault;
    const char* more;
    int status;
    const char* type;
  };
  for (const auto& [fault, more, status, type] :
       {form{"json-for-stream=1", ",\"stream\":true}", 200, "application/json"},
        form{"stream-for-json=1", "}", 200, "text/event-stream"},
        form{"filtered=1", ",\"stream\":true}", 400, "application/json"},
        form{"crlf=1", ",\"stream\":true}", 200, "text/event-stream"},
        form{"no-channel=1", "}", 503, "application/json"},
        form{"error-mid-stream=1", "}", 200, "application/json"}}) {
    relay relay(with_faults(fault));
    relay.start();
    const auto reply = chat(relay, more);
    EXPECT_EQ(reply.status, status) << fault;
    EXPECT_NE(reply.head.find("Content-Type: " + std::string(type)), std::string::npos) << fault;
  }
}

TEST(Relay, GroupsTheAttemptsOfAnIdempotencyKey) {
  relay relay(options{});
  relay.start();
  const std::string headers = "Authorization: Bearer k\r\nIdempotency-Key: job-1\r\n";
  chat(relay, "}", headers);
  chat(relay, ",\"stream\":true}", headers);
  const auto requests = send(relay, "GET", "/simulator/ledger?requests=1").document()["requests"];
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0]["key"], "job-1");
  EXPECT_EQ(requests[0]["deliveries"], 2);
}

/// The reply to raw bytes.
std::string reply_to(const relay& relay, const std::string& bytes) {
  boost::asio::io_context io;
  tcp::socket socket(io);
  socket.connect({boost::asio::ip::make_address("127.0.0.1"), relay.port()});
  boost::asio::write(socket, boost::asio::buffer(bytes));
  std::string reply;
  boost::system::error_code end;
  boost::asio::read(socket, boost::asio::dynamic_buffer(reply), end);
  return reply;
}

TEST(Relay, AnswersHeadWithTheHeadOfGet) {
  relay relay(options{});
  relay.start();
  const std::string common = " HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer k\r\n";
  for (const std::string path : {"/v1/models", "/simulator/ledger", "/nowhere"}) {
    const auto both = reply_to(
        relay, "HEAD " + path + common + "\r\nGET " + path + common + "Connection: close\r\n\r\n");
    const auto end_of_head = both.find("\r\n\r\n");
    ASSERT_NE(end_of_head, std::string::npos);
    EXPECT_EQ(both.find("HTTP/1.1 ", 1), end_of_head + 4) << "the next reply follows directly";
    const auto get = both.substr(end_of_head + 4);
    EXPECT_EQ(both.substr(0, 12), get.substr(0, 12));
    const auto length_of = [](const std::string& reply) {
      const auto at = reply.find("Content-Length: ");
      return reply.substr(at, reply.find("\r\n", at) - at);
    };
    EXPECT_TRUE(path == "/nowhere" || length_of(both) == length_of(get));
  }
}

TEST(Relay, CountsARequestThatIsTooLarge) {
  options options;
  options.rpm = 2;
  relay relay(options);
  relay.start();
  const std::string head =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer k\r\n";
  const auto huge = head + "Content-Length: 1000000000000\r\n\r\n";
  EXPECT_EQ(reply_to(relay, huge).substr(0, 12), "HTTP/1.1 413");
  EXPECT_EQ(reply_to(relay, huge).substr(0, 12), "HTTP/1.1 413");
  EXPECT_EQ(chat(relay).status, 429) << "they count for the limit like all calls";
  const auto book = ledger(relay);
  EXPECT_EQ(book["attempts"], 3);
  EXPECT_EQ(book["outcomes"], (json{{"413", 2}, {"429", 1}}));
}

TEST(Relay, HugeLimitsInABodyDoNotOverflowTheWorstCost) {
  options options;
  options.balance = usd::parse("0.01");
  relay relay(options);
  relay.start();
  const auto ask = [&](const std::string& path, const std::string& fields) {
    return send(relay, "POST", path, R"({"model":"gpt-4o",)" + fields + "}").status;
  };
  const std::string message = R"("messages":[{"role":"user","content":"hi"}])";
  EXPECT_EQ(ask("/v1/chat/completions", message + R"(,"n":4,"max_tokens":4611686018427387904)"),
            403);
  EXPECT_EQ(
      ask("/v1/completions", R"("prompt":["a","b","c","d"],"max_tokens":4611686018427387904)"),
      403);
  EXPECT_EQ(ask("/v1/chat/completions", message + R"(,"max_tokens":9)"), 200);
}

TEST(Relay, DropsAClientThatStopsInTheMiddle) {
  options options;
  options.patience = std::chrono::milliseconds(100);
  options.tokens = 100'000;  // more than the buffers of two sockets can hold
  relay relay(options);
  relay.start();
  boost::asio::io_context io;
  const auto connect = [&](const std::string& bytes) {
    tcp::socket socket(io);
    socket.connect({boost::asio::ip::make_address("127.0.0.1"), relay.port()});
    boost::asio::write(socket, boost::asio::buffer(bytes));
    return socket;
  };
  const auto read_to_end = [](tcp::socket& socket) {
    std::string bytes;
    boost::system::error_code end;
    boost::asio::read(socket, boost::asio::dynamic_buffer(bytes), end);
    return bytes;
  };
  auto silent = connect("");

  auto half_a_head = connect("POST /v1/chat/comp");
  EXPECT_EQ(read_to_end(half_a_head).substr(0, 12), "HTTP/1.1 408");
  EXPECT_EQ(ledger(relay)["attempts"], 0);

  auto half_a_body = connect(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer k\r\n"
      "Content-Length: 100\r\n\r\n{");
  EXPECT_EQ(read_to_end(half_a_body), "");
  EXPECT_EQ(ledger(relay)["outcomes"]["client_closed"], 1);

  auto reads_nothing =
      begin_chat(io, relay, R"(,"max_completion_tokens":16000,"n":6,"stream":true})");
  ASSERT_TRUE(comes_true(
      relay, [](const json& book) { return book["outcomes"].value("client_closed", 0) == 2; }));
  EXPECT_EQ(ledger(relay)["delivered"]["requests"], 0);

  // A connection without a request may stay idle, like connections in the pools of clients.
  boost::asio::write(silent, boost::asio::buffer(std::string(
                                 "GET /v1/models HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer "
                                 "k\r\nConnection: close\r\n\r\n")));
  EXPECT_EQ(read_to_end(silent).substr(0, 12), "HTTP/1.1 200");
}

TEST(Relay, AnHttp10ClientGetsAStreamWithoutChunks) {
  relay relay(options{});
  relay.start();
  const auto reply = send(relay, "POST", "/v1/chat/completions", a_chat + ",\"stream\":true}",
                          "Authorization: Bearer k\r\n", "HTTP/1.0");
  EXPECT_EQ(reply.head.find("chunked"), std::string::npos);
  EXPECT_EQ(reply.body.find("data: {"), 0U);
}

TEST(Relay, FailsIfItsPortIsInUse) {
  relay first(options{});
  options options;
  options.port = first.port();
  try {
    relay second(options);
    FAIL() << "two relays on one port";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(first.port())), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("--port"), std::string::npos);
  }
}

}  // namespace
}  // namespace sluice::simulator
