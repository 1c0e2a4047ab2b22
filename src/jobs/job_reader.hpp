#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "files/line_reader.hpp"
#include "jobs/job_line.hpp"
#include "sluice/config.hpp"

namespace sluice {

/// The lines of a job, "-" for standard input. Throws fatal_error when the file cannot be read, or
/// is of a kind that can be no job (job_kind.hpp).
line_reader open_job(const std::string& path, const job_options& options);

/// Reads a job file from its start: each line a request, or the reason why it is none. Throws
/// fatal_error as open_job() does.
class job_reader {
 public:
  job_reader(const std::string& path, const job_options& options);

  /// Nothing at the end, or once as many lines as `options.limit` have been given.
  /// `first`: lines before that number are passed over unread.
  std::optional<boost::system::result<request, bad_line>> next(std::uint64_t first = 0);
  /// Where the line that next() gave last begins in the file.
  std::uint64_t offset() const noexcept { return offset_; }
  /// Ends a next() that waits for input; from any thread.
  void cancel() { lines_.cancel(); }

 private:
  const job_options& options_;
  line_reader lines_;
  std::uint64_t given_ = 0;
  std::uint64_t offset_ = 0;
};

}  // namespace sluice
