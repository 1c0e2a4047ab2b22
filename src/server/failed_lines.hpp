#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
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

/// Reads a page of lines of an error file whose bytes arrive in pieces. Memory and time do not
/// depend on the size of the file. Pure; not thread safe.
class failed_lines_reader {
 public:
  /// Reads up to `limit` lines from the position `from`: 0, or the `next` of another page.
  failed_lines_reader(std::uint64_t from, std::size_t limit);

  /// Returns the position of the next byte that it needs. Earlier bytes may be given, too.
  std::uint64_t needs() const noexcept { return at_; }
  /// Takes the bytes at `position`. Returns false if it needs no more: the page is complete, or no
  /// line begins at `from`.
  bool take(std::uint64_t position, std::string_view bytes);
  /// Returns the page; nothing if no line begins at `from`. A line without a line end is not in it.
  std::optional<failed_page> page() &&;

 private:
  bool end_line();

  const std::uint64_t from_;
  const std::size_t limit_;
  std::uint64_t at_;
  bool begun_;  // a line begins at `from`
  bool ended_ = false;
  bool too_long_ = false;
  std::string line_;
  failed_page page_;
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
