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

/// The address on which a server listens, and its limits for clients.
struct server_options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;        ///< 0: the system chooses one
  std::string certificate_file;  ///< PEM file with the whole chain; empty: no TLS
  std::string key_file;          ///< PEM file with the certificate's key

  std::size_t max_connections = 1024;  ///< further connections wait until others are closed
  std::size_t max_head_bytes =
      std::size_t{32} * 1024;  ///< request line and fields; more is answered 431
  duration head_timeout = std::chrono::seconds{10};  ///< from the first byte of a head to its end
  duration idle_timeout = std::chrono::seconds{75};  ///< between two requests of a connection
  /// The client must send at least this many bytes of a body in every `body_timeout`. It must also
  /// accept each piece of a reply within `body_timeout`.
  std::size_t min_body_bytes = 1024;
  duration body_timeout = std::chrono::seconds{30};
};

/// The head of a request.
struct request_head {
  std::string method;  ///< in capitals
  std::string path;    ///< without the query, percent-decoded; never contains a NUL
  std::string query;   ///< as sent, without the `?`
  header_fields fields;
  std::optional<std::uint64_t> content_length;  ///< nothing if the body is chunked or missing
  std::string peer;                             ///< address of the client, without its port
  bool keep_alive = true;    ///< the client keeps the connection open for its next request
  bool takes_chunks = true;  ///< false for HTTP/1.0, which has no chunked encoding
};

/// The state of a client's connection. After the client's FIN (`half_closed`) it may still read, or
/// it may have closed the socket. Only a write can show which.
enum class client_state : std::uint8_t { connected, half_closed, gone };

/// How a raw reply ends.
enum class raw_end : std::uint8_t {
  complete,  ///< the connection can be used again, if the request and the head of the reply say so
  last,      ///< the reply is complete, and the connection is closed after it
  broken,    ///< the connection is closed at once, although more bytes were announced
  reset,     ///< the same, with a TCP reset
};

/// Throws fatal_error (cannot_start) if the files of the certificate cannot be used; does nothing
/// without TLS.
void check_certificate(const server_options& options);

/// One request and its reply. Not thread safe: use it on the event loop's thread, and only until
/// the handler returns. A call returns false if the client has closed the connection.
class exchange {
 public:
  virtual ~exchange() = default;
  virtual const request_head& head() const noexcept = 0;

  /// Reads the next piece of the body, decoded from chunks; empty at its end. The piece is valid
  /// until the next call. Sends `100 Continue` before the first piece if the client waits for it.
  /// Throws body_error.
  virtual boost::asio::awaitable<std::string_view> read_piece() = 0;

  /// Answers with a whole body. For a HEAD request it sends only the head.
  virtual boost::asio::awaitable<bool> send(int status, const header_fields& fields,
                                            std::string_view body) = 0;
  /// Begins an answer whose body follows in pieces. Without a length the body is chunked.
  virtual boost::asio::awaitable<bool> begin(int status, const header_fields& fields,
                                             std::optional<std::uint64_t> length) = 0;
  virtual boost::asio::awaitable<bool> write(std::string_view piece) = 0;
  virtual boost::asio::awaitable<bool> finish() = 0;

  /// Calls `act` once, from the event loop, if the client closes the connection before the reply is
  /// complete. It does not detect this while the body is being read.
  virtual void on_client_gone(std::function<void()> act) = 0;
  virtual client_state client() = 0;
  /// Returns whether the client's TCP has acknowledged all bytes that were sent to it.
  virtual bool acknowledged() = 0;

  // Raw replies: the handler writes every byte itself, including head and framing, and says how the
  // reply ends. They are for a test server that simulates faults. Every raw reply needs end_raw(),
  // even an empty one.

  virtual boost::asio::awaitable<bool> write_raw(std::string_view first,
                                                 std::string_view second = {}) = 0;
  virtual void end_raw(raw_end how) = 0;
};

/// Thrown if the body of a request cannot be read: its framing is not valid, it is too slow, or the
/// client has closed the connection.
class body_error : public std::exception {
 public:
  body_error(int status, std::string message) : status_(status), message_(std::move(message)) {}
  /// Status of the answer; 0: the client has closed the connection.
  int status() const noexcept { return status_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  int status_;
  std::string message_;
};

/// The server's own answer to a request without a well-formed head, or after a handler has thrown.
/// The application may give it another form.
struct refusal_answer {
  header_fields fields;
  std::string body;
};
using refusal_form = std::function<refusal_answer(int status, std::string_view message)>;
/// Answers one request. If it throws, the server closes the connection; if no head was sent, the
/// server answers 500 first.
using request_handler = std::function<boost::asio::awaitable<void>(exchange&)>;

/// An HTTP/1.1 server. If the handler does not read a body, the server reads and drops up to 256
/// KiB of it, and closes the connection if the body is longer. Not thread safe: use it on the event
/// loop's thread.
class server {
 public:
  /// Starts to listen. All references must outlive the server.
  /// Throws fatal_error (cannot_start) if it cannot listen or read the certificate.
  server(boost::asio::io_context& loop, clock& time, server_options options,
         request_handler handler, refusal_form refusal);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  std::uint16_t port() const noexcept;
  std::size_t connections() const noexcept;
  /// Accepts no more connections and closes idle ones. Requests that are being answered continue.
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
