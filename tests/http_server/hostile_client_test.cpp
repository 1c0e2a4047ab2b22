// Clients that are slow, broken or hostile, and clients over TLS. Real sockets, a manual clock.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstdio>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "http_server/server_rig.hpp"
#include "support/temp_dir.hpp"

namespace sluice::http_server {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

struct plain_client {
  plain_client(asio::io_context& loop, std::uint16_t port) : socket(loop) {
    socket.connect({asio::ip::address_v4::loopback(), port});
    socket.non_blocking(true);
  }
  void send(std::string_view bytes) {
    error_code ignored;
    asio::write(socket, asio::buffer(bytes.data(), bytes.size()), ignored);
  }
  void receive() {
    std::string piece(65536, '\0');
    error_code error;
    while (!error) text.append(piece, 0, socket.read_some(asio::buffer(piece), error));
    closed = closed || error != asio::error::would_block;
  }

  tcp::socket socket;
  std::string text;  // what was received
  bool closed = false;
};

std::size_t count(std::string_view text, std::string_view what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) {
    ++found;
  }
  return found;
}

asio::awaitable<void> hello(exchange& call) {
  const header_fields none;
  const std::string body = "hello " + call.head().path;
  co_await call.send(200, none, body);
}

struct hostile_clients : server_rig {
  hostile_clients() : server_rig(hello) {}
  ~hostile_clients() override {
    clients.clear();
    if (served) served->abort();
    loop.restart();
    loop.poll();
  }
  plain_client& connect() {
    if (!served) start();
    return clients.emplace_back(loop, served->port());
  }
  void on_turn() override {
    for (auto& each : clients) each.receive();
  }
  void wait_for_reply(plain_client& client, std::string_view text) {
    run([&] { return client.closed || client.text.find(text) != std::string::npos; });
    EXPECT_EQ(count(client.text, text), 1U) << client.text;
  }

  // Waits until its client is gone.
  asio::awaitable<void> wait_until_gone(exchange& call) {
    call.on_client_gone([this] { gone = true; });
    waiting = true;
    while (!gone) co_await asio::post(loop, asio::use_awaitable);
  }

  bool waiting = false;
  bool gone = false;
  std::list<plain_client> clients;
};

TEST_F(hostile_clients, AHeadMayArriveByteByByte) {
  auto& client = connect();
  for (const char byte : std::string("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")) {
    client.send({&byte, 1});
    run([] { return true; });
  }
  wait_for_reply(client, "hello /a");
}

TEST_F(hostile_clients, BytesThatAreNoHeadAreRefusedBeforeItsEnd) {
  for (const std::string& text :
       {std::string("\x16\x03\x01\x02"), std::string("GET /a HTTP/1.1\n"),
        std::string("one two three four\r\n"), std::string("GET /a HTTP/1.1\r\nHost: a\n"),
        std::string("GET /a HTTP/1.1\r\nHost: a\0", 25)}) {
    auto& client = connect();
    client.send(text);
    run([&] { return client.closed; });
    EXPECT_TRUE(client.text.starts_with("HTTP/1.1 400 ") ||
                client.text.starts_with("HTTP/1.1 505 "))
        << client.text;
  }
}

TEST_F(hostile_clients, ARefusedHeadRequestGetsNoBody) {
  auto& client = connect();
  client.send("HEAD /a%00 HTTP/1.1\r\nHost: a\r\n\r\n");
  run([&] { return client.closed; });
  EXPECT_TRUE(client.text.starts_with("HTTP/1.1 400 ")) << client.text;
  EXPECT_TRUE(client.text.ends_with("\r\n\r\n")) << client.text;
}

TEST_F(hostile_clients, AHandlerThatAnswersNothingIsA500) {
  handler = [](exchange&) -> asio::awaitable<void> { co_return; };
  auto& client = connect();
  client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
  run([&] { return client.closed; });
  EXPECT_TRUE(client.text.starts_with("HTTP/1.1 500 ")) << client.text;
}

TEST_F(hostile_clients, AChunkLineThatNeverEndsIsRefused) {
  int status = 0;
  handler = [&](exchange& call) -> asio::awaitable<void> {
    try {
      co_await call.read_piece();
    } catch (const body_error& error) {
      status = error.status();
    }
    const header_fields none;
    co_await call.send(400, none, "bad");
  };
  auto& client = connect();
  client.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=" +
              std::string(40'000, 'y'));
  run([&] { return status != 0; });
  EXPECT_EQ(status, 400);
}

// The time that the handler needs does not count against the client, but it also ends no timeout.
TEST_F(hostile_clients, AfterASlowHandlerABodyMayStillBeTooSlow) {
  bool go_on = false;
  int status = 0;
  handler = [&](exchange& call) -> asio::awaitable<void> {
    try {
      co_await call.read_piece();
      waiting = true;
      while (!go_on) co_await asio::post(loop, asio::use_awaitable);
      waiting = false;
      co_await call.read_piece();
      waiting = true;
      co_await call.read_piece();
    } catch (const body_error& error) {
      status = error.status();
    }
    const header_fields none;
    co_await call.send(408, none, "slow");
  };
  auto& client = connect();
  client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\nhello");
  run([&] { return waiting; });
  time.advance(300s);
  run([] { return true; });
  EXPECT_EQ(status, 0);
  go_on = true;
  run([&] { return !waiting; });
  client.send("hello");
  run([&] { return waiting || status != 0; });
  EXPECT_EQ(status, 0);
  time.advance(31s);
  run([&] { return status != 0; });
  EXPECT_EQ(status, 408);
}

TEST_F(hostile_clients, AClientThatSentItsNextRequestAndHasGoneIsNoticed) {
  handler = [this](exchange& call) -> asio::awaitable<void> { return wait_until_gone(call); };
  auto& client = connect();
  const std::string request = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
  client.send(request);
  run([&] { return waiting; });
  client.send(request);
  run([] { return true; });
  EXPECT_FALSE(gone);
  client.socket.close();
  run([&] {
    time.advance(1s);
    return gone;
  });
  run([&] { return served->connections() == 0; });
}

TEST_F(hostile_clients, AnAbortedServerLeavesNothingForItsClock) {
  connect().send("GET /a HTT");
  run([&] { return time.calls_to_come() == 1; });
  served->abort();
  EXPECT_EQ(time.calls_to_come(), 0U);
}

TEST_F(hostile_clients, ManyConnectionsAreServedAtOnce) {
  constexpr std::size_t many = 200;
  for (std::size_t i = 0; i < many; ++i) connect().send("GET /a HTTP/1.1\r\n");
  for (auto& each : clients) each.send("Host: a\r\n\r\n");
  for (auto& each : clients) wait_for_reply(each, "hello /a");
  EXPECT_EQ(served->connections(), many);
}

// Writes a new key and a self-signed certificate for it.
void write_certificate(const std::string& certificate_file, const std::string& key_file) {
  using file = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(X509_new(), X509_free);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* const name = X509_get_subject_name(certificate.get());
  const unsigned char host[] = "localhost";
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, host, -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  ASSERT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
  const file first(std::fopen(certificate_file.c_str(), "w"), std::fclose);
  ASSERT_EQ(PEM_write_X509(first.get(), certificate.get()), 1);
  const file second(std::fopen(key_file.c_str(), "w"), std::fclose);
  ASSERT_EQ(PEM_write_PrivateKey(second.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr),
            1);
}

struct tls_clients : hostile_clients {
  tls_clients() {
    options.certificate_file = folder / "certificate.pem";
    options.key_file = folder / "key.pem";
    write_certificate(options.certificate_file, options.key_file);
    start();
    client.next_layer().connect({asio::ip::address_v4::loopback(), served->port()});
  }
  // Sends one request and reads until the connection ends or `enough` has arrived.
  asio::awaitable<void> talk(std::string request, std::string enough) {
    co_await client.async_handshake(ssl::stream_base::client,
                                    asio::redirect_error(asio::use_awaitable, failed));
    if (failed) co_return;
    co_await asio::async_write(client, asio::buffer(request), asio::use_awaitable);
    std::string piece(4096, '\0');
    error_code error;
    while (!error && text.find(enough) == std::string::npos) {
      const auto size = co_await client.async_read_some(
          asio::buffer(piece), asio::redirect_error(asio::use_awaitable, error));
      text.append(piece, 0, size);
    }
    done = true;
  }

  test::temp_dir folder;
  ssl::context context{ssl::context::tls_client};
  ssl::stream<tcp::socket> client{loop, context};
  error_code failed;
  std::string text;
  bool done = false;
};

TEST_F(tls_clients, AreAnswered) {
  asio::co_spawn(loop, talk("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "hello /a"), asio::detached);
  run([&] { return done || failed; });
  EXPECT_FALSE(failed) << failed.message();
  EXPECT_TRUE(text.ends_with("hello /a")) << text;
}

TEST_F(tls_clients, OfAnOldVersionAreRefused) {
  SSL_set_min_proto_version(client.native_handle(), TLS1_VERSION);
  SSL_set_max_proto_version(client.native_handle(), TLS1_1_VERSION);
  SSL_set_security_level(client.native_handle(), 0);
  asio::co_spawn(loop, talk("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "hello"), asio::detached);
  run([&] { return done || failed; });
  EXPECT_TRUE(failed);
  run([&] { return served->connections() == 0; });
}

TEST_F(tls_clients, ThatNeverShakeHandsAreClosed) {
  run([&] { return served->connections() == 1 && time.calls_to_come() == 1; });
  time.advance(11s);
  run([&] { return served->connections() == 0; });
}

TEST_F(tls_clients, ThatSayGoodbyeAndGoAreNoticed) {
  handler = [this](exchange& call) -> asio::awaitable<void> { return wait_until_gone(call); };
  served.reset();
  start();
  client.next_layer().close();
  client.next_layer().connect({asio::ip::address_v4::loopback(), served->port()});
  asio::co_spawn(loop, talk("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "hello"), asio::detached);
  run([&] { return waiting; });
  EXPECT_FALSE(gone);
  bool said = false;
  client.async_shutdown([&](const error_code&) { said = true; });
  run([] { return true; });
  client.next_layer().close();
  run([&] {
    time.advance(1s);
    return gone && done && said;
  });
}

}  // namespace
}  // namespace sluice::http_server
