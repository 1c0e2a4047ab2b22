#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "files/file_system.hpp"

namespace sluice {

/// The place of a line in its file, and the number by which it is sorted.
struct line_place {
  std::uint64_t number = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;  ///< with its line end

  bool before(const line_place& other) const noexcept {
    return number != other.number ? number < other.number : offset < other.offset;
  }
};

/// A file could not be written or read.
struct disk_fault {
  std::error_code why;
};

/// Sorts the places of a file's lines by their numbers, in memory that does not grow with the file:
/// an external merge sort. Sorted runs are stored in a temporary file of 24 bytes for each line.
/// The name of that file is removed as soon as it is open, so that a crash leaves nothing behind.
/// Throws disk_fault. Not thread safe.
class line_order {
 public:
  /// The temporary file is created in the folder of `target`, and only if there are more places
  /// than `most_in_memory`.
  line_order(file_system& files, std::string target, std::size_t most_in_memory);

  void add(const line_place& place);
  /// Visits all places in order. Can be called once. Places with equal numbers come in the order of
  /// their offsets.
  void visit(const std::function<void(const line_place&)>& visit);

  /// Removes the temporary file if a crash happened after it was created and before its name was
  /// removed.
  static void remove_stale(file_system& files, const std::string& target);

 private:
  struct run {
    std::uint64_t begin = 0;  // bytes
    std::uint64_t end = 0;
  };
  struct cursor;

  void write_run();
  void merge(const std::function<void(const line_place&)>& visit);

  file_system& files_;
  const std::string target_;
  const std::size_t most_in_memory_;
  std::vector<line_place> places_;
  std::vector<run> runs_;
  std::unique_ptr<file> spilled_;
  std::uint64_t spilled_bytes_ = 0;
};

}  // namespace sluice
