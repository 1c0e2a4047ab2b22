#include "upstream/limit_store.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <utility>

#include "files/locks.hpp"

namespace sluice {

// The content of the file. A shorter file is damaged.
struct limit_store::table {
  using moment = limit_window::moment;

  limit_window window;
  moment made;         // when it was last reset; identifies the table
  machine_id machine;  // the machine that created it
  std::uint64_t lock;  // see lock_table()
};

namespace {

using namespace std::chrono_literals;
using moment = limit_window::moment;

constexpr mode_t file_mode = S_IRUSR | S_IWUSR;
// Bytes of the file that are locked with the kernel. A request takes none of these locks.
constexpr off_t version_1_lock = 0;  // shared by all owners
constexpr off_t joining_lock = 1 + limit_window::most_owners;
off_t owner_lock(std::size_t owner) {
  return 1 + static_cast<off_t>(owner);
}

// The word that locks the table: 0, or a ticket and the owner's number plus 1.
constexpr unsigned owner_bits = 16;
constexpr std::uint64_t owner_mask = (std::uint64_t{1} << owner_bits) - 1;

// A running process holds the lock only for microseconds, so several tries in a row make sense.
constexpr int tries_in_a_row = 20;
constexpr moment first_retry = 1ms;
constexpr moment last_retry = 50ms;

constexpr moment look_interval = 1s;    // between two checks that the file is still at its path
constexpr moment touch_interval = 10s;  // between two updates of the file's time
constexpr std::chrono::minutes lately = 2min;  // a file that was touched more recently is in use
constexpr std::chrono::minutes long_ago = 7 * 24h;

moment time_since_boot() noexcept {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec};
}

// Creates the missing folders of the path, accessible only to the user. Errors are found by open().
void make_folders(const std::string& path) {
  for (auto end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
    ::mkdir(path.substr(0, end).c_str(), S_IRWXU);
  }
}

// Creates the file with its whole content in one step. So an empty file is always a damaged one,
// and if several processes start at once, exactly one creates it. False, with errno: it failed.
bool create(const std::string& path, const void* content, std::size_t size) {
  std::string draft = path + ".XXXXXX";
  const int file = ::mkostemp(draft.data(), O_CLOEXEC);
  if (file < 0) return false;
  const bool written = ::write(file, content, size) == static_cast<ssize_t>(size);
  const bool placed = written && (::link(draft.c_str(), path.c_str()) == 0 || errno == EEXIST);
  const int error = errno;
  ::unlink(draft.c_str());
  ::close(file);
  errno = error;
  return placed;
}

std::string hex(const unsigned char* bytes, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

bool is_hex_text(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::array<unsigned char, 32> keyed_hash(std::string_view key, std::string_view text) {
  std::array<unsigned char, 32> digest{};
  unsigned length = digest.size();
  ::HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
         reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &length);
  return digest;
}

template <typename Id>
Id first_bytes(const std::array<unsigned char, 32>& digest) {
  Id id{};
  std::copy_n(digest.begin(), id.size(), id.begin());
  return id;
}

// Another file of the same window: of another boot or another machine.
struct neighbour {
  std::string path;
  bool draft = false;  // a temporary file of create()
  machine_id machine{};
};

std::string_view name_of(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

std::vector<neighbour> neighbours_of(const std::string& base, const std::string& own,
                                     off_t machine_at) {
  std::vector<neighbour> found;
  const std::size_t slash = base.rfind('/');
  const std::string folder = base.substr(0, slash + 1);
  const std::string name = base.substr(slash + 1) + '.';
  constexpr std::size_t boot_digits = 2 * sizeof(boot_id);
  DIR* const list = ::opendir(folder.c_str());
  if (list == nullptr) return found;
  while (const dirent* entry = ::readdir(list)) {
    const std::string_view other = entry->d_name;
    if (!other.starts_with(name)) continue;
    const std::string_view rest = other.substr(name.size());
    if (rest.size() < boot_digits || !is_hex_text(rest.substr(0, boot_digits))) continue;
    if (folder + std::string(other) == own) continue;
    neighbour one{folder + std::string(other), rest.size() != boot_digits, {}};
    if (one.draft && (rest.size() != boot_digits + 7 || rest[boot_digits] != '.')) continue;
    constexpr int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    if (const int file = ::open(one.path.c_str(), flags); file >= 0) {
      if (::pread(file, one.machine.data(), one.machine.size(), machine_at) !=
          static_cast<ssize_t>(one.machine.size())) {
        one.machine = {};
      }
      ::close(file);
    }
    found.push_back(std::move(one));
  }
  ::closedir(list);
  return found;
}

}  // namespace

limit_store::limit_store() {
  keep_to_itself({}, {});
}

limit_store::limit_store(const std::string& path, const host_id& host, moment margin,
                         reports callbacks, sleep_meter slept)
    : base_(path),
      path_(limit_file_name(path, host.boot)),
      host_(host),
      margin_(margin),
      reports_(std::move(callbacks)),
      sleep_meter_(std::move(slept)) {}

limit_store::~limit_store() {
  detach();
}

void limit_store::keep_to_itself(moment now, moment unknown_until) {
  detach();
  own_ = std::make_unique<limit_window>();
  window_ = own_.get();
  window_->reset({}, now, unknown_until);
  owner_ = 0;
  ++generation_;
}

void limit_store::detach() noexcept {
  unlock_table();
  mapping_.unmap();
  table_ = nullptr;
  enlisted_ = false;
  made_ = {};
  cut_ = false;
  window_ = own_.get();
  if (file_ >= 0) ::close(file_);  // releases all locks
  file_ = -1;
}

limit_store::reach limit_store::fail(std::string_view why) {
  why_not_ = fmt::format("{}: {}", path_, why);
  return reach::impossible;
}

// Makes the window accessible: takes the lock, or uses a private window. False: try again later.
bool limit_store::take_hold(moment now) {
  if (own_) return true;
  if (threads_ && threads_->has(name_of(base_))) move_to_threads();
  if (busy_since_ && now < next_try_) return false;
  reach got = acquire(now);
  if (got == reach::impossible && move_to_threads()) got = acquire(now);
  if (got == reach::busy) {
    note_busy(now);
    return false;
  }
  busy_since_.reset();
  held_up_reported_ = false;
  if (got == reach::held) return true;
  reports_.not_shared(why_not_);
  const bool others_have_it = table_ != nullptr || missed_;
  keep_to_itself(now, others_have_it ? full_until(now) : moment{});
  return true;
}

// Goes on with the window that the threads of this process share. False: there is none.
bool limit_store::move_to_threads() {
  const auto threads = std::exchange(threads_, nullptr);
  const std::string name(name_of(base_));
  const auto there = threads ? threads->move(name) : private_windows::place{};
  if (there.folder.empty()) return false;
  if (there.first) reports_.not_shared(why_not_);
  missed_ = missed_ || table_ != nullptr;
  detach();
  base_ = fmt::format("{}/{}", there.folder, name);
  path_ = limit_file_name(base_, host_.boot);
  alone_ = true;
  busy_since_.reset();
  held_up_reported_ = false;
  return true;
}

limit_store::reach limit_store::acquire(moment now) {
  constexpr int moves_in_a_row = 3;
  for (int i = 0; i < moves_in_a_row; ++i) {
    if (file_ < 0) {
      if (const reach opened = open(now); opened != reach::held) return opened;
    }
    if (table_ == nullptr || now >= next_check_) {
      bool in_place = false;
      if (const reach checked = check_file(now, in_place); checked != reach::held) return checked;
      if (!in_place) {
        missed_ = missed_ || table_ != nullptr;
        detach();
        continue;
      }
    }
    if (const reach locked = lock_table(); locked != reach::held) return locked;
    const reach ready = make_sound(now);
    if (ready == reach::busy) unlock_table();
    return ready;
  }
  return reach::busy;
}

// Looks at the file. If this process is not an owner yet, it becomes one.
limit_store::reach limit_store::check_file(moment now, bool& in_place) {
  struct stat info {};
  if (::fstat(file_, &info) != 0) return fail(std::strerror(errno));
  in_place = is_in_place(now, info);
  if (!in_place) return reach::held;
  // The lock is the last member: before version 2 the file ended there.
  const bool was_cut = info.st_size < static_cast<off_t>(offsetof(table, lock));
  cut_ = cut_ || was_cut;
  if (table_ != nullptr) {
    next_check_ = now + check_interval;
    return was_cut || mapping_.has_zeros() ? restore() : reach::held;
  }
  if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid()) {
    return fail("is not a regular file that belongs to this user");
  }
  if ((info.st_mode & 07777U) != file_mode) ::fchmod(file_, file_mode);
  if (const reach locked = lock_file(joining_lock, lock_bytes); locked != reach::held) {
    return locked;
  }
  const reach joined = join();
  unlock_bytes(file_, joining_lock, 1);
  if (joined == reach::held) next_check_ = now + check_interval;
  return joined;
}

// Reserves the disk space. Without space, a write to a mapped page would kill the process.
limit_store::reach limit_store::reserve() {
  if (::posix_fallocate(file_, 0, sizeof(table)) != 0) return fail("no space left on the disk");
  return reach::held;
}

// Called after another program has cut the file.
limit_store::reach limit_store::restore() {
  if (const reach reserved = reserve(); reserved != reach::held) return reserved;
  return mapping_.map_again(file_) ? reach::held : fail("cannot be mapped");
}

// Maps the file and makes this process one of its owners.
limit_store::reach limit_store::join() {
  // Processes of version 1 need this byte exclusively, so from now on they start nothing.
  if (const reach shared = lock_file(version_1_lock, share_bytes); shared != reach::held) {
    return shared;
  }
  if (const reach reserved = reserve(); reserved != reach::held) return reserved;
  void* mapped = mapping_.map(file_, sizeof(table));
  if (mapped == nullptr) return fail("cannot be mapped");
  table_ = static_cast<table*>(mapped);
  window_ = &table_->window;
  if (window_->is_of_version_1()) {
    // Its processes do not lock the table's word.
    if (has_company()) return fail("is used by an earlier version of sluice");
    window_->adopt_version_1();
  }
  for (owner_ = 0; owner_ < limit_window::most_owners; ++owner_) {
    if (lock_bytes(file_, owner_lock(owner_), 1)) break;
  }
  if (owner_ == limit_window::most_owners) return fail("is used by too many processes");
  ticket_ = static_cast<std::uint64_t>(time_since_boot().count());
  return reach::held;
}

// Opens or creates the file; does not lock it.
limit_store::reach limit_store::open(moment now) {
  if (host_.boot == boot_id{} && !alone_) return fail("the system gives no boot id");
  make_folders(path_);
  constexpr int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  file_ = ::open(path_.c_str(), flags);
  if (file_ < 0 && errno == ENOENT) {
    const auto others = neighbours_of(base_, path_, offsetof(table, machine));
    const bool was_here = std::any_of(others.begin(), others.end(), [&](const neighbour& one) {
      return !one.draft && one.machine == host_.machine;
    });
    const auto new_table = std::make_unique<table>();
    new_table->window.reset(host_.boot, now, missed_ || was_here ? full_until(now) : moment{});
    new_table->made = now;
    new_table->machine = host_.machine;
    if (create(path_, new_table.get(), sizeof(table))) file_ = ::open(path_.c_str(), flags);
  }
  if (file_ < 0) return fail(std::strerror(errno));
  return reach::held;
}

limit_store::reach limit_store::lock_file(off_t byte, bool (*lock)(int, off_t, off_t)) {
  const int tries = busy_since_ ? 1 : tries_in_a_row;
  for (int i = 0; i < tries; ++i) {
    if (i > 0) ::sched_yield();
    if (lock(file_, byte, 1)) return reach::held;
    if (errno != EAGAIN && errno != EACCES) return fail("cannot be locked");
  }
  busy_byte_ = byte;
  return reach::busy;
}

// Takes the table's lock: writes its owner and a new ticket into the word. If the owner that is in
// the word is dead, replaces exactly that word, so that only one process takes over.
limit_store::reach limit_store::lock_table() {
  const std::atomic_ref<std::uint64_t> word(table_->lock);
  const std::uint64_t mine = ++ticket_ << owner_bits | (owner_ + 1);
  const int tries = busy_since_ ? 1 : tries_in_a_row;
  std::uint64_t found = 0;
  for (int i = 0; i < tries && !locked_; ++i) {
    if (i > 0) ::sched_yield();
    found = 0;
    locked_ = word.compare_exchange_strong(found, mine, std::memory_order_acquire);
  }
  if (locked_) return reach::held;
  const std::size_t holder = (found & owner_mask) - 1;
  busy_byte_ = owner_lock(std::min(holder, limit_window::most_owners));
  if (holder < limit_window::most_owners && is_locked_elsewhere(file_, busy_byte_, 1)) {
    return reach::busy;
  }
  locked_ = word.compare_exchange_strong(found, mine, std::memory_order_acquire);
  return locked_ ? reach::held : reach::busy;
}

void limit_store::unlock_table() noexcept {
  if (!std::exchange(locked_, false)) return;
  std::atomic_ref<std::uint64_t>(table_->lock).store(0, std::memory_order_release);
}

// Checks that the file is still at its path. If it was removed or moved, other processes would use
// another file.
bool limit_store::is_in_place(moment now, const struct stat& info) {
  if (info.st_nlink == 0) return false;
  if (table_ != nullptr && now < next_look_) return true;
  next_look_ = now + look_interval;
  struct stat there {};
  if (::lstat(path_.c_str(), &there) != 0 || there.st_dev != info.st_dev ||
      there.st_ino != info.st_ino) {
    return false;
  }
  if (now >= next_touch_) {
    next_touch_ = now + touch_interval;
    ::futimens(file_, nullptr);
  }
  return true;
}

// Checks and repairs the table. Called with the lock, each time it was taken.
limit_store::reach limit_store::make_sound(moment now) {
  bool sound = !cut_;
  if (sound && window_->is_ahead(host_.boot, now)) {
    // The file may only seem to be ahead, if this process was stopped after it read the clock and
    // before it got the lock. So read the clock once more.
    if (!std::exchange(ahead_, true)) return reach::busy;
    if (has_company()) return fail("is used by a process with another clock");
    sound = false;
  }
  ahead_ = false;
  cut_ = false;
  if (sound) {
    sound = enlisted_ ? window_->is_of(host_.boot) : window_->is_sound(host_.boot, now);
  }
  if (!sound) {
    window_->reset(host_.boot, now, full_until(now));
    table_->made = now;
    table_->machine = host_.machine;
  } else if (!enlisted_) {
    window_->recount();
  }
  if (std::exchange(missed_, false)) window_->assume_full_until(full_until(now));
  window_->settle(now);
  const bool begins = !std::exchange(enlisted_, true);
  if (begins && window_->has_unsent(owner_)) window_->expire_owner(owner_, now);
  if (made_ != table_->made) {
    made_ = table_->made;
    ++generation_;
    window_->add_owner(owner_, margin_);
  }
  if (begins) {
    release_dead_owners(now);
    look_around();
  }
  return reach::held;
}

// Looks at the files of other machines and earlier boots: removes old ones, reports active ones.
void limit_store::look_around() {
  struct stat own {};
  if (std::exchange(looked_around_, true) || ::fstat(file_, &own) != 0) return;
  // File times are compared only with each other, since the clock of the file server sets all of
  // them.
  const auto since = [&](const struct stat& other) {
    return std::chrono::seconds{own.st_mtim.tv_sec - other.st_mtim.tv_sec};
  };
  for (const auto& one : neighbours_of(base_, path_, offsetof(table, machine))) {
    struct stat info {};
    if (::lstat(one.path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    const bool ours = one.draft || one.machine == host_.machine;
    const bool used = since(info) < lately;
    if (since(info) >= (ours ? lately : long_ago)) {
      ::unlink(one.path.c_str());
    } else if (!ours && used) {
      other_machine_seen_ = true;
    }
  }
}

void limit_store::note_busy(moment now) {
  if (!busy_since_) busy_since_ = now;
  const moment busy = now - *busy_since_;
  next_try_ = now + std::clamp(busy / 2, first_retry, last_retry);
  if (busy < patience || std::exchange(held_up_reported_, true)) return;
  reports_.held_up(find_lock_holder(file_, busy_byte_));
}

limit_store::hold::hold(limit_store& store, time_point now) : store_(store) {
  // A private window uses the same time base, since it may replace a shared one.
  if (store_.sleep_meter_) store_.slept_ = store_.sleep_meter_(store_.slept_, now);
  offset_ = store_.slept_;
  now_ = now.time_since_epoch() + offset_;
  held_ = store_.take_hold(now_);
  if (held_ && store_.own_) store_.window_->settle(now_);
}

limit_store::hold::~hold() {
  if (held_) store_.unlock_table();
  // Report only after the unlock, because writing to a terminal may block.
  if (std::exchange(store_.other_machine_seen_, false)) store_.reports_.other_machine();
}

std::optional<time_point> limit_store::held_up_until() const noexcept {
  if (!busy_since_) return std::nullopt;
  return time_point(next_try_ - slept_);
}

bool limit_store::has_company() const noexcept {
  return file_ >= 0 && is_locked_elsewhere(file_, owner_lock(0), limit_window::most_owners);
}

void limit_store::release_dead_owners(moment now) {
  if (table_ == nullptr) return;
  for (std::size_t owner = 0; owner < limit_window::most_owners; ++owner) {
    if (owner == owner_ || !window_->has_unsent(owner)) continue;
    if (!is_locked_elsewhere(file_, owner_lock(owner), 1)) window_->expire_owner(owner, now);
  }
}

std::string limit_file_name(std::string_view origin, std::string_view key) {
  const auto digest = keyed_hash(key, fmt::format("sluice limit window\n{}", origin));
  return hex(digest.data(), digest.size());
}

std::string limit_file_name(std::string_view base, const boot_id& boot) {
  return fmt::format("{}.{}", base, hex(boot.data(), boot.size()));
}

boot_id boot_of(std::string_view text, std::string_view time_namespace) {
  // The kernel's first namespace has a fixed number (PROC_TIME_INIT_INO in its proc_ns.h).
  constexpr std::string_view first_namespace = "time:[4026531834]";
  std::string digits(text);
  std::erase(digits, '-');
  boot_id id{};
  if (digits.size() != 2 * id.size() || !is_hex_text(digits)) return id;
  if (!time_namespace.empty() && time_namespace != first_namespace) {
    return first_bytes<boot_id>(keyed_hash(digits, time_namespace));
  }
  for (std::size_t i = 0; i < id.size(); ++i) {
    std::from_chars(digits.data() + 2 * i, digits.data() + 2 * i + 2, id.at(i), 16);
  }
  return id;
}

// The id is hashed, since machine-id(5) says that it should not be exposed.
machine_id machine_of(std::string_view text, std::string_view host_name) {
  constexpr std::size_t digits = 32;
  const bool is_id = text.size() == digits && is_hex_text(text);
  return first_bytes<machine_id>(keyed_hash("sluice machine", is_id ? text : host_name));
}

host_id current_host() {
  const auto line_of = [](const char* path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
  };
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  std::array<char, 64> space{};
  const ssize_t length = ::readlink("/proc/self/ns/time", space.data(), space.size());
  const std::string_view time_namespace(space.data(),
                                        length < 0 ? 0 : static_cast<std::size_t>(length));
  return {boot_of(line_of("/proc/sys/kernel/random/boot_id"), time_namespace),
          machine_of(line_of("/etc/machine-id"), name.data())};
}

}  // namespace sluice
