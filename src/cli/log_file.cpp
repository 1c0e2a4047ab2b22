#include "cli/log_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "cli/log_entry.hpp"
#include "cli/named_files.hpp"
#include "settings/ownership.hpp"
#include "sluice/error.hpp"

namespace sluice::cli {
namespace {

[[noreturn]] void refuse_log(const std::string& path, const std::string& why) {
  throw fatal_error(fatal_error::kind::cannot_start,
                    fmt::format("--log-file {}: {}; choose another place", path, why));
}

bool holds_a_log(int descriptor) {
  std::array<char, 64> begin{};
  const ssize_t n = ::pread(descriptor, begin.data(), begin.size(), 0);
  const std::string_view text(begin.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return begins_as_log(text) || begins_as_json_log(text);
}

}  // namespace

log_file::log_file(log_file&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

log_file::~log_file() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

int log_file::append(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(descriptor_, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

log_file open_log(const std::string& path) {
  require_no_job_file("--log-file", path);
  require_no_strange_link("--log-file", path);
  constexpr mode_t for_its_owner = 0600;
  // O_NONBLOCK, because a pipe without a reader must not block.
  const int flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  log_file opened(::open(path.c_str(), flags, for_its_owner));
  const int descriptor = opened.descriptor();
  struct stat info {};
  if (descriptor < 0 || ::fstat(descriptor, &info) != 0) {
    refuse_log(path, fmt::format("cannot be written ({})", std::strerror(errno)));
  }
  if (S_ISCHR(info.st_mode) && ::isatty(descriptor) == 0) return opened;  // /dev/null
  if (!S_ISREG(info.st_mode)) refuse_log(path, "is not a file, and the run could wait for it");
  if (!is_own(info)) refuse_log(path, fmt::format("belongs to another user ({})", info.st_uid));
  if (info.st_size > 0 && !holds_a_log(descriptor))
    refuse_log(path, "holds something other than a log");
  return opened;
}

bool begins_as_log(std::string_view text) {
  // 2026-01-31T23:59:59.123+00:00 info
  constexpr std::string_view shape = "dddd-dd-ddTdd:dd:dd.dddsdd:dd ";
  if (text.size() < shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const char c = text[i];
    const bool fits = shape[i] == 'd'   ? c >= '0' && c <= '9'
                      : shape[i] == 's' ? c == '+' || c == '-'
                                        : c == shape[i];
    if (!fits) return false;
  }
  constexpr std::array<std::string_view, 6> levels{"trace",   "debug", "info",
                                                   "warning", "error", "critical"};
  text.remove_prefix(shape.size());
  return std::any_of(levels.begin(), levels.end(), [text](std::string_view level) {
    return text.starts_with(level) && text.substr(level.size()).starts_with(' ');
  });
}

}  // namespace sluice::cli
