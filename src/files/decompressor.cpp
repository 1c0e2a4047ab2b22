#include "files/decompressor.hpp"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace sluice {
namespace {

// The largest window, and what zlib adds to it for the form.
constexpr int gzip_or_zlib = 15 + 32;
constexpr int headless = -15;

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
      if (!inside_ && members_ > 0) {  // zeros may pad the end, as on a tape
        input.remove_prefix(std::min(input.find_first_not_of('\0'), input.size()));
        if (input.empty()) return 0;
      }
      // zlib does not write there; its interface is older than const.
      inflater_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
      inflater_.avail_in = static_cast<uInt>(std::min(input.size(), most));
      const uInt given = inflater_.avail_in;
      if (given > 0) inside_ = true;
      const int status = inflate(&inflater_, Z_NO_FLUSH);
      input.remove_prefix(given - inflater_.avail_in);
      if (status == Z_STREAM_END) {
        inside_ = false;
        ++members_;
        inflateReset(&inflater_);
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        if (inflater_.avail_out < room) break;  // what came before counts; zlib says so again
        throw bad_compression(form_ == headless ? "is not valid deflate" : "is not valid gzip");
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
  std::uint64_t members_ = 0;  // read whole
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
    ZSTD_inBuffer given{input.data(), 0, 0};
    std::size_t taken = 0;
    do {
      // No more than a block at once: an error would take with it what came before.
      taken = given.pos;
      given.size = std::min(input.size(), given.pos + wanted_);
      const std::size_t left = ZSTD_decompressStream(stream_.get(), &written, &given);
      if (ZSTD_isError(left) != 0) throw bad_compression("is not valid zstd");
      wanted_ = std::max<std::size_t>(left, 1);
      // Called behind a frame with nothing to read, zstd asks for the head of another.
      if (given.pos > taken || written.pos > 0) inside_ = left != 0;
    } while (written.pos == 0 && given.pos < input.size());
    input.remove_prefix(given.pos);
    return written.pos;
  }
  bool inside() const noexcept override { return inside_; }
  std::size_t memory() const noexcept override { return ZSTD_sizeof_DStream(stream_.get()); }

 private:
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream_{ZSTD_createDStream(),
                                                                     &ZSTD_freeDStream};
  std::size_t wanted_ = 1;  // to the end of the block
  bool inside_ = false;
};

}  // namespace

std::unique_ptr<decompressor> make_gzip_decompressor() {
  return std::make_unique<gzip_decompressor>(gzip_or_zlib);
}

std::unique_ptr<decompressor> make_deflate_decompressor() {
  return std::make_unique<gzip_decompressor>(headless);
}

std::unique_ptr<decompressor> make_zstd_decompressor(int largest_window) {
  return std::make_unique<zstd_decompressor>(largest_window);
}

}  // namespace sluice
