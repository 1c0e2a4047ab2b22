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

/// One connection of the HTTP client, plain or TLS, with the bytes that were read and not parsed
/// yet. Not thread safe: use it on the event loop's thread.
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
    // Marks TLS as shut down without sending close_notify: OpenSSL does not resume a session whose
    // connection was not shut down, and there is no time left for a real shutdown.
    if (tls) SSL_set_shutdown(tls->native_handle(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }

  /// Closes the socket and ends every wait on it.
  void cut() {
    boost::system::error_code ignored;
    socket.close(ignored);
    parked.wake_all();
  }
  /// Marks the connection as aborted by this program, and cuts it.
  void abort() {
    aborted = true;
    cut();
  }

  bool given_up() const noexcept { return aborted || limit.passed(); }
  /// Returns why an operation failed. If a timeout or an abort caused the error, it returns that
  /// cause; otherwise it returns `otherwise`.
  std::string first_cause(std::string otherwise) const {
    if (limit.passed()) return std::string(limit.name()) + " expired";
    return aborted ? "interrupted" : std::move(otherwise);
  }

  /// Returns whether nothing has arrived since the last reply, not even the relay's close.
  /// Unexpected bytes would be read as the answer to the next request.
  bool is_silent() {
    if (tls && (SSL_has_pending(tls->native_handle()) != 0 ||
                BIO_ctrl_pending(SSL_get_rbio(tls->native_handle())) != 0)) {
      return false;
    }
    char byte = 0;
    const auto n = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  }

  /// Returns whether unread bytes, or the relay's close, have arrived.
  bool has_unread() {
    pollfd query{socket.is_open() ? socket.native_handle() : -1, POLLIN, 0};
    return ::poll(&query, 1, 0) > 0;
  }

  boost::asio::mutable_buffer room() { return boost::asio::buffer(buffer) + filled; }
  boost::asio::const_buffer bytes() const { return boost::asio::buffer(buffer.data(), filled); }
  void drop(std::size_t parsed) {
    std::copy(buffer.data() + parsed, buffer.data() + filled, buffer.data());
    filled -= parsed;
  }

  boost::asio::ip::tcp::socket socket;
  stamped_stream stream;  ///< the stream over the socket
  std::optional<boost::asio::ssl::stream<stamped_stream&>> tls;
  wait_queue parked;  ///< the coroutines that wait while there is no connected socket
  deadline limit;
  std::vector<char> buffer = std::vector<char>(read_size);
  std::size_t filled = 0;
  time_point retire_at{};         ///< after this time it is not used for another request
  std::string certificate_names;  ///< the names in the certificate, if the host is not one of them
  bool connecting = false;
  bool aborted = false;
};

}  // namespace sluice
