#include "jobs/job_input.hpp"

#include <fmt/compile.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <iterator>
#include <string_view>
#include <utility>

#include "sluice/error.hpp"

namespace sluice {
namespace {

constexpr std::string_view no_stamp = "gone";
// The job file is checked for changes each time this many lines have been read.
constexpr std::uint64_t lines_between_looks = 256;

// A text that changes when the file changes.
std::string stamp_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::string(no_stamp);
  return fmt::format("{} {} {} {}.{}", info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec,
                     info.st_mtim.tv_nsec);
}

}  // namespace

job_fingerprint job_fingerprint::begin(const std::string& path) {
  return {stamp_of(path), {}};
}

void job_fingerprint::add(const request_or_bad_line& line) {
  const hex_digits chain(lines);
  if (!line) {
    const bad_line& bad = line.error();
    lines = hash_of(fmt::format("{}\n{}\n{}\n{}\n{}", std::string_view(chain), bad.line,
                                to_string(bad.code), bad.custom_id, bad.message));
    return;
  }
  fmt::memory_buffer text;
  fmt::format_to(std::back_inserter(text), FMT_COMPILE("{}\n{}\n{}\n{}"), std::string_view(chain),
                 line->line, line->custom_id, line->digest);
  lines = hash_of({text.data(), text.size()});
}

job_input::job_input(const std::string& path, const job_options& options, job_fingerprint scanned)
    : path_(path), options_(options), scanned_(std::move(scanned)), reader_(path, options) {}

bool job_input::has_lines() {
  if (!first_) first_ = reader_.next();
  return first_.has_value();
}

std::optional<request_or_bad_line> job_input::next() {
  if (cancelled_.load()) return std::nullopt;
  auto line = first_ ? std::exchange(first_, std::nullopt) : reader_.next();
  if (cancelled_.load()) return std::nullopt;  // the line may be only the part that had arrived
  if (!line || ++given_ % lines_between_looks == 0) require_unchanged();
  return line;
}

void job_input::cancel() {
  cancelled_.store(true);
  reader_.cancel();
}

void job_input::require_unchanged() {
  if (path_ == "-") return;
  std::string stamp = stamp_of(path_);
  if (stamp == scanned_.stamp) return;
  // A file that was touched or copied again, with the same lines, has not changed.
  if (stamp != no_stamp && hash_of_lines() == scanned_.lines) {
    scanned_.stamp = std::move(stamp);
    return;
  }
  if (cancelled_.load()) return;
  refuse_changed();
}

void job_input::refuse_changed() const {
  throw fatal_error(fatal_error::kind::cannot_start,
                    fmt::format("{}: was changed while it was run; what is finished is kept, run "
                                "the same command again",
                                path_));
}

request job_input::read_again(std::uint64_t offset, std::uint64_t line) {
  if (++given_ % lines_between_looks == 0) require_unchanged();
  if (!again_.is_open()) again_.open(path_, std::ios::binary);
  again_.clear();
  again_.seekg(static_cast<std::streamoff>(offset));
  std::string text;
  if (!std::getline(again_, text)) refuse_changed();
  if (text.ends_with('\r')) text.pop_back();
  auto read = parse_job_line(text, line, options_);
  if (!read) refuse_changed();
  return *std::move(read);
}

hash128 job_input::hash_of_lines() const {
  job_fingerprint now;
  job_reader reader(path_, options_);
  while (auto line = reader.next()) {
    if (cancelled_.load()) break;
    now.add(*line);
  }
  return now.lines;
}

}  // namespace sluice
