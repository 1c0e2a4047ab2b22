#include "dataset/folder_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/refuse.hpp"

namespace sluice::dataset {
namespace {

using namespace std::string_view_literals;

class descriptor {
 public:
  explicit descriptor(int file) : file_(file) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() { reset(-1); }
  void reset(int file) {
    if (file_ >= 0) ::close(file_);
    file_ = file;
  }
  int get() const { return file_; }

 private:
  int file_;
};

std::string why_not(int error) {
  if (error == ELOOP || error == ENOTDIR) {
    return "leads over a link, or over something that is no folder; put the file itself below "
           "--files";
  }
  if (error == ENOENT) return "is not there";
  return fmt::format("cannot be read ({})", std::strerror(error));
}

}  // namespace

folder_files::folder_files(const std::string& folder, std::uint64_t largest)
    : folder_(folder),
      limit_(largest),
      root_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (root_ >= 0) return;
  refuse(
      fmt::format("--files {}: cannot be opened as a folder ({}); name the folder with the files",
                  folder, std::strerror(errno)));
}

folder_files::~folder_files() {
  if (root_ >= 0) ::close(root_);
}

std::string folder_files::append_data_url(std::string& out, std::string_view name) {
  if (name.empty()) return "names no file";
  if (name.find('\0') != std::string_view::npos) return "holds a NUL byte";
  if (name.front() == '/') return "is an absolute path; names are relative to --files";
  // Opens one folder after the other, so that no link is followed, even if the folders change at
  // the same time.
  descriptor at(-1);
  for (std::string_view rest = name; !rest.empty();) {
    const std::size_t slash = rest.find('/');
    const std::string part(rest.substr(0, slash));
    const bool is_last = slash == std::string_view::npos;
    rest.remove_prefix(is_last ? rest.size() : slash + 1);
    if (part == "..") return "leads out of --files with ..";
    if (part.empty() || part == ".") {
      if (is_last) return "names a folder";
      continue;
    }
    const int from = at.get() >= 0 ? at.get() : root_;
    const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (is_last ? 0 : O_DIRECTORY);
    const int next = ::openat(from, part.c_str(), flags);
    if (next < 0) return why_not(errno);
    at.reset(next);
  }
  struct stat info {};
  if (at.get() < 0 || ::fstat(at.get(), &info) != 0 || !S_ISREG(info.st_mode))
    return "is not a regular file";
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size > limit_) {
    return fmt::format(
        "has {} bytes, more than the {} that a line may have; make it smaller, or "
        "raise --max-line-bytes",
        size, limit_);
  }
  content_.resize(size);
  std::size_t filled = 0;
  while (filled < size) {
    const ssize_t n = ::read(at.get(), content_.data() + filled, size - filled);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? why_not(errno) : "was cut while it was read";
    filled += static_cast<std::size_t>(n);
  }
  const std::string_view type = media_type(content_);
  if (type.empty()) return "is neither a PNG, JPEG, GIF, WebP nor BMP image nor a PDF";
  out.append("data:").append(type).append(";base64,");
  append_base64(out, content_);
  ++count_;
  bytes_ += size;
  if (size >= largest_bytes_) {
    largest_bytes_ = size;
    largest_name_ = name;
  }
  return {};
}

std::string_view media_type(std::string_view begin) {
  constexpr std::size_t webp_at = 8;
  if (begin.starts_with("\x89PNG\r\n\x1A\n"sv)) return "image/png";
  if (begin.starts_with("\xFF\xD8\xFF"sv)) return "image/jpeg";
  if (begin.starts_with("GIF87a") || begin.starts_with("GIF89a")) return "image/gif";
  if (begin.starts_with("RIFF") && begin.substr(0, webp_at + 4).ends_with("WEBP"))
    return "image/webp";
  if (begin.starts_with("%PDF-")) return "application/pdf";
  if (begin.starts_with("BM") && begin.substr(0, 10).ends_with("\0\0\0\0"sv)) return "image/bmp";
  return {};
}

void append_base64(std::string& out, std::string_view bytes) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto byte = [&](std::size_t i) {
    return i < bytes.size() ? static_cast<unsigned>(static_cast<unsigned char>(bytes[i])) : 0U;
  };
  std::size_t at = out.size();
  out.resize(at + (bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const unsigned three = byte(i) << 16U | byte(i + 1) << 8U | byte(i + 2);
    out[at++] = digits[three >> 18U];
    out[at++] = digits[three >> 12U & 63U];
    out[at++] = digits[three >> 6U & 63U];
    out[at++] = digits[three & 63U];
  }
  for (std::size_t missing = (3 - bytes.size() % 3) % 3; missing > 0; --missing) {
    out[out.size() - missing] = '=';
  }
}

}  // namespace sluice::dataset
