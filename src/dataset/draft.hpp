#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "files/file_system.hpp"

namespace sluice::dataset {

/// A large file while it is written. It gets its name only when it is complete, so there is always
/// the old file or the complete new one, also after a crash. Not thread safe.
class draft {
 public:
  /// Creates the temporary file. `is_ours` accepts the first bytes of a temporary file that a crash
  /// left. Throws fatal_error, also if another draft of the file is being written.
  draft(file_system& files, const std::string& path,
        const std::function<bool(std::string_view begin)>& is_ours);
  draft(const draft&) = delete;
  draft& operator=(const draft&) = delete;
  /// Removes the temporary file, unless it was published.
  ~draft();

  /// Throws fatal_error (cannot_write).
  void append(std::string_view bytes);
  /// Whether the file at the path has the same content.
  bool equals_target();
  /// Syncs the file and gives it its name. Throws fatal_error (cannot_write).
  void publish();

 private:
  void remove_stale(const std::function<bool(std::string_view begin)>& is_ours);
  void flush();
  [[noreturn]] void fail(const std::error_code& why) const;

  file_system& files_;
  const std::string path_;
  const std::string target_;
  std::string temporary_;
  std::unique_ptr<file> file_;
  std::string pending_;
};

/// The maximum length of the names of all columns, in bytes.
inline constexpr std::size_t longest_header = std::size_t{1} << 20;

/// Throws fatal_error unless the file does not exist, is empty, or is accepted by `is_ours` from
/// its first bytes. These are at least the first line, if it has at most `longest_line` bytes.
void require_replaceable(file_system& files, const std::string& path,
                         const std::function<bool(std::string_view begin)>& is_ours,
                         std::size_t longest_line = longest_header);

}  // namespace sluice::dataset
