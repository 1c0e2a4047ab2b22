#pragma once

#include <atomic>
#include <boost/system/result.hpp>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>

#include "base/hash.hpp"
#include "jobs/job_line.hpp"
#include "jobs/job_reader.hpp"
#include "sluice/config.hpp"

namespace sluice {

using request_or_bad_line = boost::system::result<request, bad_line>;
inline std::uint64_t line_number(const request_or_bad_line& line) {
  return line ? line->line : line.error().line;
}

/// By what a job file is known again: it must not change between the scan and the run's end.
struct job_fingerprint {
  std::string stamp;  ///< size and times
  hash128 lines;

  /// Of a file whose lines are to be added as they are read.
  static job_fingerprint begin(const std::string& path);
  void add(const request_or_bad_line& line);
};

/// The lines of a job, given once and in order to one thread, the reader's; cancel() and
/// is_cancelled() may be called from any.
class job_input {
 public:
  /// `scanned`: the file as the scan has seen it; standard input, "-", has none. Throws fatal_error
  /// when the file cannot be read.
  job_input(const std::string& path, const job_options& options, job_fingerprint scanned = {});

  /// Waits for the first line, which next() gives all the same. False: there is none.
  bool has_lines();
  /// The next line; nothing at the end, or once it was cancelled. Throws fatal_error when the file
  /// is not the one that was scanned.
  std::optional<request_or_bad_line> next();
  /// Where the line that next() gave last begins in the file.
  std::uint64_t offset() const noexcept { return reader_.offset(); }
  /// The request that begins at this place of the file, which next() has given before. Throws as
  /// next() does if another one stands there now.
  request read_again(std::uint64_t offset, std::uint64_t line);
  /// Throws fatal_error when the file is not the one that was scanned.
  void require_unchanged();
  /// Ends a next() that waits for input.
  void cancel();
  bool is_cancelled() const noexcept { return cancelled_.load(); }

 private:
  [[noreturn]] void refuse_changed() const;
  hash128 hash_of_lines() const;

  const std::string path_;
  const job_options& options_;
  job_fingerprint scanned_;
  job_reader reader_;
  std::optional<request_or_bad_line> first_;
  std::uint64_t given_ = 0;
  std::ifstream again_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace sluice
