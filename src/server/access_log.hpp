#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace sluice::server {

/// What the access log records of one request. It never contains a key, a body, a path or a query:
/// they are the client's secrets.
struct access_entry {
  double unix_time = 0;  ///< when the request was answered
  std::string key;       ///< name of the client's key; empty: no key
  std::string peer;      ///< address of the client; empty: unknown
  std::string method;    ///< empty: the request head was not well formed
  /// A route of the server, such as /v1/files/{id}; empty: no route has the path.
  std::string route;
  int status = 0;               ///< 0: the request was not answered
  std::uint64_t bytes_in = 0;   ///< bytes of the request body
  std::uint64_t bytes_out = 0;  ///< bytes of the response body
  double duration_ms = 0;
  std::string request_id;
};

/// Returns one line of JSON, without its newline.
std::string access_line(const access_entry& entry);

/// Receives the lines of the access log. Must not block or throw.
using access_log = std::function<void(const std::string& line)>;

}  // namespace sluice::server
