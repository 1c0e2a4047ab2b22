#pragma once

#include <string>

namespace sluice::store {

/// A file that is locked for this process while the object exists. The lock is on the file next to
/// it, `FILE.lock`, so only processes that use this class respect it. Both files are created if
/// they are missing; only their owner may read them.
class locked_file {
 public:
  /// Throws store_error. Its message is a sentence that names the file and the process that uses
  /// it.
  explicit locked_file(const std::string& path);
  locked_file(const locked_file&) = delete;
  locked_file& operator=(const locked_file&) = delete;
  ~locked_file();

  /// The absolute path. Links are followed, so two links to one file share one lock. A link that
  /// another user may have planted is refused.
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
  int lock_ = -1;
};

}  // namespace sluice::store
