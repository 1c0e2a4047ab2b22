#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "files/file_system.hpp"

namespace sluice::server {

/// One line of an error file, prepared for display.
struct failed_line {
  /// Line number in the batch's input; nothing: the request was not sent.
  std::optional<std::uint64_t> line;
  std::string custom_id;
  std::string code;  ///< the error's code, or the HTTP status
  std::string message;
  std::optional<std::string> model;
};

/// A page of lines of an error file, in their order.
struct failed_page {
  std::vector<failed_line> lines;
  bool has_more = false;
  std::uint64_t next = 0;  ///< the position where the next page begins
};

/// Parses one line. If the line is not JSON, the result is empty.
failed_line read_failed_line(std::string_view text);
/// Reads up to `limit` lines from the position `from`: 0, or the `next` of another page. Returns
/// nothing if no line begins there, because the file was rewritten. The file may grow meanwhile; a
/// line without a line end is not read. Memory and time do not depend on the size of the file.
/// Blocks.
std::optional<failed_page> read_failed_lines(file& opened, std::uint64_t from, std::size_t limit,
                                             std::error_code& error);

}  // namespace sluice::server
