#include "store/simulated_disk.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace sluice::test {

// SQLite's state of an open file. SQLite allocates the memory, so this type has no constructor.
struct simulated_file {
  sqlite3_file base;  // must be first: SQLite knows only this part
  simulated_disk* disk;
  std::string* path;

  static simulated_file& of(sqlite3_file* file) { return *reinterpret_cast<simulated_file*>(file); }
  static simulated_disk& disk_of(sqlite3_vfs* vfs) {
    return *static_cast<simulated_disk*>(vfs->pAppData);
  }
  simulated_disk::node& node() const { return disk->files_[*path]; }

  static int close(sqlite3_file* file) {
    delete of(file).path;
    return SQLITE_OK;
  }

  static int read(sqlite3_file* file, void* into, int size, sqlite3_int64 offset) {
    const std::string& content = of(file).node().content;
    const auto from = std::min(static_cast<std::size_t>(offset), content.size());
    const auto count = std::min(static_cast<std::size_t>(size), content.size() - from);
    std::memset(into, 0, static_cast<std::size_t>(size));
    std::memcpy(into, content.data() + from, count);
    return count == static_cast<std::size_t>(size) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
  }

  static int write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
    const auto what = of(file).disk->met(simulated_disk::operation::write);
    const int written = what == simulated_disk::fault::none ? size : size / 2;
    if (!of(file).is_dead()) {
      of(file).change(
          {static_cast<std::uint64_t>(offset),
           std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(written)), false});
    }
    if (what == simulated_disk::fault::none) return SQLITE_OK;
    return what == simulated_disk::fault::kill ? SQLITE_IOERR_WRITE : SQLITE_FULL;
  }

  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    if (of(file).disk->met(simulated_disk::operation::other) != simulated_disk::fault::none)
      return SQLITE_IOERR_TRUNCATE;
    of(file).change({static_cast<std::uint64_t>(size), {}, true});
    return SQLITE_OK;
  }

  static int sync(sqlite3_file* file, int /*flags*/) {
    if (of(file).disk->met(simulated_disk::operation::sync) != simulated_disk::fault::none) {
      errno = of(file).disk->fault_ == simulated_disk::fault::kill ? EIO : EDQUOT;
      return SQLITE_IOERR_FSYNC;
    }
    simulated_disk::node& node = of(file).node();
    node.synced = node.content;
    node.changes.clear();
    return SQLITE_OK;
  }

  static int size_of(sqlite3_file* file, sqlite3_int64* size) {
    *size = static_cast<sqlite3_int64>(of(file).node().content.size());
    return SQLITE_OK;
  }

  static int lock(sqlite3_file*, int) { return SQLITE_OK; }
  static int check_lock(sqlite3_file*, int* held) {
    *held = 0;
    return SQLITE_OK;
  }
  static int control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int sector_size(sqlite3_file*) { return sector; }
  static int characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

  static int map(sqlite3_file* file, int region, int size, int extends, void volatile** at) {
    auto& shared = of(file).node().shared;
    const auto index = static_cast<std::size_t>(region);
    *at = nullptr;
    if (extends == 0 && index >= shared.size()) return SQLITE_OK;
    if (index >= shared.size() && of(file).finds_no_room()) {
      errno = ENOSPC;
      return SQLITE_IOERR_SHMSIZE;
    }
    while (shared.size() <= index) {
      shared.push_back(std::make_unique<std::string>(static_cast<std::size_t>(size), '\0'));
    }
    *at = shared[index]->data();
    return SQLITE_OK;
  }
  static int lock_map(sqlite3_file*, int, int, int) { return SQLITE_OK; }
  static void barrier(sqlite3_file*) {}
  static int unmap(sqlite3_file* file, int) {
    of(file).node().shared.clear();
    return SQLITE_OK;
  }

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* is) {
    static constexpr sqlite3_io_methods methods = {
        2,     close,      read,    write,       truncate,        sync, size_of,  lock,
        lock,  check_lock, control, sector_size, characteristics, map,  lock_map, barrier,
        unmap, nullptr,    nullptr};
    file->pMethods = nullptr;
    simulated_disk& disk = disk_of(vfs);
    if (name == nullptr) return SQLITE_CANTOPEN;  // a temporary file; the store needs no such file
    if (!disk.files_.contains(name) && (flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
    disk.files_[name];
    of(file).disk = &disk;
    of(file).path = new std::string(name);
    file->pMethods = &methods;
    if (is != nullptr) *is = flags;
    return SQLITE_OK;
  }

  static int remove(sqlite3_vfs* vfs, const char* name, int /*syncs folder*/) {
    if (disk_of(vfs).met(simulated_disk::operation::other) != simulated_disk::fault::none)
      return SQLITE_IOERR_DELETE;
    return disk_of(vfs).files_.erase(name) > 0 ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
  }

  static int access(sqlite3_vfs* vfs, const char* name, int /*flags*/, int* result) {
    *result = disk_of(vfs).files_.contains(name) ? 1 : 0;
    return SQLITE_OK;
  }

  static int full_path(sqlite3_vfs*, const char* name, int size, char* into) {
    if (std::strlen(name) >= static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
    std::strcpy(into, name);
    return SQLITE_OK;
  }

  static constexpr int sector = 512;

 private:
  bool is_dead() const {
    // The operation during which the process is killed still happens in part.
    return disk->fault_ == simulated_disk::fault::kill && disk->operations_ > disk->fail_at_;
  }
  // The index of the write-ahead log need not survive a crash, so only a full disk affects it.
  bool finds_no_room() const {
    return disk->fault_ != simulated_disk::fault::kill &&
           disk->met(simulated_disk::operation::write) != simulated_disk::fault::none;
  }
  void change(simulated_disk::change made) const {
    simulated_disk::apply(node().content, made);
    node().changes.push_back(std::move(made));
  }
};

simulated_disk::simulated_disk() : before_(sqlite3_vfs_find(nullptr)) {
  vfs_ = *before_;  // use the clock and random numbers of the default VFS
  vfs_.pNext = nullptr;
  vfs_.zName = "simulated_disk";
  vfs_.szOsFile = sizeof(simulated_file);
  vfs_.pAppData = this;
  vfs_.xOpen = simulated_file::open;
  vfs_.xDelete = simulated_file::remove;
  vfs_.xAccess = simulated_file::access;
  vfs_.xFullPathname = simulated_file::full_path;
  if (sqlite3_vfs_register(&vfs_, 1) != SQLITE_OK) throw std::runtime_error("no simulated disk");
}

simulated_disk::~simulated_disk() {
  sqlite3_vfs_unregister(&vfs_);
  sqlite3_vfs_register(before_, 1);
}

void simulated_disk::fail_at(std::uint64_t n, fault what) {
  fault_ = what;
  fail_at_ = n;
  operations_ = 0;
}

void simulated_disk::repair() {
  if (fault_ == fault::kill) {
    for (auto& [path, file] : files_) file.shared.clear();
  }
  fault_ = fault::none;
}

void simulated_disk::lose_power(std::mt19937_64& random) {
  repair();
  for (auto& [path, file] : files_) {
    file.content = file.synced;
    for (change& made : file.changes) {
      switch (random() % 3) {
        case 0:
          continue;  // the change is lost
        case 1:      // only a part of the change survives
          made.bytes.resize(random() % (made.bytes.size() / simulated_file::sector + 1) *
                            simulated_file::sector);
          [[fallthrough]];
        default:
          apply(file.content, made);
      }
    }
    file.synced = file.content;
    file.changes.clear();
    file.shared.clear();
  }
}

std::string& simulated_disk::content(const std::string& path) {
  return files_.at(path).content;
}

void simulated_disk::apply(std::string& content, const change& made) {
  if (made.truncates) {
    content.resize(made.offset);
    return;
  }
  const std::size_t end = made.offset + made.bytes.size();
  if (content.size() < end) content.resize(end);
  content.replace(made.offset, made.bytes.size(), made.bytes);
}

simulated_disk::fault simulated_disk::met(operation what) {
  if (fault_ == fault::none) return fault::none;
  const bool is_full = fault_ == fault::full || fault_ == fault::full_once;
  if (is_full && what != operation::write) return fault::none;
  if (fault_ == fault::full_at_sync && what != operation::sync) return fault::none;
  ++operations_;
  if (operations_ < fail_at_) return fault::none;
  if (fault_ == fault::full_once && operations_ > fail_at_) return fault::none;
  return fault_;
}

}  // namespace sluice::test
