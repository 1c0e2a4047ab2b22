#include "jobs/job_blocks.hpp"

#include <string_view>

#include "jobs/job_reader.hpp"

namespace sluice {

void job_block::add(const line_reader::line& next) {
  const std::string_view text = next.too_long ? std::string_view() : next.text;
  lines_.push_back({next.number, text_.size(), text.size(), next.too_long});
  text_ += text;
}

boost::system::result<request, bad_line> job_block::parse(const line& one,
                                                          const job_options& options) const {
  if (one.too_long) return line_too_long(one.number, options);
  return parse_job_line(std::string_view(text_).substr(one.begin, one.size), one.number, options);
}

job_blocks::job_blocks(const std::string& path, const job_options& options)
    : lines_(open_job(path, options)), limit_(options.limit) {}

bool job_blocks::next(job_block& out) {
  out = {};
  line_reader::line line;
  while (!out.is_full() && (limit_ == 0 || given_ < limit_) && lines_.next(line)) {
    out.add(line);
    ++given_;
  }
  return !out.empty();
}

}  // namespace sluice
