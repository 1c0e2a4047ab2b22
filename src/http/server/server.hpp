#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/header_fields.hpp"
#include "sluice/clock.hpp"

namespace sluice::http_server {

/// What a server listens on, and what it allows a client.
struct server_options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;        ///< 0: the system chooses one
  std::string certificate_file;  ///< PEM, the whole chain; empty: no TLS
  std::string key_file;          ///< PEM, of the certificate

  std::size_t max_connections = 1024;  ///< more wait until others are closed
  std::size_t max_head_bytes =
      std::size_t{32} * 1024;  ///< request line and fields; more is answered 431
  duration head_timeout = std::chrono::seconds{10};  ///< from the first byte of a head to its end
  duration idle_timeout = std::chrono::seconds{75};  ///< between two requests of a connection
  /// A body must bring this much every `body_timeout`, and a client must take a piece of a reply
  /// within it.
  std::size_t min_body_bytes = 1024;
  duration body_timeout = std::chrono::seconds{30};
};

/// The head of a request.
struct request_head {
  std::string method;  ///< in capitals
  std::string path;    ///< without the query, percent-decoded; never holds a NUL
  std::string query;   ///< as sent, without the `?`
  header_fields fields;
  std::optional<std::uint64_t> content_length;  ///< nothing: chunked, or no body
  std::string peer;                             ///< address of the client, without its port
  bool keep_alive = true;    ///< the client keeps the connection for its next request
  bool takes_chunks = true;  ///< false for HTTP/1.0, which has no chunked encoding
};

/// What is known of a client's connection. After its FIN (`half_closed`) it may still read, or it
/// may have closed the socket: only a write to it shows which.
enum class client_state : std::uint8_t { connected, half_closed, gone };

/// How a raw reply ends.
enum class raw_end : std::uint8_t {
  complete,  ///< the connection can be used again, if the request and the head of the reply say so
  last,      ///< complete, and the connection is closed behind it
  broken,    ///< the connection is closed at once, although more bytes were announced
  reset,     ///< the same, with a TCP reset
};

/// Throws fatal_error (cannot_start) if the files of the certificate cannot be used; does nothing
/// without TLS.
void check_certificate(const server_options& options);

/// One request and its reply. Not thread safe: use it on the event loop's thread, and only until
/// the handler returns. A call that returns false has found the client gone.
class exchange {
 public:
  virtual ~exchange() = default;
  virtual const request_head& head() const noexcept = 0;

  /// The next piece of the body, decoded from chunks; empty at its end. Valid until the next call.
  /// Sends `100 Continue` before the first piece where the client waits for it. Throws body_error.
  virtual boost::asio::awaitable<std::string_view> read_piece() = 0;

  /// Answers with a whole body. A HEAD request gets the head alone.
  virtual boost::asio::awaitable<bool> send(int status, const header_fields& fields,
                                            std::string_view body) = 0;
  /// Begins an answer whose body follows in pieces: with its length, or chunked without one.
  virtual boost::asio::awaitable<bool> begin(int status, const header_fields& fields,
                                             std::optional<std::uint64_t> length) = 0;
  virtual boost::asio::awaitable<bool> write(std::string_view piece) = 0;
  virtual boost::asio::awaitable<bool> finish() = 0;

  /// Calls `act` once, from the event loop, if the client closes the connection before the reply is
  /// complete. Not while the body is being read.
  virtual void on_client_gone(std::function<void()> act) = 0;
  virtual client_state client() = 0;
  /// Whether the client's TCP has acknowledged all that was sent to it.
  virtual bool acknowledged() = 0;

  // A raw reply: the handler makes each byte of it, head and framing too, and says how it ends.
  // For a server that plays one with faults. Such a reply needs end_raw(), even if it is empty.

  virtual boost::asio::awaitable<bool> write_raw(std::string_view first,
                                                 std::string_view second = {}) = 0;
  virtual void end_raw(raw_end how) = 0;
};

/// The body of a request cannot be read: it is not well framed, too slow, or the client has gone.
class body_error : public std::exception {
 public:
  body_error(int status, std::string message) : status_(status), message_(std::move(message)) {}
  int status() const noexcept { return status_; }  ///< of the answer; 0: the client is gone
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  int status_;
  std::string message_;
};

/// What the server itself answers: to a request without a well-formed head, and where a handler has
/// thrown. The application may give it its own form.
struct refusal_answer {
  header_fields fields;
  std::string body;
};
using refusal_form = std::function<refusal_answer(int status, std::string_view message)>;
/// Answers one request. An exception ends the connection; if no head was sent, with a 500.
using request_handler = std::function<boost::asio::awaitable<void>(exchange&)>;

/// An HTTP/1.1 server. A body that the handler leaves unread is read and dropped up to 256 KiB,
/// else the connection is closed. Not thread safe: use it on the event loop's thread.
class server {
 public:
  /// Listens from now on. All references must outlive it.
  /// Throws fatal_error (cannot_start) if it cannot listen or read the certificate.
  server(boost::asio::io_context& loop, clock& time, server_options options,
         request_handler handler, refusal_form refusal);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  std::uint16_t port() const noexcept;
  std::size_t connections() const noexcept;
  /// Accepts no more connections, closes idle ones; requests that are being answered go on.
  void stop_accepting();
  /// Waits until the last connection is closed.
  boost::asio::awaitable<void> drained();
  /// Closes all connections at once.
  void abort();

 private:
  struct parts;
  std::shared_ptr<parts> parts_;
};

}  // namespace sluice::http_server
