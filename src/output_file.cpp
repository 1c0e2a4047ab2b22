#include "output_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "sluice/error.hpp"

namespace sluice {
namespace {

[[noreturn]] void refuse(const std::string& path, std::string_view what) {
  throw fatal_error(fatal_error::kind::cannot_start, fmt::format("{}: {}", path, what));
}

[[noreturn]] void write_failed(const std::string& path) {
  const int reason = errno;
  throw fatal_error(
      fatal_error::kind::cannot_write,
      fmt::format("{}: cannot write results ({}); make room or mend the disk, and run the "
                  "same command again",
                  path, std::strerror(reason)));
}

// How much could be written; errno tells why it was not all.
std::size_t write_all(int file, std::string_view bytes) {
  std::size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t n = ::write(file, bytes.data() + written, bytes.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    written += static_cast<std::size_t>(n);
  }
  return written;
}

constexpr mode_t file_mode = 0644;

}  // namespace

bool output_file::open_existing() {
  file_ = ::open(path_.c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
  if (file_ < 0) {
    if (errno == ENOENT) return false;
    refuse(path_,
           fmt::format("cannot open it to write ({}); choose another place with --output-dir",
                       std::strerror(errno)));
  }
  lock();
  struct stat info {};
  if (::fstat(file_, &info) != 0 || !S_ISREG(info.st_mode)) {
    refuse(path_, "is not a regular file; choose another place with --output-dir");
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
  return true;
}

void output_file::create() {
  file_ = ::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, file_mode);
  if (file_ < 0 && errno == EEXIST && open_existing()) {  // which tells who holds it
    close();
    refuse(path_, "another run has made it meanwhile; run the same command again");
  }
  if (file_ < 0) {
    refuse(path_, fmt::format("cannot create it ({}); choose another place with --output-dir",
                              std::strerror(errno)));
  }
  lock();
  size_ = 0;
}

void output_file::close() {
  if (file_ >= 0) ::close(file_);
  file_ = -1;
}

// A lock of the process, which ends with it however it ends, and tells who holds it.
void output_file::lock() {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(file_, F_SETLK, &whole) == 0) return;
  if (errno != EACCES && errno != EAGAIN) return;  // a file system without locks
  struct flock holder = whole;
  ::fcntl(file_, F_GETLK, &holder);
  close();
  refuse(path_, fmt::format("another run, process {}, is writing it; wait for it, or stop it first",
                            holder.l_pid));
}

void output_file::for_each_line(
    const std::function<void(std::string_view, std::uint64_t, bool)>& visit) const {
  std::vector<char> buffer(std::size_t{1} << 20);
  std::size_t filled = 0;
  std::uint64_t offset = 0;  // of the buffer's start in the file
  for (;;) {
    if (filled == buffer.size()) buffer.resize(buffer.size() * 2);
    const ssize_t n = ::pread(file_, buffer.data() + filled, buffer.size() - filled,
                              static_cast<off_t>(offset + filled));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) refuse(path_, fmt::format("cannot be read ({})", std::strerror(errno)));
    std::size_t searched = filled;
    filled += static_cast<std::size_t>(n);
    std::size_t begin = 0;
    const std::string_view bytes(buffer.data(), filled);
    for (;;) {
      const std::size_t newline = bytes.find('\n', searched);
      if (newline == std::string_view::npos) break;
      visit(bytes.substr(begin, newline - begin), offset + newline + 1, true);
      begin = searched = newline + 1;
    }
    if (n == 0) {
      if (begin < filled) visit(bytes.substr(begin), offset + filled, false);
      return;
    }
    std::memmove(buffer.data(), buffer.data() + begin, filled - begin);
    filled -= begin;
    offset += begin;
  }
}

void output_file::truncate(std::uint64_t size) {
  if (::ftruncate(file_, static_cast<off_t>(size)) != 0) write_failed(path_);
  size_ = size;
}

void output_file::append(std::string& lines) {
  if (lines.empty()) return;
  const std::size_t written = write_all(file_, lines);
  const int reason = errno;
  // Of a disk that is full, what fits; but not half a line.
  const std::size_t kept = std::string_view(lines).substr(0, written).rfind('\n') + 1;
  size_ += kept;
  dirty_.store(true);
  lines.erase(0, kept);
  if (lines.empty()) return;
  if (::ftruncate(file_, static_cast<off_t>(size_)) != 0) {
    // The torn line is dropped when the next run reads the file.
  }
  errno = reason;
  write_failed(path_);
}

void output_file::sync() {
  if (!dirty_.exchange(false)) return;
  if (::fdatasync(file_) != 0 && errno != EINVAL && errno != EROFS) write_failed(path_);
}

void output_file::rewrite(const std::function<bool(std::string_view, std::uint64_t)>& keep) {
  const std::string fresh_path = path_ + ".new";
  ::unlink(fresh_path.c_str());
  output_file fresh(fresh_path);
  fresh.create();
  std::string kept;
  for_each_line([&](std::string_view line, std::uint64_t end, bool) {
    if (!keep(line, end)) return;
    kept.append(line).push_back('\n');
    if (kept.size() > (std::size_t{1} << 20)) fresh.append(kept);
  });
  fresh.append(kept);
  fresh.sync();
  if (std::rename(fresh_path.c_str(), path_.c_str()) != 0) write_failed(path_);
  std::swap(file_, fresh.file_);
  size_ = fresh.size_;
}

void replace_file(const std::string& path, std::string_view content) {
  const std::string fresh = path + ".new";
  const int file = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, file_mode);
  if (file < 0) write_failed(path);
  const bool whole =
      write_all(file, content) == content.size() && (::fdatasync(file) == 0 || errno == EINVAL);
  const int reason = errno;
  ::close(file);
  if (!whole) {
    ::unlink(fresh.c_str());
    errno = reason;
    write_failed(path);
  }
  if (std::rename(fresh.c_str(), path.c_str()) != 0) write_failed(path);
}

std::optional<std::string> read_file(const std::string& path) {
  std::error_code unreadable;
  if (!std::filesystem::is_regular_file(path, unreadable)) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace sluice
