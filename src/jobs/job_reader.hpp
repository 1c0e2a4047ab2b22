#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "files/line_reader.hpp"
#include "jobs/job_line.hpp"
#include "sluice/config.hpp"

namespace sluice {

/// Opens the lines of a job; "-" is standard input. Throws fatal_error if the file cannot be read,
/// or if it cannot be a job (see job_kind.hpp).
line_reader open_job(const std::string& path, const job_options& options);

/// Reads a job file from its start. Each line is a request, or the reason why it is not one. Throws
/// fatal_error like open_job().
class job_reader {
 public:
  job_reader(const std::string& path, const job_options& options);

  /// Nothing at the end, or after `options.limit` lines. Lines before number `first` are skipped
  /// without being parsed.
  std::optional<boost::system::result<request, bad_line>> next(std::uint64_t first = 0);
  /// Skips lines before number `first` without parsing them, but not many more than `most` bytes.
  /// False: there are more of them.
  bool skip_to(std::uint64_t first, std::uint64_t most);
  /// From now on next() also gives the lines behind the limit.
  void read_on();
  /// The offset in the file at which the last line from next() begins.
  std::uint64_t offset() const noexcept { return offset_; }
  /// Ends a call of next() that waits for input. May be called from any thread.
  void cancel() { lines_.cancel(); }

 private:
  const job_options& options_;
  std::uint64_t limit_;
  line_reader lines_;
  line_reader::line line_;
  bool is_waiting_ = false;  // line_ was read by skip_to(), for next()
  bool ended_ = false;
  std::uint64_t given_ = 0;  // larger than the limit if the limit has ended the reading
  std::uint64_t offset_ = 0;
};

}  // namespace sluice
