#pragma once

#include <string>

namespace sluice::store {

/// A file that no other process that uses this class uses while the object lives: the file next to
/// it, `FILE.lock`, is locked. Both are created if they are missing; only their owner may read
/// them.
class locked_file {
 public:
  /// Throws store_error with a sentence that names the file, and the process that uses it.
  explicit locked_file(const std::string& path);
  locked_file(const locked_file&) = delete;
  locked_file& operator=(const locked_file&) = delete;
  ~locked_file();

  /// Absolute. Links are followed: two links to one file have one lock. A link that another user
  /// may have planted is refused.
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
  int lock_ = -1;
};

}  // namespace sluice::store
