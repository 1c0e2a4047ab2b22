#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "files/file_system.hpp"

namespace sluice::server {

/// A line of an error file, as people read it.
struct failed_line {
  std::optional<std::uint64_t> line;  ///< of the batch's input; nothing: it was not sent
  std::string custom_id;
  std::string code;  ///< the error's code, or the HTTP status
  std::string message;
  std::optional<std::string> model;
};

/// Some lines of an error file in their order.
struct failed_page {
  std::vector<failed_line> lines;
  bool has_more = false;
  std::uint64_t next = 0;  ///< where the next page begins
};

/// What one line says; a line that is not JSON says nothing.
failed_line read_failed_line(std::string_view text);
/// Up to `limit` lines from the position `from` on, 0 or the `next` of another page. Nothing: no
/// line begins there, since the file was written anew. The file may grow meanwhile; a line without
/// its end does not count. Memory and time do not depend on the size of the file. Blocks.
std::optional<failed_page> read_failed_lines(file& opened, std::uint64_t from, std::size_t limit,
                                             std::error_code& error);

}  // namespace sluice::server
