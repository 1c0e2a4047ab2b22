#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace sluice::server {

/// What the access log keeps of one request of a client. Never a key, a body, a path or a query:
/// those are the client's secrets.
struct access_entry {
  double unix_time = 0;  ///< when it was answered
  std::string key;       ///< name of the client's key; empty: it has none
  std::string peer;      ///< address of the client; empty: unknown
  std::string method;    ///< empty: its head was not well formed
  std::string route;  ///< one of the server's, such as /v1/files/{id}; empty: no route has the path
  int status = 0;     ///< 0: it was not answered
  std::uint64_t bytes_in = 0;   ///< of its body
  std::uint64_t bytes_out = 0;  ///< of the body of the answer
  double duration_ms = 0;
  std::string request_id;
};

/// One line of JSON, without its newline.
std::string access_line(const access_entry& entry);

/// Takes the lines of the access log. Must not block or throw.
using access_log = std::function<void(const std::string& line)>;

}  // namespace sluice::server
