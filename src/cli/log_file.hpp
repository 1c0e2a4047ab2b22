#pragma once

#include <string>
#include <string_view>

namespace sluice::cli {

/// A file that log entries are appended to; closed when the object goes.
class log_file {
 public:
  explicit log_file(int descriptor) : descriptor_(descriptor) {}
  log_file(log_file&& other) noexcept;
  log_file& operator=(log_file&&) = delete;
  log_file(const log_file&) = delete;
  log_file& operator=(const log_file&) = delete;
  ~log_file();

  int descriptor() const noexcept { return descriptor_; }
  /// 0, or the error number.
  int append(std::string_view text);

 private:
  int descriptor_;
};

/// Opens the file of --log-file. A new one is for its owner alone: it says what was asked and
/// answered. One that is there has to be the user's own, and empty or begin as an entry does: an
/// entry behind a job's last line, or in somebody's notes, does harm. What may keep the run
/// waiting, a pipe or a terminal, is refused. Throws fatal_error.
log_file open_log(const std::string& path);

/// How an entry begins, as spdlog writes it.
constexpr const char* log_pattern = "%Y-%m-%dT%H:%M:%S.%e%z %l %*";

/// Whether a text begins with an entry of that pattern.
bool begins_as_log(std::string_view text);

}  // namespace sluice::cli
