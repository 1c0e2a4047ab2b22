#pragma once

#include <string>
#include <string_view>

namespace sluice::cli {

/// A file to which log entries are appended; the destructor closes it. For one thread at a time.
class log_file {
 public:
  explicit log_file(int descriptor) : descriptor_(descriptor) {}
  log_file(log_file&& other) noexcept;
  log_file& operator=(log_file&&) = delete;
  log_file(const log_file&) = delete;
  log_file& operator=(const log_file&) = delete;
  ~log_file();

  int descriptor() const noexcept { return descriptor_; }
  /// Returns 0, or the error number.
  int append(std::string_view text);

 private:
  int descriptor_;
};

/// Opens the file of --log-file. Only its owner may read a new file, since it contains requests and
/// replies. An existing file must belong to the user, and be empty or begin like a log, because log
/// entries at the end of a job or of other data would damage it. A pipe or a terminal is refused,
/// because the run could wait for it. Throws fatal_error.
log_file open_log(const std::string& path);

/// The format of a log entry, as a pattern of spdlog.
constexpr const char* log_pattern = "%Y-%m-%dT%H:%M:%S.%e%z %l %*";

/// Whether a text begins with an entry of that pattern.
bool begins_as_log(std::string_view text);

}  // namespace sluice::cli
