#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace sluice {

/// The bytes of a file, decompressed if needed. Only cancel() may be called from another thread.
class byte_source {
 public:
  virtual ~byte_source() = default;
  /// Reads up to `size` bytes. Returns 0 at the end. Throws fatal_error on a read error.
  virtual std::size_t read(char* into, std::size_t size) = 0;
  /// Makes a read() that waits for a pipe return 0. Thread safe.
  virtual void cancel() noexcept {}
};

/// What a file contains; the wording of error messages depends on it.
enum class bytes_of : std::uint8_t { job, data };

/// Opens a file for reading. Names that end in .gz or .zst are decompressed; "-" is standard input.
/// Throws fatal_error with the file's name if it is missing, a directory or not readable.
std::unique_ptr<byte_source> open_bytes(const std::string& path, bytes_of what = bytes_of::job);

/// Splits a file into lines. Only cancel() may be called from another thread.
///
/// Lines end with LF or CRLF. A byte order mark at the start is skipped. Blank lines (spaces, tabs,
/// carriage returns) are skipped but counted. Memory: the longest line, at most `max_line_bytes`.
class line_reader {
 public:
  struct line {
    std::uint64_t number = 0;  ///< 1-based
    std::uint64_t offset = 0;  ///< where it begins in the (decompressed) file
    std::string_view text;     ///< without its line end; valid until the next call
    bool too_long = false;     ///< longer than the limit; `text` is then meaningless
  };

  line_reader(std::unique_ptr<byte_source> bytes, std::uint64_t max_line_bytes);

  /// The first bytes of the file, without consuming them; call it before next(). They hold at least
  /// `lines` lines that are not blank, unless the file is shorter or the lines are longer than a
  /// block of 256 KiB. Valid until the next call.
  std::string_view start(std::size_t lines);
  /// Reads the next line that is not blank. False at the end of the file.
  bool next(line& out);
  void cancel() noexcept { bytes_->cancel(); }

 private:
  bool fill();
  bool next_any(line& out);

  std::unique_ptr<byte_source> bytes_;
  const std::uint64_t max_line_bytes_;
  // Not filled with zeros, so that a small file needs little memory.
  std::unique_ptr<char[]> buffer_;
  std::size_t size_;  // of buffer_
  // The bytes of buffer_ that were read but not yet returned as lines.
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t passed_ = 0;  // bytes of the file before buffer_
  std::uint64_t number_ = 0;
  bool ended_ = false;
};

}  // namespace sluice
