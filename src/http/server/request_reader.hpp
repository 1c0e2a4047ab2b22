#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "http/server/server.hpp"

namespace sluice::http_server {

/// Reads one HTTP/1.1 request from bytes: its head, then its body. It is strict: otherwise a proxy
/// in front of the server could see a different request in the same bytes (request smuggling).
/// Pure; not thread safe; use one object for each request.
class request_reader {
 public:
  /// Why a request is refused; the connection must be closed after the answer.
  struct refusal {
    int status = 400;
    std::string message;
  };

  explicit request_reader(std::size_t max_head_bytes);
  ~request_reader();
  request_reader(const request_reader&) = delete;
  request_reader& operator=(const request_reader&) = delete;

  /// Parses the head at the start of `bytes`, which must contain everything that has arrived of it.
  /// Returns nothing if more bytes are needed. Otherwise it returns the number of bytes that it
  /// used, or why it refuses the request.
  std::optional<std::variant<std::size_t, refusal>> read_head(std::string_view bytes);

  // The following functions may be called after the head was read.

  request_head& head() noexcept;
  bool keep_alive() const noexcept;
  /// Returns whether the client waits for `100 Continue` before it sends the body.
  bool expects_continue() const noexcept;
  /// Returns whether the client understands chunks; HTTP/1.0 has none.
  bool takes_chunks() const noexcept;

  struct body_step {
    std::size_t taken = 0;  ///< bytes used of the input
    /// Bytes written of the body. If both numbers are zero, more input is needed.
    std::size_t produced = 0;
    bool failed = false;  ///< the framing of the body is not valid
  };
  /// Decodes some of the body into `into`.
  body_step read_body(std::string_view bytes, char* into, std::size_t size);
  /// Returns whether the whole body was read.
  bool body_is_done() const noexcept;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace sluice::http_server
