#include "limit_store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>

namespace sluice {
namespace {

using moment = limit_window::moment;

constexpr off_t size = sizeof(limit_window);
constexpr mode_t file_mode = S_IRUSR | S_IWUSR;
constexpr off_t table_lock = 0;        // the byte whose lock is the table's
constexpr off_t first_owner_lock = 1;  // and those of its owners behind it

struct flock lock_of(short type, off_t begin, off_t length = 1) {
  struct flock wanted {};
  wanted.l_type = type;
  wanted.l_whence = SEEK_SET;
  wanted.l_start = begin;
  wanted.l_len = length;
  return wanted;
}

bool lock(int file, off_t begin, int command) {
  struct flock wanted = lock_of(F_WRLCK, begin);
  while (::fcntl(file, command, &wanted) != 0) {
    if (errno != EINTR) return false;
  }
  return true;
}

void unlock(int file, off_t begin) noexcept {
  struct flock wanted = lock_of(F_UNLCK, begin);
  ::fcntl(file, F_OFD_SETLK, &wanted);
}

// Whether anybody else holds a lock there.
bool is_held(int file, off_t begin, off_t length = 1) noexcept {
  struct flock asked = lock_of(F_WRLCK, begin, length);
  return ::fcntl(file, F_OFD_GETLK, &asked) == 0 && asked.l_type != F_UNLCK;
}

moment reading(clockid_t which) noexcept {
  timespec told{};
  ::clock_gettime(which, &told);
  return std::chrono::seconds{told.tv_sec} + std::chrono::nanoseconds{told.tv_nsec};
}

// Those that are missing on the way to the file, for its owner alone.
void make_folders(const std::string& path) {
  for (auto end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
    ::mkdir(path.substr(0, end).c_str(), S_IRWXU);  // open() tells what is not there
  }
}

// Puts a window without starts there, whole from its first moment on: so an empty file is a damaged
// one, and of several processes that begin at once, one is first. False, with errno: it cannot be.
bool create(const std::string& path, const boot_id& boot, moment now) {
  std::string draft = path + ".XXXXXX";
  const int file = ::mkostemp(draft.data(), O_CLOEXEC);
  if (file < 0) return false;
  const auto fresh = std::make_unique<limit_window>();
  fresh->reset(boot, now, {});
  const bool written = ::write(file, fresh.get(), size) == size;
  const bool placed = written && (::link(draft.c_str(), path.c_str()) == 0 || errno == EEXIST);
  const int error = errno;
  ::unlink(draft.c_str());
  ::close(file);
  errno = error;
  return placed;
}

}  // namespace

limit_store::limit_store() {
  keep_to_itself({}, {});
}

// What the clock that counts while the machine sleeps is ahead of the one that does not. The two
// are read one after the other, and this process may be held up in between: so it was no less than
// `known` tells, and no more than the least of some readings.
moment limit_store::machine_slept(moment known) noexcept {
  constexpr moment noticed = std::chrono::milliseconds{20};
  moment least = moment::max();
  for (int i = 0; i < 3; ++i) {
    least = std::min(least, reading(CLOCK_BOOTTIME) - reading(CLOCK_MONOTONIC));
    if (least - known < noticed) return known;
  }
  return least;
}

limit_store::limit_store(std::string path, const boot_id& boot, moment margin,
                         std::function<void(const std::string& why)> told, sleep_meter slept)
    : path_(std::move(path)),
      boot_(boot),
      margin_(margin),
      told_(std::move(told)),
      sleep_meter_(std::move(slept)) {}

void limit_store::keep_to_itself(moment now, moment unknown_until) {
  own_ = std::make_unique<limit_window>();
  window_ = own_.get();
  window_->reset({}, now, unknown_until);
  owner_ = 0;
}

// One base of time for the window that is shared and for the one that takes its place.
void limit_store::prepare(time_point now) {
  if (path_.empty()) return;
  slept_ = sleep_meter_(slept_);
  if (window_ != nullptr) return;
  const moment since_boot = now.time_since_epoch() + slept_;
  if (const std::string why = attach(since_boot, false); !why.empty()) {
    told_(why);
    keep_to_itself(since_boot, {});
  }
}

limit_store::~limit_store() {
  detach();
}

void limit_store::detach() noexcept {
  if (file_ < 0) return;
  ::munmap(window_, size);
  window_ = nullptr;
  ::close(file_);  // and with it every lock
  file_ = -1;
}

// Why the file cannot be shared; empty when it is. `missed`: another file was used before, of which
// this one knows nothing.
std::string limit_store::attach(moment now, bool missed) {
  const auto fail = [&](std::string_view what) {
    if (file_ >= 0) ::close(file_);
    file_ = -1;
    window_ = nullptr;
    return fmt::format("{}: {}", path_, what);
  };
  if (boot_ == boot_id{}) return fail("the system does not name its start");
  make_folders(path_);
  constexpr int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  file_ = ::open(path_.c_str(), flags);
  if (file_ < 0 && errno == ENOENT && create(path_, boot_, now)) {
    file_ = ::open(path_.c_str(), flags);
  }
  if (file_ < 0) return fail(std::strerror(errno));
  if (!lock(file_, table_lock, F_OFD_SETLKW)) return fail("cannot be locked");
  struct stat info {};
  if (::fstat(file_, &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != ::geteuid()) {
    return fail("is not a file of our own");
  }
  if ((info.st_mode & 07777U) != file_mode) ::fchmod(file_, file_mode);
  // With room for all of it: a page that cannot be written would end the process.
  if (::posix_fallocate(file_, 0, size) != 0) return fail("has no room");
  void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  if (mapped == MAP_FAILED) return fail("cannot be mapped");
  window_ = static_cast<limit_window*>(mapped);
  const moment full_until = now + margin_ + limit_window::length;
  if (info.st_size < size || !window_->is_sound(boot_, now)) {
    window_->reset(boot_, now, full_until);
  } else {
    window_->recount();
  }
  if (missed) window_->distrust(full_until);
  window_->settle(now);
  for (owner_ = 0; owner_ < limit_window::most_owners; ++owner_) {
    if (lock(file_, first_owner_lock + static_cast<off_t>(owner_), F_OFD_SETLK)) break;
  }
  if (owner_ == limit_window::most_owners) {
    ::munmap(mapped, size);
    return fail("is used by too many processes");
  }
  if (window_->owes(owner_)) window_->bury(owner_, now);
  window_->enlist(owner_, margin_);
  bury_the_dead(now);
  unlock(file_, table_lock);
  return {};
}

// Somebody may have cut the file short, or removed it and with it the way of others to it.
void limit_store::check_file(moment now) {
  struct stat info {};
  if (::fstat(file_, &info) != 0) return;
  if (info.st_nlink == 0) {
    detach();
    if (const std::string why = attach(now, true); why.empty()) {
      lock(file_, table_lock, F_OFD_SETLKW);
    } else {
      told_(why);
      keep_to_itself(now, now + margin_ + limit_window::length);
    }
  } else if (info.st_size < size && ::posix_fallocate(file_, 0, size) == 0) {
    window_->reset(boot_, now, now + margin_ + limit_window::length);
    window_->enlist(owner_, margin_);
  }
}

limit_store::hold::hold(limit_store& store, time_point now) : store_(store) {
  store_.prepare(now);
  offset_ = store_.slept_;
  now_ = now.time_since_epoch() + offset_;
  if (store_.is_shared()) {
    lock(store_.file_, table_lock, F_OFD_SETLKW);
    store_.check_file(now_);
  }
  store_.window_->settle(now_);
}

limit_store::hold::~hold() {
  if (store_.is_shared()) unlock(store_.file_, table_lock);
}

bool limit_store::has_company() const noexcept {
  return is_shared() && is_held(file_, first_owner_lock, limit_window::most_owners);
}

void limit_store::bury_the_dead(moment now) {
  if (!is_shared()) return;
  for (std::size_t owner = 0; owner < limit_window::most_owners; ++owner) {
    if (owner == owner_ || !window_->owes(owner)) continue;
    if (!is_held(file_, first_owner_lock + static_cast<off_t>(owner))) window_->bury(owner, now);
  }
}

std::string limit_file_name(std::string_view origin, std::string_view key) {
  const std::string told = fmt::format("sluice limit window\n{}", origin);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  ::HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
         reinterpret_cast<const unsigned char*>(told.data()), told.size(), digest.data(), &length);
  std::string name;
  for (unsigned i = 0; i < length; ++i) name += fmt::format("{:02x}", digest.at(i));
  return name;
}

boot_id current_boot() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string text;
  std::getline(file, text);
  std::erase(text, '-');
  boot_id id{};
  for (std::size_t i = 0; i < id.size() && 2 * i + 2 <= text.size(); ++i) {
    std::from_chars(text.data() + 2 * i, text.data() + 2 * i + 2, id.at(i), 16);
  }
  return id;
}

}  // namespace sluice
