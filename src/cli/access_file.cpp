#include "cli/access_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <exception>
#include <string_view>
#include <utility>

#include "base/refuse.hpp"
#include "cli/named_files.hpp"
#include "settings/ownership.hpp"

namespace sluice::cli {
namespace {

constexpr std::size_t most_waiting = std::size_t{4} << 20;
// A pipe that is ready accepts this many bytes without blocking.
constexpr std::size_t at_once = PIPE_BUF;
constexpr int look_interval_ms = 200;
constexpr std::string_view begin_of_line = R"({"time":")";

[[noreturn]] void refuse_path(const std::string& path, const std::string& why) {
  refuse(fmt::format("--access-log {}: {}; choose another place", path, why));
}

int open_path(const std::string& path) {
  if (path == "-") return STDOUT_FILENO;
  require_no_job_file("--access-log", path);
  require_no_strange_link("--access-log", path);
  constexpr mode_t for_its_owner = 0600;
  const int flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const int descriptor = ::open(path.c_str(), flags, for_its_owner);
  struct stat info {};
  if (descriptor < 0) {
    refuse_path(path, fmt::format("cannot be written ({})", std::strerror(errno)));
  }
  std::string why;
  std::array<char, begin_of_line.size()> begin{};
  if (::fstat(descriptor, &info) != 0) {
    why = fmt::format("cannot be read ({})", std::strerror(errno));
  } else if (!S_ISREG(info.st_mode)) {
    why = "is not a file; - is standard output";
  } else if (!is_own(info)) {
    why = fmt::format("belongs to another user ({})", info.st_uid);
  } else if (info.st_size > 0 &&
             (::pread(descriptor, begin.data(), begin.size(), 0) != std::ssize(begin) ||
              std::string_view(begin.data(), begin.size()) != begin_of_line)) {
    why = "holds something other than an access log";
  }
  if (why.empty()) return descriptor;
  ::close(descriptor);
  refuse_path(path, why);
}

}  // namespace

access_file::access_file(std::string path)
    : path_(std::move(path)), descriptor_(open_path(path_)), thread_([this] { work(); }) {}

access_file::~access_file() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
  if (descriptor_ != STDOUT_FILENO) ::close(descriptor_);
}

void access_file::append(const std::string& line) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() + line.size() >= most_waiting) {
      ++dropped_;
      return;
    }
    waiting_.append(line).append("\n");
  }
  changed_.notify_all();
}

void access_file::reopen() {
  if (path_ == "-") return;
  {
    const std::lock_guard lock(mutex_);
    reopen_ = true;
  }
  changed_.notify_all();
}

void access_file::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !waiting_.empty() || reopen_ || ending_; });
    const bool again = std::exchange(reopen_, false);
    const std::string text = std::exchange(waiting_, {});
    const std::uint64_t dropped = std::exchange(dropped_, 0);
    if (text.empty() && !again) return;  // and `ending_` is set
    lock.unlock();
    // Lines that came before the request to reopen belong to the old file.
    if (!text.empty()) write(text);
    if (again) open_again();
    if (dropped > 0)
      spdlog::warn("--access-log: {} line(s) are missing: the disk was too slow", dropped);
    lock.lock();
  }
}

// Whether more can be written. Standard output may be a pipe without a reader, which must not delay
// the end of the program.
bool access_file::takes_more() {
  for (;;) {
    pollfd query{descriptor_, POLLOUT, 0};
    if (::poll(&query, 1, look_interval_ms) != 0) return true;
    const std::lock_guard lock(mutex_);
    if (ending_) return false;
  }
}

void access_file::write(const std::string& text) {
  std::string_view left = text;
  while (!left.empty() && takes_more()) {
    const ssize_t n = ::write(descriptor_, left.data(), std::min(left.size(), at_once));
    if (n >= 0) {
      left.remove_prefix(static_cast<std::size_t>(n));
      failed_ = false;
    } else if (errno != EINTR) {
      if (!std::exchange(failed_, true)) {
        spdlog::warn("--access-log {}: lines are missing: {}", path_, std::strerror(errno));
      }
      return;
    }
  }
}

void access_file::open_again() {
  try {
    const int fresh = open_path(path_);
    ::close(std::exchange(descriptor_, fresh));
  } catch (const std::exception& fault) {
    spdlog::warn("SIGHUP: the access log stays where it is: {}", fault.what());
  }
}

}  // namespace sluice::cli
