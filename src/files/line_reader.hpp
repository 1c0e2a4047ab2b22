#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

/// Bytes of a file, plain or decompressed.
class byte_source {
 public:
  virtual ~byte_source() = default;
  /// Fills up to `size` bytes; 0 at the end. Throws fatal_error when the file cannot be read on.
  virtual std::size_t read(char* into, std::size_t size) = 0;
  /// Ends a read() that waits for a pipe, as at the end; from any thread.
  virtual void cancel() noexcept {}
};

/// Opens a file for reading: gzip and zstd by the name's ending (.gz, .zst), "-" is standard input.
/// Throws fatal_error, naming the file, when it is missing, a directory or not readable.
std::unique_ptr<byte_source> open_bytes(const std::string& path);

/// Cuts a file into lines: LF or CRLF, a byte order mark at the start passed over, blank lines
/// (spaces, tabs, carriage returns) skipped but counted. Memory: the longest line, up to
/// `max_line_bytes`.
class line_reader {
 public:
  struct line {
    std::uint64_t number = 0;  ///< 1-based
    std::string_view text;     ///< without its end; valid until the next call
    bool too_long = false;     ///< longer than the limit: `text` says nothing
  };

  line_reader(std::unique_ptr<byte_source> bytes, std::uint64_t max_line_bytes);

  /// What the file begins with, before the first line is taken: so many lines that are not blank,
  /// if it has them and they are not much longer than a block, and what else was read with them.
  /// Valid until the next call.
  std::string_view start(std::size_t lines);
  /// The next line that is not blank. False at the end.
  bool next(line& out);
  void cancel() noexcept { bytes_->cancel(); }

 private:
  bool fill();
  bool next_any(line& out);

  std::unique_ptr<byte_source> bytes_;
  const std::uint64_t max_line_bytes_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // of what was read and not given out
  std::size_t end_ = 0;
  std::uint64_t number_ = 0;
  bool ended_ = false;
};

}  // namespace sluice
