#include "job_reader.hpp"

namespace sluice {

job_reader::job_reader(const std::string& path, const job_options& options)
    : options_(options), lines_(open_bytes(path), options.max_line_bytes) {}

std::optional<boost::system::result<request, bad_line>> job_reader::next(std::uint64_t first) {
  line_reader::line line;
  do {
    if (options_.limit != 0 && given_ >= options_.limit) return std::nullopt;
    if (!lines_.next(line)) return std::nullopt;
    ++given_;
  } while (line.number < first);
  if (line.too_long) return line_too_long(line.number, options_);
  return parse_job_line(line.text, line.number, options_);
}

}  // namespace sluice
