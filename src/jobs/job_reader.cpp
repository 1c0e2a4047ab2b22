#include "jobs/job_reader.hpp"

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
    : options_(options), lines_(open_job(path, options)) {}

std::optional<boost::system::result<request, bad_line>> job_reader::next(std::uint64_t first) {
  line_reader::line line;
  do {
    if (options_.limit != 0 && given_ >= options_.limit) return std::nullopt;
    if (!lines_.next(line)) return std::nullopt;
    ++given_;
  } while (line.number < first);
  offset_ = line.offset;
  if (line.too_long) return line_too_long(line.number, options_);
  return parse_job_line(line.text, line.number, options_);
}

}  // namespace sluice
