#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string_view>

namespace sluice {

/// Decompresses one stream piece by piece. Memory does not grow with the data. Not thread safe.
class decompressor {
 public:
  virtual ~decompressor() = default;
  /// Removes compressed bytes from the front of `input`, writes up to `size` bytes to `out` and
  /// returns their number. 0 means that `input` is used up and more is needed. Throws
  /// bad_compression.
  virtual std::size_t step(std::string_view& input, char* out, std::size_t size) = 0;
  /// Whether the data ends in the middle of a gzip member or a zstd frame.
  virtual bool inside() const noexcept = 0;
  /// Bytes of memory that it uses, mostly for its window.
  virtual std::size_t memory() const noexcept = 0;
};

class bad_compression : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads gzip (one or more members) and zlib.
std::unique_ptr<decompressor> make_gzip_decompressor();
/// Reads raw deflate, without zlib's header: some servers send it as `deflate`.
std::unique_ptr<decompressor> make_deflate_decompressor();
/// Reads one or more Zstandard frames. A window above 2^`largest_window` bytes is an error.
std::unique_ptr<decompressor> make_zstd_decompressor(int largest_window = 27);

}  // namespace sluice
