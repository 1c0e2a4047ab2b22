#include "files/line_reader.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/translated_error.hpp"
#include "files/decompressor.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

constexpr std::size_t block = std::size_t{256} * 1024;
constexpr std::string_view blank = " \t\r";

class plain_file final : public byte_source {
 public:
  plain_file(std::string path, bytes_of what) : path_(std::move(path)) {
    const bool is_job = what == bytes_of::job;
    if (path_ == "-") {
      path_ = "standard input";
      file_ = STDIN_FILENO;
      return;
    }
    // O_NONBLOCK: do not wait for the other end of a pipe.
    file_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file_ < 0) {
      const char* why = std::strerror(errno);
      if (is_job) refuse(path_, worded("cannot read the job ({}); check the path", why));
      refuse(path_, fmt::format("cannot read the data ({}); check the path", why));
    }
    struct stat info {};
    if (::fstat(file_, &info) == 0 && S_ISREG(info.st_mode)) return;
    ::close(file_);
    if (S_ISDIR(info.st_mode)) {
      if (is_job) refuse(path_, worded("is a directory; name a JSONL file in it"));
      refuse(path_, "is a directory; name a file in it");
    }
    if (!is_job) {
      refuse(path_,
             "is not a regular file; name a file, or send the data on standard input with - as its "
             "name");
    }
    refuse(path_,
           "is not a regular file, and a job is read more than once; name a file, or send the job "
           "on standard input, as in: sluice run - -o FILE");
  }
  plain_file(const plain_file&) = delete;
  plain_file& operator=(const plain_file&) = delete;
  ~plain_file() override {
    if (file_ != STDIN_FILENO) ::close(file_);
  }

  std::size_t read(char* into, std::size_t size) override {
    for (;;) {
      if (file_ == STDIN_FILENO && !wait_for_input()) return 0;
      const ssize_t n = ::read(file_, into, size);
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno != EINTR)
        refuse(path_, fmt::format("cannot be read further ({}); check the disk, then run the same "
                                  "command again",
                                  std::strerror(errno)));
    }
  }
  void cancel() noexcept override { cancelled_.store(true); }
  const std::string& path() const noexcept { return path_; }

 private:
  // A pipe may never send anything; cancel() must still end the wait.
  bool wait_for_input() const {
    constexpr int look_every_ms = 100;
    while (!cancelled_.load()) {
      pollfd input{file_, POLLIN, 0};
      if (::poll(&input, 1, look_every_ms) > 0) return true;
    }
    return false;
  }

  std::string path_;
  int file_ = -1;
  std::atomic<bool> cancelled_{false};
};

class compressed_file final : public byte_source {
 public:
  compressed_file(const std::string& path, bytes_of what, std::unique_ptr<decompressor> format)
      : file_(path, what),
        format_(std::move(format)),
        input_(std::make_unique_for_overwrite<char[]>(block)) {}

  std::size_t read(char* into, std::size_t size) override {
    try {
      for (;;) {
        if (const std::size_t n = format_->step(ready_, into, size); n > 0) return n;
        ready_ = {input_.get(), file_.read(input_.get(), block)};
        if (!ready_.empty()) continue;
        if (!format_->inside()) return 0;
        refuse(file_.path(), "the compressed data is cut off; copy or download the file again");
      }
    } catch (const bad_compression& fault) {
      refuse(file_.path(), fault.what());
    }
  }

 private:
  plain_file file_;
  std::unique_ptr<decompressor> format_;
  std::unique_ptr<char[]> input_;
  std::string_view ready_;
};

}  // namespace

std::unique_ptr<byte_source> open_bytes(const std::string& path, bytes_of what) {
  if (path.ends_with(".gz"))
    return std::make_unique<compressed_file>(path, what, make_gzip_decompressor());
  if (path.ends_with(".zst"))
    return std::make_unique<compressed_file>(path, what, make_zstd_decompressor());
  return std::make_unique<plain_file>(path, what);
}

line_reader::line_reader(std::unique_ptr<byte_source> bytes, std::uint64_t max_line_bytes)
    : bytes_(std::move(bytes)),
      max_line_bytes_(max_line_bytes),
      buffer_(std::make_unique_for_overwrite<char[]>(block)),
      size_(block) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  while (end_ < byte_order_mark.size() && fill()) {
  }
  if (std::string_view(buffer_.get(), end_).starts_with(byte_order_mark)) {
    begin_ = byte_order_mark.size();
  }
}

// Reads more bytes into the buffer. False at the end of the file.
bool line_reader::fill() {
  if (ended_) return false;
  if (begin_ > 0) {
    std::copy(buffer_.get() + begin_, buffer_.get() + end_, buffer_.get());
    end_ -= begin_;
    passed_ += begin_;
    begin_ = 0;
  }
  if (end_ == size_) {
    auto larger = std::make_unique_for_overwrite<char[]>(size_ * 2);
    std::copy(buffer_.get(), buffer_.get() + end_, larger.get());
    buffer_ = std::move(larger);
    size_ *= 2;
  }
  const std::size_t n = bytes_->read(buffer_.get() + end_, size_ - end_);
  end_ += n;
  ended_ = n == 0;
  return !ended_;
}

std::string_view line_reader::start(std::size_t lines) {
  for (;;) {
    const std::string_view text(buffer_.get() + begin_, end_ - begin_);
    std::size_t whole = 0;
    std::size_t at = 0;
    for (std::size_t end = 0; (end = text.find('\n', at)) != std::string_view::npos; at = end + 1) {
      whole += text.substr(at, end - at).find_first_not_of(blank) != std::string_view::npos ? 1 : 0;
    }
    if (whole >= lines || text.size() >= block || !fill()) {
      return {buffer_.get() + begin_, end_ - begin_};
    }
  }
}

bool line_reader::next_any(line& out) {
  std::size_t searched = 0;
  for (;;) {
    const std::string_view rest(buffer_.get() + begin_, end_ - begin_);
    const std::size_t newline = rest.find('\n', searched);
    const bool last = newline == std::string_view::npos && ended_;
    if (newline != std::string_view::npos || last) {
      if (last && rest.empty() && !out.too_long) return false;
      std::string_view text = rest.substr(0, newline);
      out.offset = passed_ + begin_;
      begin_ += last ? rest.size() : newline + 1;
      if (text.ends_with('\r')) text.remove_suffix(1);
      out.number = ++number_;
      out.too_long = out.too_long || text.size() > max_line_bytes_;
      out.text = text;
      return true;
    }
    searched = rest.size();
    // Drops the text of a line that is too long. One byte over the limit may still be the '\r' of
    // a line end.
    if (searched > max_line_bytes_ && searched - max_line_bytes_ > 1) {
      out.too_long = true;
      begin_ = end_;
      searched = 0;
    }
    fill();
  }
}

bool line_reader::next(line& out) {
  do {
    out.too_long = false;
    if (!next_any(out)) return false;
  } while (!out.too_long && out.text.find_first_not_of(blank) == std::string_view::npos);
  return true;
}

}  // namespace sluice
