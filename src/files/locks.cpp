#include "files/locks.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <fstream>
#include <memory>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

namespace sluice {
namespace {

struct flock lock_of(short type, off_t begin, off_t length) {
  struct flock wanted {};
  wanted.l_type = type;
  wanted.l_whence = SEEK_SET;
  wanted.l_start = begin;
  wanted.l_len = length;
  return wanted;
}

bool set_lock(int file, struct flock wanted) {
  while (::fcntl(file, F_OFD_SETLK, &wanted) != 0) {
    if (errno != EINTR) return false;
  }
  return true;
}

// Calls `each` with the names in a folder, until it returns true.
template <typename Each>
void list(const std::string& folder, Each each) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
  if (!open) return;
  while (const dirent* entry = ::readdir(open.get())) {
    if (each(::dirfd(open.get()), std::string_view(entry->d_name))) return;
  }
}

std::optional<off_t> offset_of(const std::string& word) {
  off_t offset = 0;
  const char* const end = word.data() + word.size();
  const auto [read, error] = std::from_chars(word.data(), end, offset);
  return error == std::errc() && read == end ? std::optional(offset) : std::nullopt;
}

// Parses lines like "lock: 1: OFDLCK ADVISORY WRITE -1 fd:01:1311 0 EOF". The last two words are
// the first and the last locked byte.
bool locks_byte(const std::string& fdinfo, off_t byte) {
  std::ifstream file(fdinfo);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("lock:")) continue;
    std::istringstream words(line);
    std::vector<std::string> all;
    for (std::string word; words >> word;) all.push_back(word);
    if (all.size() < 2) continue;
    const auto first = offset_of(all[all.size() - 2]);
    const auto last = offset_of(all.back());  // nothing: to the end of the file
    if (first && *first <= byte && (!last || byte <= *last)) return true;
  }
  return false;
}

bool has_locked(const std::string& process, const struct stat& wanted, off_t byte) {
  bool found = false;
  list(fmt::format("/proc/{}/fd", process), [&](int folder, std::string_view name) {
    struct stat info {};
    if (::fstatat(folder, std::string(name).c_str(), &info, 0) != 0) return false;
    if (info.st_dev != wanted.st_dev || info.st_ino != wanted.st_ino) return false;
    found = locks_byte(fmt::format("/proc/{}/fdinfo/{}", process, name), byte);
    return found;
  });
  return found;
}

// Parses a line like "4711 (sluice) T 1 …".
void describe(lock_holder& found) {
  std::ifstream file(fmt::format("/proc/{}/stat", found.process));
  std::string line;
  std::getline(file, line);
  const std::size_t begin = line.find('(');
  const std::size_t end = line.rfind(')');
  if (begin == std::string::npos || end == std::string::npos || end + 2 >= line.size()) return;
  found.name = line.substr(begin + 1, end - begin - 1);
  found.stopped = line[end + 2] == 'T' || line[end + 2] == 't';
}

}  // namespace

bool lock_bytes(int file, off_t begin, off_t length) {
  return set_lock(file, lock_of(F_WRLCK, begin, length));
}

bool share_bytes(int file, off_t begin, off_t length) {
  return set_lock(file, lock_of(F_RDLCK, begin, length));
}

void unlock_bytes(int file, off_t begin, off_t length) noexcept {
  struct flock wanted = lock_of(F_UNLCK, begin, length);
  ::fcntl(file, F_OFD_SETLK, &wanted);
}

bool is_locked_elsewhere(int file, off_t begin, off_t length) noexcept {
  struct flock conflict = lock_of(F_WRLCK, begin, length);
  return ::fcntl(file, F_OFD_GETLK, &conflict) == 0 && conflict.l_type != F_UNLCK;
}

bool lock_whole(int file) {
  if (lock_bytes(file, 0, 0)) return true;
  if (errno != EINVAL) return false;
  // Linux before 3.15: a lock of the process. It excludes other processes but not other open files
  // of this process, and it is released when this process closes any open file of the same name.
  struct flock whole = lock_of(F_WRLCK, 0, 0);
  return ::fcntl(file, F_SETLK, &whole) == 0;
}

lock_state lock_on(int file) noexcept {
  for (const int command : {F_OFD_GETLK, F_GETLK}) {
    struct flock whole = lock_of(F_WRLCK, 0, 0);
    if (::fcntl(file, command, &whole) == 0) {
      return whole.l_type == F_UNLCK ? lock_state::free : lock_state::held;
    }
  }
  return lock_state::unknown;
}

std::optional<lock_holder> find_lock_holder(int file, off_t byte) {
  std::optional<lock_holder> found;
  struct stat wanted {};
  if (::fstat(file, &wanted) != 0) return found;
  list("/proc", [&](int, std::string_view name) {
    pid_t process = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), process);
    if (error != std::errc() || end != name.data() + name.size()) return false;
    if (!has_locked(std::string(name), wanted, byte)) return false;
    found.emplace().process = process;
    // This process may have inherited the open file from the holder, so search on.
    return process != ::getpid();
  });
  if (found) describe(*found);
  return found;
}

std::optional<lock_holder> holder_of(int file) {
  struct flock whole = lock_of(F_WRLCK, 0, 0);
  if (::fcntl(file, F_OFD_GETLK, &whole) != 0) ::fcntl(file, F_GETLK, &whole);
  if (whole.l_type == F_UNLCK || whole.l_pid <= 0) return find_lock_holder(file);
  lock_holder found{.process = whole.l_pid, .name = {}, .stopped = false};  // an F_SETLK lock
  describe(found);
  return found;
}

void pause_shortly() {
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

bool lock_whole(int file, std::optional<lock_holder>& holder, const std::function<void()>& pause) {
  constexpr int most_tries = 20;
  for (int tried = 0;; ++tried) {
    if (lock_whole(file)) return true;
    const int why = errno;
    const bool held = why == EACCES || why == EAGAIN;
    if (held) holder = holder_of(file);
    errno = why;
    if (!held || holder || tried == most_tries) return false;
    pause();
  }
}

}  // namespace sluice
