#include "http/server/server.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <utility>

#include "async/wait_queue.hpp"
#include "base/refuse.hpp"
#include "http/server/server_connection.hpp"

namespace sluice::http_server {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

// How long the server accepts no connection after the process has run out of file descriptors.
constexpr std::chrono::milliseconds pause_without_files{100};

std::optional<ssl::context> read_certificate(const server_options& options) {
  if (options.certificate_file.empty()) return std::nullopt;
  ssl::context context(ssl::context::tls_server);
  context.set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  error_code error;
  context.use_certificate_chain_file(options.certificate_file, error);
  if (error) {
    refuse(fmt::format("{}: it holds no certificate in PEM ({})", options.certificate_file,
                       error.message()));
  }
  context.use_private_key_file(options.key_file, ssl::context::pem, error);
  if (error) {
    refuse(fmt::format("{}: it holds no private key in PEM, or not that of {} ({})",
                       options.key_file, options.certificate_file, error.message()));
  }
  return context;
}

tcp::acceptor listen(asio::io_context& loop, const server_options& options) {
  error_code error;
  const auto address =
      asio::ip::make_address(options.address == "localhost" ? "127.0.0.1" : options.address, error);
  const auto where = fmt::format("{}:{}", options.address, options.port);
  if (error) refuse(fmt::format("cannot listen on {}: it is no IP address", where));
  const tcp::endpoint local(address, options.port);
  tcp::acceptor acceptor(loop);
  acceptor.open(local.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(local, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    refuse(fmt::format("cannot listen on {}: {}; choose another address or port", where,
                       error.message()));
  }
  return acceptor;
}

}  // namespace

void check_certificate(const server_options& options) {
  (void)read_certificate(options);
}

struct server::parts {
  parts(asio::io_context& context, clock& clock, server_options chosen, request_handler answer,
        refusal_form refuse_with)
      : loop(context),
        time(clock),
        settings{std::move(chosen), std::move(answer), std::move(refuse_with)},
        tls(read_certificate(settings.options)),
        acceptor(listen(loop, settings.options)),
        port(acceptor.local_endpoint().port()) {}

  // `kept` keeps the parts alive: the server may be destroyed before this coroutine begins.
  asio::awaitable<void> accept_all(std::shared_ptr<parts> kept) {
    while (acceptor.is_open()) {
      if (connections.size() >= settings.options.max_connections) {
        co_await changed.wait();
        continue;
      }
      error_code error;
      tcp::socket socket =
          co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (!acceptor.is_open()) co_return;
      if (error) {
        co_await pause(pause_without_files);
      } else {
        asio::co_spawn(loop, serve(kept, std::move(socket)), asio::detached);
      }
    }
  }

  asio::awaitable<void> serve(std::shared_ptr<parts> /*kept*/, tcp::socket socket) {
    ssl::context* const context = tls ? &*tls : nullptr;
    const auto connection =
        std::make_unique<server_connection>(std::move(socket), context, time, settings);
    const auto place = connections.insert(connections.end(), connection.get());
    if (!acceptor.is_open()) connection->close_when_idle();
    try {
      co_await connection->serve();
    } catch (...) {
      connection->abort();  // only this connection ends
    }
    connections.erase(place);
    changed.wake_all();
  }

  asio::awaitable<void> pause(duration length) {
    const auto alarm = time.call_at(time.now() + length, [this] { changed.wake_all(); });
    co_await changed.wait();
    time.cancel(alarm);
  }

  void stop_accepting() {
    error_code ignored;
    acceptor.close(ignored);
    changed.wake_all();
    for (auto* each : connections) each->close_when_idle();
  }

  asio::io_context& loop;
  clock& time;
  const connection_settings settings;
  std::optional<ssl::context> tls;
  tcp::acceptor acceptor;
  const std::uint16_t port;
  std::list<server_connection*> connections;
  wait_queue changed;  // woken when a connection has ended, or when the server stops accepting
};

server::server(asio::io_context& loop, clock& time, server_options options, request_handler handler,
               refusal_form refusal)
    : parts_(std::make_shared<parts>(loop, time, std::move(options), std::move(handler),
                                     std::move(refusal))) {
  asio::co_spawn(loop, parts_->accept_all(parts_), asio::detached);
}

server::~server() {
  abort();
}

std::uint16_t server::port() const noexcept {
  return parts_->port;
}
std::size_t server::connections() const noexcept {
  return parts_->connections.size();
}
void server::stop_accepting() {
  parts_->stop_accepting();
}

asio::awaitable<void> server::drained() {
  const auto kept = parts_;
  while (!kept->connections.empty()) co_await kept->changed.wait();
}

void server::abort() {
  parts_->stop_accepting();
  for (auto* each : parts_->connections) each->abort();
}

}  // namespace sluice::http_server
