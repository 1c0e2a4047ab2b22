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

/// A file of finished lines, appended to and locked for this process while it is open. Throws
/// fatal_error whose sentence names the file; a lock that another process holds is told with that
/// process's id.
class output_file {
 public:
  output_file(file_system& files, std::string path) : files_(files), path_(std::move(path)) {}
  output_file(const output_file&) = delete;
  output_file& operator=(const output_file&) = delete;

  /// Opens what an earlier run left and locks it; changes nothing. False: there is no such file.
  bool open_existing();
  /// Makes a new file and locks it.
  void create();
  /// What it begins with, some 64 KiB of it.
  std::string begin() const;

  /// Visits every line; what stands behind the last newline is given last, with `whole` false.
  /// `end` is where the line ends in the file.
  void for_each_line(
      const std::function<void(std::string_view line, std::uint64_t end, bool whole)>& visit) const;
  /// The line that begins there.
  std::string line_at(std::uint64_t offset) const;
  /// Cuts the file off behind `size` bytes.
  void truncate(std::uint64_t size);

  /// Writes the lines and empties `lines`. When it throws, `lines` holds those that are not in the
  /// file, which ends with a whole line; else it takes no more lines before half of one is cut off.
  void append(std::string& lines);
  /// Keeps so much room on the disk beside what is written, for lines that come when the disk is
  /// full. append() throws once there is little left, though its lines are written.
  void keep_room(std::uint64_t bytes) noexcept { wanted_room_ = bytes; }
  void give_back_room();
  /// Gives back what an earlier run kept and, killed, did not give back.
  void give_back_earlier_room();
  /// The last append() found no room: there may be some later.
  bool is_full() const noexcept { return full_; }
  /// What was appended has reached the disk when this returns. May be called from any thread.
  void sync();
  /// Replaces the file by one that holds only the lines `keep` wants, at one stroke: a crash leaves
  /// the old file or the new one.
  void rewrite(const std::function<bool(std::string_view line, std::uint64_t end)>& keep);

  /// Replaces the file, at one stroke as rewrite() does, by one with the same lines in the order of
  /// their numbers; equal ones stay in the order in which they are. Does nothing if they are in
  /// order already. Memory does not grow with the file; the disk needs room for it once more. When
  /// it throws, the file is as it was. `most_in_memory`: lines that are sorted at a time.
  void sort(const std::function<std::uint64_t(std::string_view line)>& number_of,
            std::size_t most_in_memory = std::size_t{1} << 20);

  /// Whether the path still leads to this file, and nobody else has changed how long it is. What
  /// was appended before this was last so need not be kept in mind any more.
  bool is_intact();
  /// For a file that is not intact: sees to it that what is still known of it has a place, together
  /// with `unwritten`, which it empties. Says in a sentence what became of the file, and where its
  /// lines are.
  std::string rescue(std::string& unwritten);
  /// Lines that were in the file and are in none any more, or in none that has a name.
  std::uint64_t lost() const noexcept { return lost_; }
  /// So many lines an earlier run has left in it.
  void holds(std::uint64_t lines) noexcept { lines_ = lines; }

  /// Gives the file up, and its lock.
  void close() { file_.reset(); }

  std::uint64_t size() const noexcept { return size_; }
  const std::string& path() const noexcept { return path_; }

 private:
  void lock();
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
  bool torn_ = false;  // half a line stands behind that
  std::uint64_t wanted_room_ = 0;
  std::uint64_t room_until_ = 0;  // an offset in the file
  std::error_code room_fault_;    // no more could be had
  bool full_ = false;
  std::uint64_t lines_ = 0;  // that are in it as far as this run knows
  std::uint64_t lost_ = 0;
  std::string recent_;  // lines that were appended since the last is_intact()
  std::atomic<bool> dirty_{false};
  std::mutex syncing_;  // who finds the file clean while another thread syncs it waits for that
};

}  // namespace sluice
