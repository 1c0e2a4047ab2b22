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

/// Reads one HTTP/1.1 request from bytes: its head, then its body. Strict where a lenient reader
/// could be made to see another request than a proxy in front of it does (request smuggling). Pure;
/// not thread safe; one object for each request.
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

  /// Takes the head from the begin of `bytes`, all that has arrived of it. Nothing: more bytes are
  /// needed. Otherwise the number of bytes that it took, or why it is refused.
  std::optional<std::variant<std::size_t, refusal>> read_head(std::string_view bytes);

  // Once the head was read.

  request_head& head() noexcept;
  bool keep_alive() const noexcept;
  /// The client waits for `100 Continue` before it sends the body.
  bool expects_continue() const noexcept;
  /// HTTP/1.0 knows no chunks.
  bool takes_chunks() const noexcept;

  struct body_step {
    std::size_t taken = 0;     ///< bytes of the input
    std::size_t produced = 0;  ///< bytes of the body; both zero: more input is needed
    bool failed = false;       ///< the body is not well framed
  };
  /// Decodes some of the body into `into`.
  body_step read_body(std::string_view bytes, char* into, std::size_t size);
  /// The whole body was read.
  bool body_is_done() const noexcept;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace sluice::http_server
