#pragma once

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "async/deadline.hpp"
#include "async/wait_queue.hpp"
#include "http/stamped_stream.hpp"

namespace sluice {

/// One connection of the HTTP client, plain or TLS, with the bytes read from it that no parser has
/// taken yet.
struct connection {
  static constexpr std::size_t read_size = std::size_t{16} * 1024;

  connection(boost::asio::io_context& context, clock& clock, boost::asio::ssl::context* tls_context)
      : socket(context),
        stream(socket, clock),
        limit(
            clock, [this] { cut(); }, [this] { return has_unread(); }) {
    if (tls_context != nullptr) tls.emplace(stream, *tls_context);
  }

  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection() {
    // A session whose connection goes without a farewell could not be resumed (OpenSSL takes it for
    // a bad one), and there is nobody left to wait for the farewell's answer.
    if (tls) SSL_set_shutdown(tls->native_handle(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }

  /// Ends whatever waits on it.
  void cut() {
    boost::system::error_code ignored;
    socket.close(ignored);
    parked.wake_all();
  }
  /// The program gives it up, not the relay.
  void abort() {
    aborted = true;
    cut();
  }

  bool given_up() const noexcept { return aborted || limit.passed(); }
  /// Why something failed on it: what ended it comes before what was met then.
  std::string first_cause(std::string otherwise) const {
    if (limit.passed()) return std::string(limit.name()) + " passed";
    return aborted ? "interrupted" : std::move(otherwise);
  }

  /// Nothing has come on it, no farewell either, since the last reply was read. What would have
  /// come answers nothing that was asked, and would be taken for the answer to what is asked next.
  bool is_silent() {
    if (tls && (SSL_has_pending(tls->native_handle()) != 0 ||
                BIO_ctrl_pending(SSL_get_rbio(tls->native_handle())) != 0)) {
      return false;
    }
    char byte = 0;
    const auto n = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  }

  /// Something has come that nobody has read yet, or its end.
  bool has_unread() {
    pollfd asked{socket.is_open() ? socket.native_handle() : -1, POLLIN, 0};
    return ::poll(&asked, 1, 0) > 0;
  }

  boost::asio::mutable_buffer room() { return boost::asio::buffer(buffer) + filled; }
  boost::asio::const_buffer bytes() const { return boost::asio::buffer(buffer.data(), filled); }
  void drop(std::size_t parsed) {
    std::copy(buffer.data() + parsed, buffer.data() + filled, buffer.data());
    filled -= parsed;
  }

  boost::asio::ip::tcp::socket socket;
  stamped_stream stream;  ///< of the socket
  std::optional<boost::asio::ssl::stream<stamped_stream&>> tls;
  wait_queue parked;  ///< for waits before there is a socket to wait on
  deadline limit;
  std::vector<char> buffer = std::vector<char>(read_size);
  std::size_t filled = 0;
  time_point retire_at{};  ///< it serves no other request from then on
  std::string certified;   ///< the names in a certificate that does not have the host's
  bool connecting = false;
  bool aborted = false;
};

}  // namespace sluice
