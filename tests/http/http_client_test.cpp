// Tests the client with real sockets on loopback; the test controls the clock and the resolver.
#include "http/http_client.hpp"

#include <gmock/gmock.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <string>
#include <vector>

#include <zlib.h>

#include <algorithm>

#include "http/idle_connections.hpp"
#include "http/kept_response.hpp"
#include "http/name_lookup.hpp"
#include "support/manual_clock.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;
using tcp = asio::ip::tcp;

const asio::ip::address loopback = asio::ip::make_address("127.0.0.1");
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

// Accepts connections and answers each request with `reply`.
class answering_server {
 public:
  explicit answering_server(asio::io_context& loop, const char* address = "127.0.0.1")
      : acceptor_(loop, tcp::endpoint(asio::ip::make_address(address), 0)) {
    asio::co_spawn(loop, accept(), asio::detached);
  }
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  void close() { acceptor_.close(); }

  int connections = 0;
  int open = 0;
  bool closes_unanswered = false;  ///< closes instead of answering a second request
  std::string reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
  std::vector<std::string> requests;

 private:
  asio::awaitable<void> accept() {
    for (;;) {
      auto [error, socket] = co_await acceptor_.async_accept(as_result);
      if (error) co_return;
      ++connections;
      ++open;
      asio::co_spawn(acceptor_.get_executor(), answer(std::move(socket)), asio::detached);
    }
  }
  asio::awaitable<void> answer(tcp::socket socket) {
    std::string request;
    for (int served = 0;; ++served) {
      auto [cut, n] = co_await asio::async_read_until(socket, asio::dynamic_buffer(request),
                                                      "\r\n\r\n", as_result);
      if (cut) {
        --open;
        co_return;
      }
      requests.push_back(request);
      if (closes_unanswered && served > 0) co_return;
      request.clear();
      co_await asio::async_write(socket, asio::buffer(reply), as_result);
    }
  }

  tcp::acceptor acceptor_;
};

constexpr std::uint64_t any_size = std::uint64_t{1} << 30;

struct http_client_test : testing::Test {
  asio::io_context loop{1};
  test::manual_clock time;
  response_head last_head;
  std::string body;  // body of the last reply

  static constexpr http_client::outgoing an_embedding{"/v1/embeddings", "{}", "key", false};

  exchange_end send(http_client& client, http_client::outgoing request = an_embedding) {
    std::optional<exchange_end> result;
    kept_response handler(any_size);
    asio::co_spawn(
        loop,
        [&]() -> asio::awaitable<void> { result = co_await client.exchange(request, handler); },
        asio::detached);
    loop.restart();
    while (!result && loop.run_one() > 0) {
    }
    EXPECT_TRUE(result->end != exchange_end::how::complete || handler.head.status == 200);
    last_head = handler.head;
    body = handler.body;
    return result.value_or(exchange_end{});
  }
  static relay_options at(std::uint16_t port, const std::string& host = "relay.example") {
    relay_options relay;
    relay.base_url = "http://" + host + ":" + std::to_string(port);
    return relay;
  }
};

TEST_F(http_client_test, an_old_connection_is_replaced_and_the_name_is_looked_up_again) {
  answering_server first(loop);
  answering_server second(loop, "127.0.0.2");
  std::string answer = "127.0.0.1";
  int lookups = 0;
  relay_options relay = at(0);
  const auto client = make_http_client(
      loop, time, at(first.port()),
      [&](const std::string& host, std::uint16_t, std::vector<tcp::endpoint>& found) {
        EXPECT_EQ(host, "relay.example");
        ++lookups;
        const auto port = answer == "127.0.0.1" ? first.port() : second.port();
        found.emplace_back(asio::ip::make_address(answer), port);
        return std::string();
      });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(send(*client).end, exchange_end::how::complete);
  EXPECT_EQ(first.connections, 1);
  EXPECT_EQ(lookups, 1);

  answer = "127.0.0.2";  // the address of the name changes
  time.advance(relay.connection_age / 2);
  send(*client);
  EXPECT_EQ(second.connections, 0) << "still young";
  time.advance(relay.connection_age);
  EXPECT_EQ(send(*client).end, exchange_end::how::complete);
  EXPECT_EQ(first.connections, 1);
  EXPECT_EQ(second.connections, 1);
  EXPECT_EQ(lookups, 2);
}

TEST_F(http_client_test, a_connection_that_is_idle_for_too_long_is_closed) {
  answering_server server(loop);
  const auto client = make_http_client(loop, time, at(server.port(), "127.0.0.1"));
  EXPECT_EQ(send(*client).end, exchange_end::how::complete);
  EXPECT_EQ(server.open, 1);
  time.advance(idle_connections::longest);
  loop.restart();
  loop.poll();
  EXPECT_EQ(server.open, 0);
  EXPECT_EQ(send(*client).end, exchange_end::how::complete);
  EXPECT_EQ(server.connections, 2);
}

TEST_F(http_client_test, may_be_destroyed_while_the_end_of_a_reply_is_read) {
  answering_server server(loop);
  const std::string part(std::size_t{1} << 20, 'x');
  server.reply =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n" + part + "\r\n0\r\n\r\n";
  auto client = make_http_client(loop, time, at(server.port(), "127.0.0.1"));
  kept_response handler(16);  // the rest of the body is not needed
  std::optional<exchange_end> result;
  asio::co_spawn(
      loop,
      [&]() -> asio::awaitable<void> { result = co_await client->exchange(an_embedding, handler); },
      asio::detached);
  while (!result && loop.run_one() > 0) {
  }
  ASSERT_TRUE(result && handler.too_large);
  client.reset();
  server.close();
  loop.restart();
  loop.run();
  EXPECT_EQ(server.open, 0) << "the connection is closed, because no client uses it again";
}

TEST_F(http_client_test, a_get_has_no_body_and_no_headers_of_a_body) {
  answering_server server(loop);
  auto relay = at(server.port(), "127.0.0.1");
  relay.base_url += "/prefix/v1";
  relay.api_key = "sk-0123456789abcdef";
  const auto client = make_http_client(loop, time, relay);
  const http_client::outgoing get{"/api/status?a=b", "", "", false, http_client::verb::get};
  EXPECT_EQ(send(*client, get).end, exchange_end::how::complete);
  ASSERT_EQ(server.requests.size(), 1U);
  const auto& head = server.requests.front();
  EXPECT_THAT(head, testing::StartsWith("GET /prefix/api/status?a=b HTTP/1.1\r\nHost: 127.0.0.1"));
  EXPECT_THAT(head, testing::HasSubstr("\r\nAuthorization: Bearer sk-0123456789abcdef\r\n"));
  EXPECT_THAT(head, testing::HasSubstr("\r\nAccept: application/json\r\n"));
  for (const char* of_a_body : {"Content-Type", "Content-Length", "Idempotency-Key"}) {
    EXPECT_THAT(head, testing::Not(testing::HasSubstr(of_a_body)));
  }
}

TEST_F(http_client_test, requests_go_where_the_base_address_says) {
  const http_client::outgoing get{"/v1/models", "", "", false, http_client::verb::get};
  const struct {
    const char* base;
    http_client::outgoing request;
    const char* line;
  } rows[] = {
      {"", an_embedding, "POST /v1/embeddings HTTP/1.1\r\n"},
      {"/api/v3", an_embedding, "POST /api/v3/embeddings HTTP/1.1\r\n"},
      {"/v1beta/openai/", an_embedding, "POST /v1beta/openai/embeddings HTTP/1.1\r\n"},
      {"/api/v3/chat/completions", get, "GET /api/v3/models HTTP/1.1\r\n"},
      {"/any/where?v=1#", an_embedding, "POST /any/where?v=1 HTTP/1.1\r\n"},
      {"/api/v3/embeddings#", get, "GET /api/v3/models HTTP/1.1\r\n"},
  };
  for (const auto& row : rows) {
    answering_server server(loop);
    auto relay = at(server.port(), "127.0.0.1");
    relay.base_url += row.base;
    const auto client = make_http_client(loop, time, relay);
    EXPECT_EQ(send(*client, row.request).end, exchange_end::how::complete);
    ASSERT_EQ(server.requests.size(), 1U);
    EXPECT_THAT(server.requests.front(), testing::StartsWith(row.line)) << row.base;
    client->abort();
    server.close();
  }
}

TEST_F(http_client_test, a_stream_is_requested_without_compression) {
  answering_server server(loop);
  const auto client = make_http_client(loop, time, at(server.port(), "127.0.0.1"));
  send(*client, {"/v1/chat/completions", "{}", "key", true});
  ASSERT_EQ(server.requests.size(), 1U);
  EXPECT_THAT(server.requests.front(), testing::HasSubstr("\r\nAccept-Encoding: identity\r\n"));
}

// Responses that curl accepts; the connection is not reused after an irregular one.
TEST_F(http_client_test, irregular_framing_is_read_and_its_connection_is_not_reused) {
  const std::string chunks = "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
  const struct {
    const char* name;
    std::string head;
    std::string body;
    bool reused = false;
    std::string before = {};
  } rows[] = {
      {"strictly valid", "Transfer-Encoding: chunked\r\n", chunks, true},
      {"with an extension", "Transfer-Encoding: chunked\r\n", "b;a=b\r\nhello world\r\n0\r\n\r\n",
       true},
      {"an equal length twice, which the parser accepts",
       "Content-Length: 11\r\nContent-Length: 11\r\n", "hello world", true},
      {"a length beside chunks", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", chunks},
      {"chunks beside a length", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", chunks},
      {"chunked twice", "Transfer-Encoding: chunked, chunked\r\n", chunks},
      {"chunked in two fields", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
       chunks},
      {"a blank before the colon", "Content-Length : 11\r\n", "hello world"},
      {"blanks behind a size", "Transfer-Encoding: chunked\r\n",
       "b  \r\nhello world\r\n0  \r\n\r\n"},
      {"sizes that end in LF", "Transfer-Encoding: chunked\r\n", "b\nhello world\n0\n\n"},
      {"an odd extension in the middle", "Transfer-Encoding: chunked\r\n",
       "5\r\nhello\r\n6 ; =\r\n world\r\n0\r\n\r\n"},
      {"an odd trailer", "Transfer-Encoding: chunked\r\n",
       "b\r\nhello world\r\n0\r\nno field\r\n\r\n"},
      {"a folded field, which the parser accepts too", "X: y\r\n z\r\nContent-Length: 11\r\n",
       "hello world", true},
      {"empty lines before the head", "Content-Length: 11\r\n", "hello world", false, "\r\n\n"},
  };
  for (const auto& row : rows) {
    answering_server server(loop);
    server.reply = row.before + "HTTP/1.1 200 OK\r\n" + row.head + "\r\n" + row.body;
    const auto client = make_http_client(loop, time, at(server.port(), "127.0.0.1"));
    for (int i = 0; i < 2; ++i) {
      const exchange_end end = send(*client);
      EXPECT_EQ(end.end, exchange_end::how::complete) << row.name << ": " << end.message;
      EXPECT_EQ(body, "hello world") << row.name;
    }
    EXPECT_EQ(server.connections, row.reused ? 1 : 2) << row.name;
    client->abort();
    server.close();
  }
}

TEST_F(http_client_test, the_head_contains_all_header_fields) {
  using fields = std::vector<std::pair<std::string, std::string>>;
  const std::string reply =
      "HTTP/1.1 200 OK\r\nserver:nginx\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\n"
      "X-Empty:\r\nSET-COOKIE:  b=2 \r\nX-Folded: y\r\n z\r\n";
  const fields sent{{"server", "nginx"}, {"Content-Type", "text/plain"}, {"Set-Cookie", "a=1"},
                    {"X-Empty", ""},     {"SET-COOKIE", "b=2"},          {"X-Folded", "y z"}};
  const struct {
    const char* name;
    std::string reply;
    fields more;
  } rows[] = {
      {"a length", reply + "Content-Length: 2\r\n\r\n{}", {{"Content-Length", "2"}}},
      {"chunks, and a trailer",
       reply + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Late: 1\r\n\r\n",
       {{"Transfer-Encoding", "chunked"}}},
      {"after an interim response",
       "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + reply + "Content-Length: 2\r\n\r\n{}",
       {{"Content-Length", "2"}}},
      {"a repaired head, which says that the connection is not reused",
       reply + "Content-Length : 2\r\n\r\n{}",
       {{"Content-Length", "2"}, {"Connection", "close"}}},
      {"many",
       reply + "X-Long: " + std::string(100'000, 'x') + "\r\nContent-Length: 2\r\n\r\n{}",
       {{"X-Long", std::string(100'000, 'x')}, {"Content-Length", "2"}}},
  };
  for (const auto& row : rows) {
    answering_server server(loop);
    server.reply = row.reply;
    const auto client = make_http_client(loop, time, at(server.port(), "127.0.0.1"));
    EXPECT_EQ(send(*client).end, exchange_end::how::complete) << row.name;
    fields expected = sent;
    expected.insert(expected.end(), row.more.begin(), row.more.end());
    fields came;
    for (const auto field : last_head.fields) came.emplace_back(field.name, field.value);
    EXPECT_EQ(came, expected) << row.name;
    client->abort();
    server.close();
  }
}

TEST_F(http_client_test, invalid_framing_is_an_error) {
  for (const std::string head :
       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/9.9 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n"}) {
    answering_server server(loop);
    server.reply = head;
    const auto client = make_http_client(loop, time, at(server.port(), "127.0.0.1"));
    const exchange_end end = send(*client);
    EXPECT_EQ(end.end, exchange_end::how::broken) << head;
    EXPECT_THAT(end.message, testing::HasSubstr("not HTTP")) << head;
    client->abort();
    server.close();
  }
}

TEST_F(http_client_test, on_a_dying_connection_a_get_is_sent_again_and_a_post_is_not) {
  const http_client::outgoing get{"/api/status", "", "", false, http_client::verb::get};
  for (const auto& request : {get, an_embedding}) {
    answering_server server(loop);
    server.closes_unanswered = true;
    const auto client = make_http_client(loop, time, at(server.port(), "127.0.0.1"));
    EXPECT_EQ(send(*client, request).end, exchange_end::how::complete);
    const bool gets = request.method == http_client::verb::get;
    EXPECT_EQ(send(*client, request).end,
              gets ? exchange_end::how::complete : exchange_end::how::broken);
    EXPECT_EQ(server.connections, gets ? 2 : 1);
    EXPECT_EQ(server.requests.size(), gets ? 3U : 2U);
    client->abort();
    server.close();
  }
}

TEST_F(http_client_test, without_keep_alive_a_proxy_gets_a_new_connection) {
  const struct {
    const char* field;
    bool reused;
  } rows[] = {{"", false},
              {"Connection: close\r\n", false},
              {"Connection: Keep-Alive\r\n", true},
              {"Connection: x, keep-alive\r\n", true},
              {"Proxy-Connection: keep-alive\r\n", true}};
  for (const auto& row : rows) {
    answering_server server(loop);
    server.reply = std::string("HTTP/1.1 200 OK\r\n") + row.field + "Content-Length: 2\r\n\r\n{}";
    auto relay = at(80);
    relay.proxy = "http://127.0.0.1:" + std::to_string(server.port());
    const auto client = make_http_client(loop, time, relay);
    for (int i = 0; i < 2; ++i) EXPECT_EQ(send(*client).end, exchange_end::how::complete);
    EXPECT_EQ(server.connections, row.reused ? 1 : 2) << row.field;
    ASSERT_EQ(server.requests.size(), 2U);
    EXPECT_THAT(server.requests.front(), testing::StartsWith("POST http://relay.example/v1/embe"));
    client->abort();
    server.close();
  }
}

TEST_F(http_client_test, a_name_that_never_existed_is_a_wrong_address) {
  answering_server server(loop);
  std::string fault(name_lookup::no_such_name());
  const auto client = make_http_client(
      loop, time, at(server.port()),
      [&](const std::string&, std::uint16_t port, std::vector<tcp::endpoint>& found) {
        if (fault.empty()) found.emplace_back(loopback, port);
        return fault;
      });
  const auto unknown = send(*client);
  EXPECT_EQ(unknown.end, exchange_end::how::wrong_server);
  EXPECT_FALSE(unknown.sent_any);
  EXPECT_THAT(unknown.message, testing::HasSubstr("cannot resolve relay.example"));
  fault.clear();
  EXPECT_EQ(send(*client).end, exchange_end::how::complete);
  client->abort();
  server.close();
}

TEST_F(http_client_test, a_server_without_tls_is_a_wrong_address) {
  tcp::acceptor acceptor(loop, {loopback, 0});
  boost::asio::co_spawn(
      loop,
      [&]() -> boost::asio::awaitable<void> {
        tcp::socket socket = co_await acceptor.async_accept(boost::asio::use_awaitable);
        const std::string answer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        co_await boost::asio::async_write(socket, boost::asio::buffer(answer),
                                          boost::asio::use_awaitable);
        char rest = 0;  // waits until the client closes the connection
        co_await socket.async_read_some(boost::asio::buffer(&rest, 0), boost::asio::use_awaitable);
      },
      boost::asio::detached);
  relay_options relay = at(acceptor.local_endpoint().port());
  relay.base_url.replace(0, 4, "https");
  const auto client =
      make_http_client(loop, time, relay, [&](const std::string&, std::uint16_t port, auto& found) {
        found.emplace_back(loopback, port);
        return std::string();
      });
  const auto end = send(*client);
  EXPECT_EQ(end.end, exchange_end::how::wrong_server) << end.message;
  EXPECT_FALSE(end.sent_any);
  EXPECT_THAT(end.message, testing::HasSubstr("http://"));
  client->abort();
}

TEST_F(http_client_test, while_lookups_fail_the_last_known_addresses_are_used) {
  answering_server server(loop);
  std::string fault = "Temporary failure in name resolution";
  relay_options relay = at(server.port());
  const auto client = make_http_client(
      loop, time, relay,
      [&](const std::string&, std::uint16_t port, std::vector<tcp::endpoint>& found) {
        if (fault.empty()) found.emplace_back(loopback, port);
        return fault;
      });
  const auto unknown = send(*client);
  EXPECT_EQ(unknown.end, exchange_end::how::unreachable);
  EXPECT_FALSE(unknown.sent_any);
  EXPECT_THAT(unknown.message, testing::HasSubstr(fault));
  EXPECT_THAT(unknown.message, testing::HasSubstr("relay.example"));

  fault.clear();
  EXPECT_EQ(send(*client).end, exchange_end::how::complete);
  fault = "Temporary failure in name resolution";
  time.advance(2 * relay.connection_age);
  EXPECT_EQ(send(*client).end, exchange_end::how::complete);
  EXPECT_EQ(server.connections, 2);
}

// After a standstill, the alarms come before the client reads the data that arrived meanwhile.
struct standstill_test : http_client_test {
  asio::io_context relays{1};
  tcp::acceptor acceptor{relays, tcp::endpoint(loopback, 0)};
  tcp::socket relay{relays};
  std::unique_ptr<http_client> client;
  kept_response handler{any_size};
  std::optional<exchange_end> result;

  // Sends a request and waits until the relay has received it completely.
  void ask(bool streamed) {
    client = make_http_client(loop, time, at(acceptor.local_endpoint().port(), "127.0.0.1"));
    asio::co_spawn(
        loop,
        [this, streamed]() -> asio::awaitable<void> {
          result =
              co_await client->exchange({"/v1/chat/completions", "{}", "key", streamed}, handler);
        },
        asio::detached);
    loop.restart();
    while (loop.poll() > 0) {
    }
    relay = acceptor.accept();
    relay.non_blocking(true);
    std::string request;
    while (!request.ends_with("\r\n\r\n{}")) {
      loop.restart();
      loop.run_one_for(10ms);
      std::array<char, 4096> piece{};
      boost::system::error_code none_yet;
      request.append(piece.data(), relay.read_some(asio::buffer(piece), none_yet));
    }
    relay.non_blocking(false);
  }
  void says(const std::string& bytes) { asio::write(relay, asio::buffer(bytes)); }
  void read_on() {
    loop.restart();
    while (!result && loop.run_one_for(10ms) > 0) {
    }
  }
  static constexpr const char* chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
};

TEST_F(standstill_test, a_reply_that_arrived_meanwhile_counts_in_spite_of_an_expired_deadline) {
  const struct {
    const char* deadline;
    bool streamed;
    std::string before;     // sent before the standstill
    std::string meanwhile;  // sent during the standstill
  } rows[] = {
      {"--first-byte-timeout", true, "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
      {"--idle-timeout", true, chunked, "5\r\nhello\r\n0\r\n\r\n"},
      {"--timeout", false, "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
  };
  for (const auto& row : rows) {
    ask(row.streamed);
    says(row.before);
    read_on();
    says(row.meanwhile);
    time.stand_still(1h);
    read_on();
    ASSERT_TRUE(result.has_value()) << row.deadline;
    EXPECT_EQ(result->end, exchange_end::how::complete) << row.deadline << ": " << result->message;
    EXPECT_EQ(handler.body, "hello") << row.deadline;
    client->abort();
    result.reset();
    handler.body.clear();
  }
}

TEST_F(standstill_test, the_rest_of_a_reply_may_arrive_after_the_standstill) {
  ask(true);
  says(chunked + std::string("2\r\nhe\r\n"));
  time.stand_still(1h);
  read_on();
  EXPECT_FALSE(result.has_value());
  says("3\r\nllo\r\n0\r\n\r\n");
  read_on();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->end, exchange_end::how::complete) << result->message;
  EXPECT_EQ(handler.body, "hello");
}

TEST_F(standstill_test, a_relay_that_stays_silent_after_the_standstill_times_out) {
  ask(true);
  time.stand_still(1h);
  read_on();
  EXPECT_FALSE(result.has_value());
  time.advance(119s);
  read_on();
  EXPECT_FALSE(result.has_value());
  time.advance(1s);
  read_on();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->end, exchange_end::how::timed_out);
  EXPECT_EQ(result->message, "--first-byte-timeout expired");
}

TEST_F(standstill_test, data_that_has_arrived_is_read_before_the_alarm_cuts) {
  ask(true);
  says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  time.advance(120s);  // the loop has not run since the reply arrived
  read_on();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->end, exchange_end::how::complete) << result->message;
}

std::string gzip(std::string_view text) {
  constexpr int form = 15 + 16;
  z_stream packer{};
  deflateInit2(&packer, Z_BEST_COMPRESSION, Z_DEFLATED, form, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&packer, text.size()), '\0');
  packer.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  packer.avail_in = static_cast<uInt>(text.size());
  packer.next_out = reinterpret_cast<Bytef*>(packed.data());
  packer.avail_out = static_cast<uInt>(packed.size());
  deflate(&packer, Z_FINISH);
  packed.resize(packer.total_out);
  deflateEnd(&packer);
  return packed;
}

// Several replies that together need more memory than allowed.
struct memory_test : http_client_test {
  struct keeper final : response_handler {
    void on_sent() override {}
    void on_head(response_head) override {}
    body_need on_body(std::string_view bytes) override {
      body += bytes;
      most = std::max(most, body.size());
      return body_need::more;
    }
    std::size_t held() const override { return body.size(); }
    std::string body;
    std::size_t most = 0;
  };
  struct pending_exchange {
    keeper handler;
    std::optional<exchange_end> result;
  };

  static constexpr std::size_t large = 4 << 20;
  answering_server server{loop};
  std::shared_ptr<reply_memory> memory = std::make_shared<reply_memory>(large);
  std::unique_ptr<http_client> client;

  memory_test() {
    server.reply = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(large) + "\r\n\r\n" +
                   std::string(large, 'x');
    client = make_http_client(loop, time, at(server.port(), "127.0.0.1"),
                              name_lookup::system_resolver, memory);
  }
  void ask(pending_exchange& by) {
    asio::co_spawn(
        loop,
        [this, &by]() -> asio::awaitable<void> {
          by.result = co_await client->exchange(an_embedding, by.handler);
        },
        asio::detached);
  }
  void turn() {
    loop.restart();
    while (loop.run_one_for(20ms) > 0) {
    }
  }
};

TEST_F(memory_test, one_reply_is_read_to_its_end_while_others_wait_for_memory) {
  std::array<pending_exchange, 4> all;
  for (pending_exchange& each : all) ask(each);
  turn();
  const auto ended = [&] {
    return std::count_if(all.begin(), all.end(),
                         [](const pending_exchange& a) { return a.result.has_value(); });
  };
  EXPECT_EQ(ended(), 1) << "its memory counts until it is released";
  EXPECT_LT(memory->total(), 2 * large);
  for (int i = 1; i <= 4; ++i) {
    EXPECT_EQ(ended(), i);
    for (pending_exchange& each : all) {
      if (!each.result) continue;
      EXPECT_EQ(each.result->end, exchange_end::how::complete) << each.result->message;
      EXPECT_EQ(each.handler.most, large);
      each.result->memory.reset();
    }
    turn();
  }
  EXPECT_EQ(memory->total(), 0U);
  client->abort();
  server.close();
}

TEST_F(memory_test, a_wait_for_memory_does_not_count_as_silence_of_the_relay) {
  pending_exchange first;
  pending_exchange second;
  ask(first);
  ask(second);
  turn();
  pending_exchange& waits = first.result ? second : first;
  pending_exchange& ended = first.result ? first : second;
  ASSERT_TRUE(ended.result.has_value());
  ASSERT_FALSE(waits.result.has_value());
  time.advance(1h);
  turn();
  EXPECT_FALSE(waits.result.has_value());
  ended.result->memory.reset();
  turn();
  ASSERT_TRUE(waits.result.has_value());
  EXPECT_EQ(waits.result->end, exchange_end::how::complete) << waits.result->message;
  client->abort();
  server.close();
}

TEST_F(memory_test, a_wait_for_memory_can_be_aborted) {
  pending_exchange first;
  pending_exchange second;
  ask(first);
  ask(second);
  turn();
  pending_exchange& waits = first.result ? second : first;
  client->abort();
  turn();
  ASSERT_TRUE(waits.result.has_value());
  EXPECT_EQ(waits.result->message, "interrupted");
  server.close();
}

TEST_F(memory_test, compressed_data_is_decompressed_as_far_as_there_is_memory) {
  memory = std::make_shared<reply_memory>(1 << 20);
  client = make_http_client(loop, time, at(server.port(), "127.0.0.1"),
                            name_lookup::system_resolver, memory);
  const std::string packed = gzip(std::string(2 * large, 'x'));
  server.reply = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " +
                 std::to_string(packed.size()) + "\r\n\r\n" + packed;
  pending_exchange first;
  pending_exchange second;
  ask(first);
  ask(second);
  turn();
  pending_exchange& waits = first.result ? second : first;
  pending_exchange& ended = first.result ? first : second;
  ASSERT_TRUE(ended.result.has_value());
  EXPECT_EQ(ended.handler.body.size(), 2 * large);
  EXPECT_FALSE(waits.result.has_value());
  EXPECT_LT(waits.handler.body.size(), std::size_t{2} << 20);
  ended.result->memory.reset();
  turn();
  ASSERT_TRUE(waits.result.has_value());
  EXPECT_EQ(waits.result->end, exchange_end::how::complete) << waits.result->message;
  EXPECT_EQ(waits.handler.body.size(), 2 * large);
  client->abort();
  server.close();
}

}  // namespace
}  // namespace sluice
