#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace sluice::test {

/// A disk in memory, with faults. SQLite uses it as long as this object exists. Not thread safe.
/// Only one such object may exist at a time, with one connection to each file.
class simulated_disk {
 public:
  enum class fault : std::uint8_t {
    none,
    full,  ///< this write and all later ones find no room; half of this one's bytes are written
    full_once,     ///< only this write fails
    full_at_sync,  ///< a quota is used up, but only this sync and later ones report it
    kill,          ///< the process ends in the middle of this operation: nothing changes any more
  };

  simulated_disk();
  simulated_disk(const simulated_disk&) = delete;
  simulated_disk& operator=(const simulated_disk&) = delete;
  ~simulated_disk();

  /// Sets a fault for the n-th operation from now on; the first one is 1. Only operations that
  /// change the disk count: write, truncate, sync and remove. With a full disk, only operations
  /// that need room count.
  void fail_at(std::uint64_t n, fault what);
  /// Whether the operation with the fault was reached.
  bool has_failed() const noexcept { return fault_ != fault::none && operations_ >= fail_at_; }
  /// Ends the fault: the disk has room again, or another process begins. After a kill, no
  /// connection may be open.
  void repair();
  /// Simulates a power failure: some of the unsynced writes are lost, and some are only partly
  /// written.
  void lose_power(std::mt19937_64& random);

  std::string& content(const std::string& path);

 private:
  friend struct simulated_file;

  // An unsynced change of a file: bytes to write, or a new size.
  struct change {
    std::uint64_t offset = 0;
    std::string bytes;
    bool truncates = false;
  };
  struct node {
    std::string content;
    std::string synced;
    std::vector<change> changes;                       // changes since the last sync
    std::vector<std::unique_ptr<std::string>> shared;  // the index of the write-ahead log
  };

  static void apply(std::string& content, const change& made);
  enum class operation : std::uint8_t { write, sync, other };
  // Counts an operation, and returns the fault that happens to it.
  fault met(operation what);

  sqlite3_vfs vfs_{};
  sqlite3_vfs* before_ = nullptr;
  std::map<std::string, node> files_;
  fault fault_ = fault::none;
  std::uint64_t fail_at_ = 0;
  std::uint64_t operations_ = 0;
};

}  // namespace sluice::test
