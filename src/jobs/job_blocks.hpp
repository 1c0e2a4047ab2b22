#pragma once

#include <boost/system/result.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "files/line_reader.hpp"
#include "jobs/job_line.hpp"
#include "sluice/config.hpp"

namespace sluice {

/// Lines of a job, copied out of the file so that another thread can parse them.
class job_block {
 public:
  struct line {
    std::uint64_t number = 0;
    std::size_t begin = 0;
    std::size_t size = 0;
    bool too_long = false;  ///< the text is empty
  };

  void add(const line_reader::line& next);
  /// Large enough that a thread is worth its work on it, and small enough that a few of them need
  /// little memory.
  bool is_full() const noexcept {
    return text_.size() + lines_.size() * sizeof(line) >= std::size_t{64} << 10U;
  }
  bool empty() const noexcept { return lines_.empty(); }
  /// Parses the line. Pure.
  boost::system::result<request, bad_line> parse(const line& one, const job_options& options) const;
  const std::vector<line>& lines() const noexcept { return lines_; }

 private:
  std::string text_;
  std::vector<line> lines_;
};

/// Reads the lines of a job in blocks, without parsing them. Throws fatal_error like open_job().
class job_blocks {
 public:
  job_blocks(const std::string& path, const job_options& options);

  /// False: there are no more lines, or the limit is reached.
  bool next(job_block& out);
  /// From now on next() also gives the lines behind the limit.
  void read_on() noexcept { limit_ = 0; }

 private:
  line_reader lines_;
  std::uint64_t limit_;
  std::uint64_t given_ = 0;
};

}  // namespace sluice
