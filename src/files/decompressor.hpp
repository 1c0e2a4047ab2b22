#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string_view>

namespace sluice {

/// Undoes one compression, piece by piece, in memory that does not grow with the data.
class decompressor {
 public:
  virtual ~decompressor() = default;
  /// Takes compressed bytes from the front of `input` and writes up to `size` bytes; returns how
  /// many. With none written, all of `input` was taken: more is wanted. Throws bad_compression.
  virtual std::size_t step(std::string_view& input, char* out, std::size_t size) = 0;
  /// The data so far is not whole.
  virtual bool inside() const noexcept = 0;
  /// Bytes that it holds for itself, its window above all.
  virtual std::size_t memory() const noexcept = 0;
};

class bad_compression : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads gzip, one or more members one behind the other, and zlib.
std::unique_ptr<decompressor> make_gzip_decompressor();
/// Reads deflate without zlib's head, which some servers send for `deflate`.
std::unique_ptr<decompressor> make_deflate_decompressor();
/// Reads one or more frames of Zstandard, whose windows have no more than 2^`largest_window` bytes.
std::unique_ptr<decompressor> make_zstd_decompressor(int largest_window = 27);

}  // namespace sluice
