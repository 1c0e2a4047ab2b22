#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "files/file_system.hpp"
#include "jobs/line_order.hpp"

namespace sluice {

/// A part of a file that ends with a whole line, or with the file.
struct file_block {
  std::vector<char> bytes;
  std::uint64_t offset = 0;  ///< in the file

  /// Visits every line. Bytes after the last newline are given last, with `whole` false. `end` is
  /// the offset at which the line ends in the file. The views are valid as long as `bytes`, also
  /// after it was moved.
  template <typename Visit>
  void for_each_line(const Visit& visit) const {
    const std::string_view all(bytes.data(), bytes.size());
    for (std::size_t begin = 0; begin < all.size();) {
      const std::size_t newline = all.find('\n', begin);
      const bool whole = newline != std::string_view::npos;
      const std::size_t end = whole ? newline : all.size();
      visit(all.substr(begin, end - begin), offset + end + (whole ? 1 : 0), whole);
      begin = end + 1;
    }
  }
};

/// A file of finished lines. Lines are appended to it, and it is locked for this process while it
/// is open. Throws fatal_error whose message names the file. If another process holds the lock, the
/// message contains its process id.
class output_file {
 public:
  output_file(file_system& files, std::string path) : files_(files), path_(std::move(path)) {}
  output_file(const output_file&) = delete;
  output_file& operator=(const output_file&) = delete;

  /// Opens and locks the file that an earlier run left; changes nothing. False: there is no such
  /// file.
  bool open_existing();
  /// Creates a new file and locks it.
  void create();
  /// The beginning of the file, about 64 KiB.
  std::string begin() const;

  /// Reads the file in blocks of about 64 KiB, or larger ones for longer lines.
  void for_each_block(const std::function<void(file_block block)>& take) const;
  /// Visits every line, as file_block::for_each_line() does.
  void for_each_line(
      const std::function<void(std::string_view line, std::uint64_t end, bool whole)>& visit) const;
  /// The line that begins at this offset.
  std::string line_at(std::uint64_t offset) const;
  /// Truncates the file to `size` bytes.
  void truncate(std::uint64_t size);

  /// Writes the lines and empties `lines`. If it throws, `lines` holds the lines that are not in
  /// the file. The file then ends with a whole line; if that cannot be achieved, the incomplete
  /// line is truncated before any other line is written.
  void append(std::string& lines);
  /// Reserves this much space on the disk after the written lines, for lines that come when the
  /// disk is full. append() throws if little of the reserved space is left, although its lines have
  /// been written.
  void keep_room(std::uint64_t bytes) noexcept { wanted_room_ = bytes; }
  void give_back_room();
  /// Releases the space that an earlier run reserved and, because it was killed, did not release.
  void give_back_earlier_room();
  /// True if the last append() found no space. There may be some later.
  bool is_full() const noexcept { return full_; }
  /// Waits until everything that was appended is on the disk. May be called from any thread. If it
  /// throws, every later call throws, too, until the file has been replaced: the system reports
  /// only once that it could not write a file. A file that keeps unsynced bytes is tried again.
  void sync();
  /// Whether sync() throws until the file has been replaced.
  bool lacks_sync() const;
  /// Replaces the file with one that contains only the lines that `keep` accepts, and syncs it.
  /// This is atomic: after a crash there is either the old file or the new one.
  void rewrite(const std::function<bool(std::string_view line, std::uint64_t end)>& keep);

  /// Replaces the file, atomically like rewrite(), with one that has the same lines sorted by their
  /// numbers. Lines with equal numbers keep their order. Does nothing if the lines are sorted
  /// already. Memory does not grow with the file; the disk needs space for a second copy of it. If
  /// it throws, the file is unchanged. `most_in_memory`: number of lines that are sorted at a time.
  void sort(const std::function<std::uint64_t(std::string_view line)>& number_of,
            std::size_t most_in_memory = std::size_t{1} << 20);

  /// Whether the path still leads to this file, and no other program has changed its length. If so,
  /// it forgets the lines that were appended before, because they are safe.
  bool is_intact();
  /// For a file that is not intact: saves the lines that are still known, together with
  /// `unwritten`, which it empties. Returns a sentence that says what happened to the file and
  /// where its lines are.
  std::string rescue(std::string& unwritten);
  /// Number of lines that were in the file and are now in no file, or in none that has a name.
  std::uint64_t lost() const noexcept { return lost_; }
  /// Sets the number of lines that an earlier run left in the file.
  void holds(std::uint64_t lines) noexcept { lines_ = lines; }

  /// Closes the file and releases its lock.
  void close() { file_.reset(); }

  std::uint64_t size() const noexcept { return size_; }
  const std::string& path() const noexcept { return path_; }

 private:
  void lock();
  void sync_ended(const std::error_code& error);
  void make_room(std::uint64_t size);
  void replace(const std::function<void(output_file& fresh)>& fill);
  bool is_in_order(const std::function<std::uint64_t(std::string_view line)>& number_of) const;
  void copy(std::vector<line_place>& batch, output_file& into) const;
  void read_all(std::uint64_t offset, std::string& into) const;
  [[noreturn]] void sort_failed(const std::error_code& why) const;
  std::unique_ptr<file> create_aside(std::string& name, std::error_code& error);

  file_system& files_;
  std::string path_;
  std::unique_ptr<file> file_;
  std::uint64_t size_ = 0;
  bool torn_ = false;  // an incomplete line follows after `size_` bytes
  std::uint64_t wanted_room_ = 0;
  std::uint64_t room_until_ = 0;  // offset in the file at which the reserved space ends
  std::error_code room_fault_;    // why no more space could be reserved
  bool full_ = false;
  std::uint64_t lines_ = 0;  // that are in the file as far as this run knows
  std::uint64_t lost_ = 0;
  std::string recent_;  // lines that were appended since the last is_intact()
  std::atomic<bool> dirty_{false};
  // A sync() that finds the file clean waits for another thread's sync to end.
  mutable std::mutex syncing_;
  std::error_code sync_fault_;  // guarded by syncing_
};

}  // namespace sluice
