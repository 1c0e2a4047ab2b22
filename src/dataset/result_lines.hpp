#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/id_table.hpp"

namespace sluice::dataset {

/// The lines of a job's output and errors files, by id. A line of the output has priority over a
/// line of the errors file, and a later line over an earlier one. Memory: 30 bytes for each line;
/// the lines stay in their files, to which a run may still be appending. Not thread safe.
class result_lines {
 public:
  /// Reads the files; a missing file has no lines. Throws fatal_error if a line was not written by
  /// a run. The last line may be incomplete.
  result_lines(const std::string& output, const std::string& errors);
  result_lines(const result_lines&) = delete;
  result_lines& operator=(const result_lines&) = delete;
  ~result_lines();

  enum class found : std::uint8_t { nothing, line, line_again };
  /// The line with this id, valid until the next call. `line_again`: this id was found before.
  found find(std::string_view id, std::string_view& line);

  std::size_t size() const noexcept { return places_.size(); }
  /// Number of lines that were found.
  std::size_t found_lines() const noexcept { return found_; }

 private:
  struct source {
    std::string path;
    int file = -1;
  };
  struct place {
    std::uint64_t offset : 62;
    std::uint64_t is_error : 1;
    std::uint64_t was_found : 1;
  };

  void add(const source& from, bool is_error);
  std::string_view line_at(const source& from, std::uint64_t offset);

  source output_;
  source errors_;
  id_table<place> places_;
  std::size_t found_ = 0;
  // A part of one file, kept in memory because results are stored roughly in the order of the rows.
  std::vector<char> window_;
  int window_file_ = -1;
  std::uint64_t window_begin_ = 0;
  std::size_t window_size_ = 0;
};

}  // namespace sluice::dataset
