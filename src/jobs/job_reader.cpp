#include "jobs/job_reader.hpp"

#include <limits>

#include "base/translated_error.hpp"
#include "jobs/job_kind.hpp"

namespace sluice {

line_reader open_job(const std::string& path, const job_options& options) {
  line_reader lines(open_bytes(path), options.max_line_bytes);
  std::string_view start = lines.start(1);
  // A single bracket may be a bad line, or begin a list or an object that spans several lines. From
  // a pipe, only as much is read as is needed to tell these apart, because the writer may be
  // waiting for the first result.
  if (start.find_first_not_of(" \t\r\n{[") == std::string_view::npos) start = lines.start(2);
  if (const auto kind = foreign_file(start)) {
    refuse(path == "-" ? "standard input" : path, *kind);
  }
  return lines;
}

job_reader::job_reader(const std::string& path, const job_options& options)
    : options_(options), limit_(options.limit), lines_(open_job(path, options)) {}

void job_reader::read_on() {
  if (limit_ != 0 && given_ > limit_) ended_ = false;
  limit_ = 0;
}

bool job_reader::skip_to(std::uint64_t first, std::uint64_t most) {
  std::optional<std::uint64_t> begin;
  while (!ended_ && (!is_waiting_ || line_.number < first)) {
    if (begin && line_.offset - *begin >= most) return false;
    const bool is_at_limit = limit_ != 0 && given_ >= limit_;
    is_waiting_ = !is_at_limit && lines_.next(line_);
    ended_ = !is_waiting_;
    ++given_;
    if (!begin) begin = line_.offset;
  }
  return true;
}

std::optional<boost::system::result<request, bad_line>> job_reader::next(std::uint64_t first) {
  while (!skip_to(first, std::numeric_limits<std::uint64_t>::max())) {
  }
  if (ended_) return std::nullopt;
  is_waiting_ = false;
  offset_ = line_.offset;
  if (line_.too_long) return line_too_long(line_.number, options_);
  return parse_job_line(line_.text, line_.number, options_);
}

}  // namespace sluice
