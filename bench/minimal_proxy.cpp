// The least work that a reverse proxy on Asio's coroutines and Beast's parsers can do: the bound
// for `bench/pass_through.py`. It has one thread. It reads a request, sends it to the relay on a
// connection that it keeps open, reads the reply, and sends it to the client.
//
// It has none of the rest of `sluice serve`: keys, limits, budgets, prices, usage, retries,
// timeouts, streams, logs, TLS, or the cancellation of a request whose client has left. Any
// surprise ends it.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr std::size_t read_size = std::size_t{16} * 1024;

struct link {
  explicit link(tcp::socket open) : socket(std::move(open)) {
    socket.set_option(tcp::no_delay(true));
    socket.non_blocking(true);
  }
  tcp::socket socket;
  std::array<char, read_size> buffer{};
};

// Reads one message. Returns false if the connection ended before it.
template <bool IsRequest>
asio::awaitable<bool> read(link& from, http::parser<IsRequest, http::string_body>& parser) {
  parser.eager(true);
  std::size_t filled = 0;
  while (!parser.is_done()) {
    error_code error;
    filled += co_await from.socket.async_read_some(
        asio::buffer(from.buffer.data() + filled, from.buffer.size() - filled),
        asio::redirect_error(asio::use_awaitable, error));
    if (error && !parser.got_some()) co_return false;
    if (error) throw std::runtime_error("a message was cut");
    error_code fault;
    const std::size_t taken = parser.put(asio::buffer(from.buffer.data(), filled), fault);
    if (fault == http::error::need_more) fault = {};
    if (fault || filled == from.buffer.size()) throw std::runtime_error("a message is not HTTP");
    std::copy(from.buffer.begin() + static_cast<std::ptrdiff_t>(taken),
              from.buffer.begin() + static_cast<std::ptrdiff_t>(filled), from.buffer.begin());
    filled -= taken;
  }
  co_return true;
}

template <bool IsRequest>
void append_fields(std::string& head, const http::parser<IsRequest, http::string_body>& parser) {
  for (const auto& field : parser.get()) {
    if (field.name() == http::field::connection) continue;
    head.append(field.name_string()).append(": ").append(field.value()).append("\r\n");
  }
  head.append("\r\n");
}

// A direct write saves a turn of the event loop, and the messages are short. Returns false if the
// message was not sent whole.
bool write(link& to, const std::string& head, const std::string& body) {
  const std::array<asio::const_buffer, 2> bytes{asio::buffer(head), asio::buffer(body)};
  error_code error;
  return to.socket.write_some(bytes, error) == head.size() + body.size();
}

class proxy {
 public:
  proxy(asio::io_context& loop, std::uint16_t port, std::uint16_t relay)
      : loop_(loop),
        acceptor_(loop, {asio::ip::address_v4::loopback(), port}),
        relay_(asio::ip::address_v4::loopback(), relay) {}

  asio::awaitable<void> accept_all() {
    for (;;) {
      tcp::socket socket = co_await acceptor_.async_accept(asio::use_awaitable);
      asio::co_spawn(loop_, serve(std::make_unique<link>(std::move(socket))), rethrow);
    }
  }

  static void rethrow(const std::exception_ptr& thrown) {
    if (thrown) std::rethrow_exception(thrown);
  }

 private:
  asio::awaitable<void> serve(std::unique_ptr<link> client) {
    for (;;) {
      http::request_parser<http::string_body> request;
      const bool more = co_await read(*client, request);
      if (!more) co_return;
      if (idle_.empty()) {
        tcp::socket socket(loop_);
        co_await socket.async_connect(relay_, asio::use_awaitable);
        idle_.push_back(std::make_unique<link>(std::move(socket)));
      }
      std::unique_ptr<link> relay = std::move(idle_.back());
      idle_.pop_back();
      std::string head("POST ");
      head.append(request.get().target()).append(" HTTP/1.1\r\n");
      append_fields(head, request);
      if (!write(*relay, head, request.get().body())) {
        throw std::runtime_error("a request was not sent whole");
      }
      http::response_parser<http::string_body> reply;
      const bool answered = co_await read(*relay, reply);
      if (!answered) throw std::runtime_error("the relay closed a connection");
      idle_.push_back(std::move(relay));
      head.assign("HTTP/1.1 200 OK\r\n");
      if (reply.get().result() != http::status::ok) throw std::runtime_error("a reply is not 200");
      append_fields(head, reply);
      if (!write(*client, head, reply.get().body())) co_return;  // the client has left
    }
  }

  asio::io_context& loop_;
  tcp::acceptor acceptor_;
  const tcp::endpoint relay_;
  std::vector<std::unique_ptr<link>> idle_;
};

int run(int argc, char** argv) {
  std::uint16_t port = 0;
  std::uint16_t relay = 0;
  CLI::App app("The least work of a reverse proxy on Asio: a bound for bench/pass_through.py");
  app.add_option("--port", port, "listens here, on 127.0.0.1")->required();
  app.add_option("--relay", relay, "the port of the relay, on 127.0.0.1")->required();
  CLI11_PARSE(app, argc, argv);
  asio::io_context loop(1);
  proxy one(loop, port, relay);
  asio::co_spawn(loop, one.accept_all(), proxy::rethrow);
  loop.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& fault) {
    std::cerr << "minimal_proxy: " << fault.what() << '\n';
    return 1;
  }
}
