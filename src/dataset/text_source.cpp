#include "dataset/text_source.hpp"

#include <fmt/format.h>
#include <iconv.h>

#include <strings.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/printable.hpp"
#include "base/refuse.hpp"

namespace sluice::dataset {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t read_size = std::size_t{64} << 10;
constexpr std::string_view utf8_mark = "\xEF\xBB\xBF";

std::string shown(const std::string& path) {
  return path == "-" ? "standard input" : path;
}

bool is_utf8_name(const std::string& encoding) {
  return encoding.empty() || ::strcasecmp(encoding.c_str(), "utf-8") == 0 ||
         ::strcasecmp(encoding.c_str(), "utf8") == 0;
}

class converter {
 public:
  explicit converter(const std::string& encoding)
      : state_(::iconv_open("UTF-8", encoding.c_str())) {}
  converter(const converter&) = delete;
  converter& operator=(const converter&) = delete;
  ~converter() {
    if (is_open()) ::iconv_close(state_);
  }
  bool is_open() const { return reinterpret_cast<std::intptr_t>(state_) != -1; }

  /// Converts from the front of `input`. Returns the bytes written, and sets `fault` to the errno
  /// that stopped it.
  std::size_t convert(std::string_view& input, char* out, std::size_t size, int& fault) {
    // iconv does not write to its input; its interface only lacks the const.
    char* from = const_cast<char*>(input.data());
    std::size_t left = input.size();
    char* to = out;
    std::size_t room = size;
    const bool done = ::iconv(state_, &from, &left, &to, &room) != static_cast<std::size_t>(-1);
    fault = done ? 0 : errno;
    input.remove_prefix(input.size() - left);
    return size - room;
  }

  /// At the end of the input: writes the character that the decoder holds back, since a mark after
  /// it could change it. Returns the bytes written.
  std::size_t finish(char* out, std::size_t size) {
    std::size_t room = size;
    ::iconv(state_, nullptr, nullptr, &out, &room);
    return size - room;
  }

 private:
  iconv_t state_;
};

// Gives the bytes that were already read for inspection, then the rest of the source.
class resumed_source final : public byte_source {
 public:
  resumed_source(std::string start, std::unique_ptr<byte_source> rest)
      : start_(std::move(start)), rest_(std::move(rest)) {}
  std::size_t read(char* into, std::size_t size) override {
    if (given_ == start_.size()) return rest_->read(into, size);
    const std::size_t n = start_.copy(into, size, given_);
    given_ += n;
    return n;
  }
  void cancel() noexcept override { rest_->cancel(); }

 private:
  std::string start_;
  std::size_t given_ = 0;
  std::unique_ptr<byte_source> rest_;
};

class converted_source final : public byte_source {
 public:
  converted_source(std::string name, std::string encoding, std::unique_ptr<byte_source> bytes)
      : name_(std::move(name)),
        encoding_(std::move(encoding)),
        bytes_(std::move(bytes)),
        converter_(encoding_),
        buffer_(read_size) {
    if (converter_.is_open()) return;
    refuse(
        fmt::format("--encoding {}: is no encoding that this system converts; iconv -l lists "
                    "them",
                    printable_text(encoding_)));
  }

  std::size_t read(char* into, std::size_t size) override {
    for (;;) {
      if (!ready_.empty()) {
        const std::size_t n = ready_.copy(into, size);
        ready_.remove_prefix(n);
        return n;
      }
      int fault = 0;
      const std::size_t n = convert(into, size, fault);
      if (n > 0) return n;
      if (fault == EILSEQ) wrong_byte();
      if (fault == E2BIG) {
        // The next character needs more room than the caller has.
        ready_ = {few_.data(), convert(few_.data(), few_.size(), fault)};
      } else if (!fill()) {
        ready_ = {few_.data(), converter_.finish(few_.data(), few_.size())};
        if (ready_.empty()) return 0;
      }
    }
  }
  void cancel() noexcept override { bytes_->cancel(); }

 private:
  std::size_t convert(char* into, std::size_t size, int& fault) {
    const std::size_t before = rest_.size();
    const std::size_t n = converter_.convert(rest_, into, size, fault);
    converted_ += before - rest_.size();
    return n;
  }
  // Reads more bytes after the remaining part of a character. False at the end.
  bool fill() {
    std::copy(rest_.begin(), rest_.end(), buffer_.begin());
    const std::size_t n =
        bytes_->read(buffer_.data() + rest_.size(), buffer_.size() - rest_.size());
    if (n == 0 && !rest_.empty()) wrong_byte();
    rest_ = {buffer_.data(), rest_.size() + n};
    return n > 0;
  }
  [[noreturn]] void wrong_byte() const {
    refuse(name_,
           fmt::format("is not {} at byte {}; check --encoding, or whether the file is whole",
                       printable_text(encoding_), converted_ + 1));
  }

  const std::string name_;
  const std::string encoding_;
  const std::unique_ptr<byte_source> bytes_;
  converter converter_;
  std::vector<char> buffer_;
  std::string_view rest_;  // the part of buffer_ that is not converted yet
  std::uint64_t converted_ = 0;
  std::array<char, 64> few_{};  // room for any character
  std::string_view ready_;      // the part of few_ that the caller has not read yet
};

std::string read_start(byte_source& bytes) {
  constexpr std::size_t enough = 4096;
  std::string start(enough, '\0');
  std::size_t filled = 0;
  while (filled < enough) {
    const std::size_t n = bytes.read(start.data() + filled, enough - filled);
    if (n == 0) break;
    filled += n;
  }
  start.resize(filled);
  return start;
}

bool has_wide_mark(std::string_view start) {
  return start.starts_with("\xFF\xFE"sv) || start.starts_with("\xFE\xFF"sv) ||
         start.starts_with("\0\0\xFE\xFF"sv);
}

// Recognizes UTF-16 and UTF-32 by their byte order mark, or by the zero bytes next to ASCII
// characters.
std::optional<std::string_view> wide_encoding(std::string_view start) {
  if (start.starts_with("\xFF\xFE\0\0"sv) || start.starts_with("\0\0\xFE\xFF"sv)) return "UTF-32";
  if (has_wide_mark(start)) return "UTF-16";
  const auto zero = [&](std::size_t at) { return at < start.size() && start[at] == '\0'; };
  if (start.size() < 2 || zero(0) == zero(1)) return std::nullopt;
  if (zero(0)) return "UTF-16BE";
  return zero(2) && zero(3) ? "UTF-32LE" : "UTF-16LE";
}

void require_text(const std::string& name, std::string_view start) {
  if (start.starts_with("PK\x03\x04")) {
    refuse(name, "is a spreadsheet (xlsx, ods) or a zip archive; save its table as CSV");
  }
  if (start.starts_with("PAR1")) refuse(name, "is a Parquet file; export it as CSV or JSONL");
  if (start.starts_with("\x1F\x8B")) {
    refuse(name, "is compressed with gzip; give it a name that ends with .gz");
  }
  if (start.starts_with("\x28\xB5\x2F\xFD")) {
    refuse(name, "is compressed with zstd; give it a name that ends with .zst");
  }
  if (const auto wide = wide_encoding(start)) {
    refuse(name, fmt::format("is {0}, not UTF-8; add --encoding {0}", *wide));
  }
}

}  // namespace

text_source open_text(const std::string& path, const std::string& encoding) {
  text_source text;
  auto bytes = open_bytes(path, bytes_of::data);
  std::string start = read_start(*bytes);
  text.has_mark = start.starts_with(utf8_mark) || has_wide_mark(start);
  if (!is_utf8_name(encoding)) {
    auto raw = std::make_unique<resumed_source>(std::move(start), std::move(bytes));
    bytes = std::make_unique<converted_source>(shown(path), encoding, std::move(raw));
    start = read_start(*bytes);
  } else {
    require_text(shown(path), start);
  }
  if (start.starts_with(utf8_mark)) start.erase(0, utf8_mark.size());
  text.start = start;
  text.bytes = std::make_unique<resumed_source>(std::move(start), std::move(bytes));
  return text;
}

std::string likely_encodings(std::string_view bytes) {
  std::string names;
  for (const char* name : {"gb18030", "big5", "shift_jis", "windows-1252"}) {
    converter one(name);
    if (!one.is_open()) continue;
    std::string out(bytes.size() * 4 + 16, '\0');
    std::string_view rest = bytes;
    int fault = 0;
    one.convert(rest, out.data(), out.size(), fault);
    if (fault == 0) names += fmt::format("{}{}", names.empty() ? "perhaps " : " or ", name);
  }
  return names;
}

}  // namespace sluice::dataset
