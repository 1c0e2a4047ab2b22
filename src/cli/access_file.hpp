#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace sluice::cli {

/// The file of --access-log, or standard output. A separate thread appends the lines, so that a
/// slow disk delays no request. At most 4 MiB wait; further lines are dropped, and the log reports
/// their number. Safe to use from any thread.
class access_file {
 public:
  /// `path`: "-" is standard output. Throws fatal_error if it cannot be written, or if it contains
  /// something other than an access log.
  explicit access_file(std::string path);
  access_file(const access_file&) = delete;
  access_file& operator=(const access_file&) = delete;
  /// Writes the waiting lines.
  ~access_file();

  /// One line, without its newline. Never waits for the file.
  void append(const std::string& line);
  /// Opens the path again before the next line, since the file may have been moved. If that fails,
  /// the old file stays in use.
  void reopen();

 private:
  void work();
  void write(const std::string& text);
  bool takes_more();
  void open_again();

  const std::string path_;
  int descriptor_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string waiting_;
  std::uint64_t dropped_ = 0;
  bool reopen_ = false;
  bool ending_ = false;
  bool failed_ = false;  // used only by the thread: the log has reported the failure
  std::thread thread_;
};

}  // namespace sluice::cli
