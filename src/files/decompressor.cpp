#include "files/decompressor.hpp"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace sluice {
namespace {

// zlib's windowBits: 15 is the largest window; +32 detects gzip or zlib; negative means raw
// deflate.
constexpr int gzip_or_zlib = 15 + 32;
constexpr int raw_deflate = -15;

class gzip_decompressor final : public decompressor {
 public:
  explicit gzip_decompressor(int form) : form_(form) {
    if (inflateInit2(&inflater_, form) != Z_OK) throw std::bad_alloc();
  }
  gzip_decompressor(const gzip_decompressor&) = delete;
  gzip_decompressor& operator=(const gzip_decompressor&) = delete;
  ~gzip_decompressor() override { inflateEnd(&inflater_); }

  std::size_t step(std::string_view& input, char* out, std::size_t size) override {
    constexpr std::size_t most = std::numeric_limits<uInt>::max();
    inflater_.next_out = reinterpret_cast<Bytef*>(out);
    inflater_.avail_out = static_cast<uInt>(std::min(size, most));
    const uInt room = inflater_.avail_out;
    while (inflater_.avail_out == room) {
      if (!inside_ && members_ > 0) {  // zeros may fill the end, as on a tape
        input.remove_prefix(std::min(input.find_first_not_of('\0'), input.size()));
        if (input.empty()) return 0;
      }
      // zlib does not write to its input; its interface only lacks the const.
      inflater_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
      inflater_.avail_in = static_cast<uInt>(std::min(input.size(), most));
      const uInt offered = inflater_.avail_in;
      if (offered > 0) inside_ = true;
      const int status = inflate(&inflater_, Z_NO_FLUSH);
      input.remove_prefix(offered - inflater_.avail_in);
      if (status == Z_STREAM_END) {
        inside_ = false;
        ++members_;
        inflateReset(&inflater_);
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        // Return the output before the error first; the next call gets the same error.
        if (inflater_.avail_out < room) break;
        throw bad_compression(form_ == raw_deflate ? "is not valid deflate" : "is not valid gzip");
      }
      if (input.empty() && inflater_.avail_out == room) return 0;
    }
    return room - inflater_.avail_out;
  }
  bool inside() const noexcept override { return inside_; }
  std::size_t memory() const noexcept override {
    return std::size_t{48} * 1024;  // zlib.h: "about 32K for the window, plus about 7K"
  }

 private:
  const int form_;
  z_stream inflater_{};
  std::uint64_t members_ = 0;  // gzip members read to their end
  bool inside_ = false;
};

class zstd_decompressor final : public decompressor {
 public:
  explicit zstd_decompressor(int largest_window) {
    if (!stream_) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, largest_window);
  }

  std::size_t step(std::string_view& input, char* out, std::size_t size) override {
    ZSTD_outBuffer written{out, size, 0};
    ZSTD_inBuffer in{input.data(), 0, 0};
    std::size_t before = 0;
    do {
      // Not more than one block per call, so that an error does not lose the blocks before it.
      before = in.pos;
      in.size = std::min(input.size(), in.pos + block_rest_);
      const std::size_t left = ZSTD_decompressStream(stream_.get(), &written, &in);
      if (ZSTD_isError(left) != 0) throw bad_compression("is not valid zstd");
      block_rest_ = std::max<std::size_t>(left, 1);
      // After a frame and without input, zstd asks for the head of a next frame: ignore that.
      if (in.pos > before || written.pos > 0) inside_ = left != 0;
    } while (written.pos == 0 && in.pos < input.size());
    input.remove_prefix(in.pos);
    return written.pos;
  }
  bool inside() const noexcept override { return inside_; }
  std::size_t memory() const noexcept override { return ZSTD_sizeof_DStream(stream_.get()); }

 private:
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream_{ZSTD_createDStream(),
                                                                     &ZSTD_freeDStream};
  std::size_t block_rest_ = 1;  // bytes to the end of the block
  bool inside_ = false;
};

}  // namespace

std::unique_ptr<decompressor> make_gzip_decompressor() {
  return std::make_unique<gzip_decompressor>(gzip_or_zlib);
}

std::unique_ptr<decompressor> make_deflate_decompressor() {
  return std::make_unique<gzip_decompressor>(raw_deflate);
}

std::unique_ptr<decompressor> make_zstd_decompressor(int largest_window) {
  return std::make_unique<zstd_decompressor>(largest_window);
}

}  // namespace sluice
