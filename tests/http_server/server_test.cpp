// Tests the server over real sockets. The timeouts use a manual clock.
#include <gtest/gtest.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "http_server/server_rig.hpp"
#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice::http_server {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;
using asio::ip::tcp;

// A client on the loop of the server. It never blocks.
class raw_client {
 public:
  raw_client(asio::io_context& loop, std::uint16_t port) : socket_(loop) {
    socket_.connect({asio::ip::address_v4::loopback(), port});
    socket_.non_blocking(true);
  }
  void send(std::string_view text) {
    boost::system::error_code ignored;
    asio::write(socket_, asio::buffer(text.data(), text.size()), ignored);
  }
  // Everything that has arrived.
  const std::string& received() {
    std::string piece(65536, '\0');
    for (;;) {
      boost::system::error_code error;
      const std::size_t size = socket_.read_some(asio::buffer(piece), error);
      received_.append(piece, 0, size);
      if (error == asio::error::would_block) break;
      closed_ = closed_ || error.failed();
      was_reset_ = was_reset_ || error == asio::error::connection_reset;
      if (error) break;
    }
    return received_;
  }
  bool has(std::string_view text) { return received().find(text) != std::string::npos; }
  bool closed() {
    received();
    return closed_;
  }
  bool was_reset() const { return was_reset_; }
  std::size_t count(std::string_view text) {
    std::size_t found = 0;
    received();
    for (auto at = received_.find(text); at != std::string::npos;
         at = received_.find(text, at + 1)) {
      ++found;
    }
    return found;
  }
  void close() { socket_.close(); }
  void shut_down() { socket_.shutdown(tcp::socket::shutdown_send); }
  tcp::socket& socket() { return socket_; }

 private:
  tcp::socket socket_;
  std::string received_;
  bool closed_ = false;
  bool was_reset_ = false;
};

asio::awaitable<void> hello(exchange& call) {
  header_fields fields;
  fields.add("Content-Type", "text/plain");
  const std::string body = "hello " + call.head().path + "\n";
  co_await call.send(200, fields, body);
}

struct http_servers : server_rig {
  http_servers() : server_rig(hello) {}
  ~http_servers() override {
    clients.clear();
    if (served) {
      served->abort();
      run([this] { return served->connections() == 0; });
      served.reset();
    }
    loop.restart();
    while (loop.poll() > 0) {
    }
    EXPECT_EQ(time.calls_to_come(), 0U) << "a call of the clock is still pending";
  }
  raw_client& connect() {
    if (!served) start();
    return clients.emplace_back(loop, served->port());
  }
  static std::string get(const std::string& path, const std::string& more = "") {
    return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + more + "\r\n";
  }

  std::list<raw_client> clients;
};

TEST_F(http_servers, AnswersAndKeepsTheConnection) {
  auto& client = connect();
  client.send(get("/one"));
  run([&] { return client.has("hello /one\n"); });
  EXPECT_TRUE(client.has("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(client.has("Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n")) << client.received();
  EXPECT_TRUE(client.has("Server: sluice\r\n"));
  EXPECT_TRUE(client.has("Content-Length: 11\r\n"));
  client.send(get("/two"));
  run([&] { return client.has("hello /two\n"); });
  EXPECT_FALSE(client.closed());
}

TEST_F(http_servers, AnswersPipelinedRequestsInTheirOrder) {
  auto& client = connect();
  client.send(get("/1") + get("/2") + get("/3", "Connection: close\r\n"));
  run([&] { return client.closed(); });
  const std::string& all = client.received();
  EXPECT_LT(all.find("hello /1"), all.find("hello /2"));
  EXPECT_LT(all.find("hello /2"), all.find("hello /3"));
  EXPECT_EQ(client.count("HTTP/1.1 200 OK"), 3U);
}

TEST_F(http_servers, AHeadRequestGetsNoBody) {
  auto& client = connect();
  client.send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" + get("/next"));
  run([&] { return client.has("hello /next"); });
  EXPECT_FALSE(client.has("hello /x"));
  EXPECT_EQ(client.count("Content-Length: 9\r\n"), 1U);
}

TEST_F(http_servers, WhatIsNoRequestIsRefusedAndTheConnectionCloses) {
  auto& client = connect();
  client.send("nonsense\r\n\r\n" + get("/never"));
  run([&] { return client.closed(); });
  EXPECT_TRUE(client.has("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_TRUE(client.has("Connection: close\r\n"));
  EXPECT_TRUE(client.has("refused 400: "));
  EXPECT_FALSE(client.has("hello"));
}

TEST_F(http_servers, AHeadThatComesTooSlowlyIsRefused) {
  auto& client = connect();
  client.send("GET /slow HTTP/1.1\r\n");
  run([&] { return served->connections() == 1 && time.calls_to_come() == 1; });
  // If the client sends single bytes, it does not get more time.
  for (int i = 0; i < 5; ++i) {
    client.send("x");
    run([] { return true; });
    time.advance(2s);
  }
  run([&] { return client.closed(); });
  EXPECT_TRUE(client.has("HTTP/1.1 408 Request Timeout\r\n")) << client.received();
}

TEST_F(http_servers, AnIdleConnectionIsClosedInTheEnd) {
  auto& client = connect();
  client.send(get("/x"));
  run([&] { return client.has("hello"); });
  time.advance(74s);
  run([] { return true; });
  EXPECT_FALSE(client.closed());
  time.advance(2s);
  run([&] { return client.closed(); });
  EXPECT_EQ(client.count("HTTP/1.1"), 1U) << "an idle connection gets no answer";
}

// Reads the whole body and answers with its size.
asio::awaitable<void> measure(exchange& call) {
  std::size_t size = 0;
  int refused = 0;
  try {
    for (;;) {
      const std::string_view piece = co_await call.read_piece();
      if (piece.empty()) break;
      size += piece.size();
    }
  } catch (const body_error& fault) {
    refused = fault.status();
  }
  const header_fields none;
  const std::string body = "size " + std::to_string(size);
  if (refused == 0) {
    co_await call.send(200, none, body);
  } else {
    co_await call.send(refused, none, "refused");
  }
}

TEST_F(http_servers, BodiesOfAnySizeAreRead) {
  handler = measure;
  auto& client = connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  run([&] { return client.has("size 0"); });
  const std::string large(3'000'000, 'x');
  // The socket takes only a part of the body at a time.
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
  std::size_t sent = 0;
  run([&] {
    boost::system::error_code error;
    sent +=
        client.socket().write_some(asio::buffer(large.data() + sent, large.size() - sent), error);
    return client.has("size 3000000");
  });
}

TEST_F(http_servers, AClientThatAsksIsToldToContinue) {
  handler = measure;
  auto& client = connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  run([&] { return client.has("HTTP/1.1 100 Continue\r\n\r\n"); });
  client.send("hello");
  run([&] { return client.has("size 5"); });
  EXPECT_EQ(client.count("100 Continue"), 1U);
}

TEST_F(http_servers, AClientThatIsRefusedBeforeItContinuesIsCutOff) {
  auto& client = connect();  // the handler reads no body
  client.send(
      "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 500000\r\n\r\n");
  run([&] { return client.closed(); });
  EXPECT_FALSE(client.has("100 Continue"));
  EXPECT_TRUE(client.has("Connection: close\r\n"));
}

TEST_F(http_servers, ABodyThatComesTooSlowlyIsRefused) {
  handler = measure;
  auto& client = connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
  run([&] { return time.calls_to_come() == 1; });
  for (int i = 0; i < 7; ++i) {
    client.send("x");
    run([] { return true; });
    time.advance(5s);
  }
  run([&] { return client.closed(); });
  EXPECT_TRUE(client.has("HTTP/1.1 408 ")) << client.received();
}

TEST_F(http_servers, ASlowClientIsServedIfItAlwaysMakesProgress) {
  constexpr int pieces = 80;
  const std::string piece(100'000, 'x');  // all pieces are larger than the buffers of two sockets
  std::size_t received = 0;
  int written = 0;
  handler = [&](exchange& call) -> asio::awaitable<void> {
    for (;;) {
      const std::string_view part = co_await call.read_piece();
      if (part.empty()) break;
      received += part.size();
    }
    const header_fields none;
    co_await call.begin(200, none, pieces * piece.size());
    while (written < pieces && co_await call.write(piece)) ++written;
    co_await call.finish();
  };
  options.min_body_bytes = 1;
  auto& client = connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
  for (std::size_t sent = 1; sent <= 10; ++sent) {
    client.send("x");
    run([&] { return received == sent; });
    time.advance(20s);
  }
  std::string part(10'000, '\0');
  boost::system::error_code error;
  const auto cut_off = [&] { return error && error != asio::error::would_block; };
  while (written < pieces && !cut_off()) {
    run([&, before = written] {
      client.socket().read_some(asio::buffer(part), error);
      return written > before || cut_off();
    });
    time.advance(20s);
  }
  EXPECT_EQ(written, pieces);
  EXPECT_FALSE(client.closed());
}

TEST_F(http_servers, AnUnreadBodyIsDroppedIfItIsSmall) {
  auto& client = connect();
  client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + get("/b"));
  run([&] { return client.has("hello /b"); });
  client.send("POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n");
  const std::string block(100'000, 'x');
  run([&] {
    boost::system::error_code error;
    client.socket().write_some(asio::buffer(block), error);
    return client.closed();
  });
  EXPECT_TRUE(client.has("hello /c")) << "the reply comes all the same";
}

TEST_F(http_servers, AReplyMayComeInChunks) {
  handler = [](exchange& call) -> asio::awaitable<void> {
    const header_fields none;
    co_await call.begin(200, none, std::nullopt);
    co_await call.write("hello ");
    co_await call.write("");
    co_await call.write("world");
    co_await call.finish();
  };
  auto& client = connect();
  client.send(get("/"));
  run([&] { return client.has("0\r\n\r\n"); });
  EXPECT_TRUE(client.has("Transfer-Encoding: chunked\r\n"));
  EXPECT_TRUE(client.has("\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n")) << client.received();
  auto& old = connect();
  old.send("GET / HTTP/1.0\r\n\r\n");
  run([&] { return old.closed(); });
  EXPECT_TRUE(old.has("\r\n\r\nhello world"));
}

TEST_F(http_servers, AReplyThatIsBrokenOffDoesNotLookComplete) {
  handler = [](exchange& call) -> asio::awaitable<void> {
    const header_fields none;
    co_await call.begin(200, none, 10);
    co_await call.write("half");
    throw std::runtime_error("the disk is gone");
  };
  auto& client = connect();
  client.send(get("/") + get("/next"));
  run([&] { return client.closed(); });
  EXPECT_TRUE(client.has("half"));
  EXPECT_EQ(client.count("HTTP/1.1"), 1U);
}

// A client of HTTP/1.0, for example nginx as a proxy: the end of its connection ends the reply.
TEST_F(http_servers, AReplyWithoutALengthThatIsBrokenOffResetsItsConnection) {
  handler = [](exchange& call) -> asio::awaitable<void> {
    const header_fields none;
    co_await call.begin(200, none, std::nullopt);
    co_await call.write("half");
  };
  auto& client = connect();
  client.send("GET / HTTP/1.0\r\n\r\n");
  run([&] { return client.closed(); });
  EXPECT_TRUE(client.was_reset());
}

TEST_F(http_servers, ARawReplyGoesOutAsItIsAndTheConnectionGoesOn) {
  handler = [](exchange& call) -> asio::awaitable<void> {
    co_await call.write_raw("HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\n", "o");
    co_await call.write_raw("k", {});
    call.end_raw(raw_end::complete);
  };
  auto& client = connect();
  client.send(get("/"));
  run([&] { return client.has("ok"); });
  EXPECT_EQ(client.received(), "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok");
  client.send(get("/"));
  run([&] { return client.count("ok") == 2; });
  EXPECT_FALSE(client.closed());
}

TEST_F(http_servers, ARawReplyEndsAsTheHandlerSays) {
  raw_end how = raw_end::last;
  std::string reply = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhalf";
  handler = [&](exchange& call) -> asio::awaitable<void> {
    co_await call.write_raw(reply, {});
    call.end_raw(how);
  };
  for (const auto each : {raw_end::last, raw_end::broken, raw_end::reset}) {
    how = each;
    auto& client = connect();
    client.send(get("/") + get("/next"));
    run([&] { return client.closed(); });
    // After a reset, data that was sent before may be lost.
    EXPECT_GE(client.count("HTTP/1.1"), each == raw_end::reset ? 0U : 1U);
    EXPECT_LE(client.count("HTTP/1.1"), 1U);
  }
  how = raw_end::broken;
  reply.clear();
  auto& client = connect();
  client.send(get("/"));
  run([&] { return client.closed(); });
  EXPECT_EQ(client.received(), "");
}

TEST_F(http_servers, ARawReplyWithoutAnEndIsBroken) {
  handler = [](exchange& call) -> asio::awaitable<void> {
    co_await call.write_raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", {});
  };
  auto& client = connect();
  client.send(get("/") + get("/next"));
  run([&] { return client.closed(); });
  EXPECT_EQ(client.count("HTTP/1.1"), 1U);
}

TEST_F(http_servers, AHandlerSeesWhetherItsClientIsThere) {
  std::vector<client_state> seen;
  bool release = false;
  handler = [&](exchange& call) -> asio::awaitable<void> {
    while (!release) {
      if (seen.empty() || seen.back() != call.client()) seen.push_back(call.client());
      co_await asio::post(loop, asio::use_awaitable);
    }
    call.end_raw(raw_end::broken);
  };
  auto& client = connect();
  client.send(get("/"));
  run([&] { return seen.size() == 1; });
  client.shut_down();
  run([&] { return seen.size() == 2; });
  release = true;
  run([&] { return client.closed(); });
  EXPECT_EQ(seen, (std::vector{client_state::connected, client_state::half_closed}));
}

TEST_F(http_servers, SentBytesAreAcknowledgedByAClientThatIsThere) {
  bool acknowledged = false;
  handler = [&](exchange& call) -> asio::awaitable<void> {
    co_await call.write_raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", {});
    while (!call.acknowledged()) co_await asio::post(loop, asio::use_awaitable);
    acknowledged = true;
    call.end_raw(raw_end::complete);
  };
  auto& client = connect();
  client.send(get("/"));
  run([&] { return acknowledged && client.has("200 OK"); });
  EXPECT_TRUE(acknowledged);
}

TEST_F(http_servers, AnExceptionBeforeTheReplyIsA500) {
  handler = [](exchange&) -> asio::awaitable<void> {
    throw std::runtime_error("oops");
    co_return;
  };
  auto& client = connect();
  client.send(get("/"));
  run([&] { return client.closed(); });
  EXPECT_TRUE(client.has("HTTP/1.1 500 Internal Server Error\r\n"));
  EXPECT_FALSE(client.has("oops"));
}

TEST_F(http_servers, AClientThatDoesNotReadItsReplyIsCutOff) {
  bool sent = true;
  handler = [&](exchange& call) -> asio::awaitable<void> {
    const header_fields none;
    const std::string large(50'000'000, 'x');
    sent = co_await call.send(200, none, large);
  };
  auto& client = connect();
  client.send(get("/"));
  run([&] { return time.calls_to_come() == 1; });
  for (int i = 0; i < 40 && sent; ++i) {
    run([] { return true; });
    time.advance(31s);
    run([] { return true; });
  }
  EXPECT_FALSE(sent);
  run([&] { return served->connections() == 0; });
}

TEST_F(http_servers, AHandlerLearnsThatItsClientHasGone) {
  bool gone = false;
  bool waiting = false;
  std::function<void()> release;
  handler = [&](exchange& call) -> asio::awaitable<void> {
    call.on_client_gone([&] { gone = true; });
    waiting = true;
    while (!gone) co_await asio::post(loop, asio::use_awaitable);
    const header_fields none;
    const bool sent = co_await call.send(200, none, "late");
    EXPECT_FALSE(sent);
  };
  auto& client = connect();
  client.send(get("/"));
  run([&] { return waiting; });
  EXPECT_FALSE(gone);
  client.close();
  run([&] { return gone && served->connections() == 0; });
}

TEST_F(http_servers, NoMoreConnectionsThanAllowedAreServed) {
  options.max_connections = 2;
  auto& one = connect();
  auto& two = connect();
  auto& three = connect();
  for (auto* each : {&one, &two, &three}) each->send(get("/"));
  run([&] { return one.has("hello") && two.has("hello"); });
  EXPECT_EQ(served->connections(), 2U);
  EXPECT_FALSE(three.has("hello"));
  one.close();
  run([&] { return three.has("hello"); });
}

TEST_F(http_servers, AStoppedServerFinishesWhatItAnswersAndClosesTheRest) {
  bool go_on = false;
  handler = [&](exchange& call) -> asio::awaitable<void> {
    while (call.head().path == "/slow" && !go_on) {
      co_await asio::post(loop, asio::use_awaitable);
    }
    const header_fields none;
    co_await call.send(200, none, "done");
  };
  auto& idle = connect();
  auto& busy = connect();
  idle.send(get("/fast"));
  busy.send(get("/slow"));
  run([&] { return idle.has("done") && served->connections() == 2; });
  served->stop_accepting();
  run([&] { return idle.closed(); });
  EXPECT_FALSE(busy.closed());
  boost::system::error_code error;
  tcp::socket late(loop);
  late.connect({asio::ip::address_v4::loopback(), served->port()}, error);
  EXPECT_TRUE(error) << "it listens no more";
  go_on = true;
  run([&] { return busy.closed(); });
  EXPECT_TRUE(busy.has("done"));
  EXPECT_TRUE(busy.has("Connection: close\r\n"));
}

TEST_F(http_servers, ATakenPortAndAWrongAddressAreOneSentence) {
  start();
  server_options same;
  same.port = served->port();
  server_options wrong;
  wrong.address = "not-an-address";
  for (const auto& chosen : {same, wrong}) {
    try {
      const server other(loop, time, chosen, hello,
                         [](int, std::string_view) { return refusal_answer{}; });
      FAIL() << "it listens";
    } catch (const fatal_error& fault) {
      EXPECT_NE(std::string(fault.what()).find("cannot listen on " + chosen.address),
                std::string::npos);
    }
  }
}

TEST_F(http_servers, ACertificateThatCannotBeReadIsOneSentence) {
  const test::temp_dir folder;
  options.certificate_file = folder.write("cert.pem", "no certificate");
  options.key_file = folder / "key.pem";
  try {
    start();
    FAIL() << "it listens";
  } catch (const fatal_error& fault) {
    EXPECT_NE(std::string(fault.what()).find("cert.pem: it holds no certificate in PEM"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace sluice::http_server
