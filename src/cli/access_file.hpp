#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace sluice::cli {

/// The file of --access-log, or standard output. Lines are appended by a thread of its own, so that
/// a slow disk delays no request. At most 4 MiB wait; more is dropped, which the log says once.
/// Safe to use from any thread.
class access_file {
 public:
  /// `path`: "-" is standard output. Throws fatal_error if it cannot be written, or holds something
  /// other than an access log.
  explicit access_file(std::string path);
  access_file(const access_file&) = delete;
  access_file& operator=(const access_file&) = delete;
  /// Writes what waits.
  ~access_file();

  /// One line, without its newline. Never waits for the file.
  void append(const std::string& line);
  /// Opens the path again before the next line: the file may have been moved away. The old file
  /// stays in use if that fails.
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
  bool failed_ = false;  // the log has said so; of the thread alone
  std::thread thread_;
};

}  // namespace sluice::cli
