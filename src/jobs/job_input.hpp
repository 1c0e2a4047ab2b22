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

/// Identifies the content of a job file, which must not change between the scan and the end of the
/// run.
struct job_fingerprint {
  std::string stamp;  ///< size and times
  hash128 lines;

  /// Starts the fingerprint of a file; add() must then be called for each of its lines.
  static job_fingerprint begin(const std::string& path);
  void add(const request_or_bad_line& line);
};

/// Gives the lines of a job once and in order, to one thread, the reader's. cancel() and
/// is_cancelled() may be called from any thread.
class job_input {
 public:
  /// `scanned`: the fingerprint from the scan; standard input ("-") has none. Throws fatal_error if
  /// the file cannot be read.
  job_input(const std::string& path, const job_options& options, job_fingerprint scanned = {});

  /// Waits for the first line; next() will still return that line. False: there is no line.
  bool has_lines();
  /// The next line; nothing at the end, or after cancel(). Throws fatal_error if the file has
  /// changed since the scan.
  std::optional<request_or_bad_line> next();
  /// The offset in the file at which the last line from next() begins.
  std::uint64_t offset() const noexcept { return reader_.offset(); }
  /// From now on next() also gives the lines behind the limit.
  void read_on() { reader_.read_on(); }
  /// The request at this offset of the file, which next() has given before. Throws fatal_error if
  /// the file has changed.
  request read_again(std::uint64_t offset, std::uint64_t line);
  /// Throws fatal_error if the file has changed since the scan.
  void require_unchanged();
  /// Ends a call of next() that waits for input.
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
