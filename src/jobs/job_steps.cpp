#include "jobs/job_steps.hpp"

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

#include "base/ordered_tasks.hpp"
#include "base/translated_error.hpp"
#include "jobs/job_blocks.hpp"
#include "jobs/request_bound.hpp"
#include "jobs/running_job.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

// The reason why a line of the job is not sent; nothing: it is sent.
std::optional<bad_line> fault_of(const request_or_bad_line& line, job_parts& parts) {
  if (!line) return line.error();
  if (parts.earlier.add(*line)) return std::nullopt;
  parts.scan.duplicates.push_back(line->line);
  return duplicate_line(line->line, line->custom_id);
}

// What the scan of a job has found so far.
struct scan_state {
  std::optional<bad_line> first_bad;
  std::uint64_t without_model = 0;  // number of lines
  std::uint64_t first_without_model = 0;
};

void scan_line(job_parts& parts, const request_or_bad_line& line, scan_state& so_far) {
  const job_setup& job = parts.setup;
  job_scan& found = parts.scan;
  ++found.totals.requests;
  found.last_line = line_number(line);
  found.fingerprint.add(line);
  if (auto bad = fault_of(line, parts)) {
    ++found.bad_lines;
    if (bad->lacks_model && so_far.without_model++ == 0) so_far.first_without_model = bad->line;
    if (!so_far.first_bad) so_far.first_bad = std::move(bad);
    return;
  }
  const request& next = *line;
  if (found.models.size() < 2) found.models.insert(next.model);
  const bool is_copy = job.lines.dedup && parts.earlier.is_copy(next);
  if (!parts.earlier.to_be_sent(next)) return;
  if (is_copy) {
    found.copies.add(next);
    return;
  }
  ++found.to_send;
  if (job.shared != nullptr) {
    require_bound(next, job);
  } else if (!job.prices.find({}, next.model, next.target)) {
    ++found.unpriced[next.model];
  }
}

std::vector<request_or_bad_line> parse_block(const job_block& block, const job_options& options) {
  std::vector<request_or_bad_line> lines;
  lines.reserve(block.lines().size());
  for (const job_block::line& line : block.lines()) {
    lines.push_back(block.parse(line, options));
  }
  return lines;
}

void scan_file(job_parts& parts) {
  const job_setup& job = parts.setup;
  job_scan& found = parts.scan;
  scan_state so_far;
  found.fingerprint = job_fingerprint::begin(job.files.job);
  ordered_tasks<job_block, std::vector<request_or_bad_line>> parse(
      reading_threads(), [&job](const job_block& block) { return parse_block(block, job.lines); },
      [&](const std::vector<request_or_bad_line>& lines) {
        for (const auto& line : lines) scan_line(parts, line, so_far);
      });
  job_blocks reader(job.files.job, job.lines);
  for (job_block next; reader.next(next);) parse.add(std::move(next));
  parse.finish();
  parts.earlier.forget_digests();
  if (found.totals.requests == 0)
    refuse(job.files.job, worded("is empty; a job has one JSON object a line"));
  if (const std::uint64_t lines = so_far.without_model; lines > 0) {
    refuse(worded("{} line {}: names no model{}; give --model, or write the model into the job",
                  job.files.job, so_far.first_without_model,
                  lines > 1 ? worded(" (nor do {} other lines)", lines - 1) : wording()));
  }
  if (const auto& first_bad = so_far.first_bad; job.lines.strict && first_bad) {
    refuse(fmt::format(
        "{} line {}: {} ({} bad lines in all; without --strict they go to the errors file)",
        job.files.job, first_bad->line, first_bad->message, found.bad_lines));
  }
  reader.read_on();
  for (job_block more; parts.earlier.misses_requests() && reader.next(more);) {
    for (const job_block::line& line : more.lines()) {
      if (!parts.earlier.misses_requests()) break;
      parts.earlier.add_behind_limit(more.parse(line, job.lines));
    }
  }
  found.bad_lines += parts.earlier.add_end(found.last_line, found.totals, parts.files);
}

void begin_standard_input(job_parts& parts) {
  if (parts.setup.lines.dedup) {
    refuse(
        "--dedup needs the job as a file: it is read again for the copies, and standard input "
        "cannot be; write it to a file first, or leave out --dedup");
  }
  parts.input = std::make_unique<job_input>(parts.setup.files.job, parts.setup.lines);
  if (!parts.input->has_lines())
    refuse("standard input is empty; a job has one JSON object a line");
}

// Needed because requests are read from their offsets in the file.
void require_plain_file(const job_setup& job) {
  const std::string& path = job.files.job;
  const bool compressed = path.ends_with(".gz") || path.ends_with(".zst");
  if (!compressed && !job.is_on_standard_input()) return;
  refuse(fmt::format(
      "{}: --group-prefixes sends lines in another order and needs the job as a plain "
      "file; {} it first, or leave out --group-prefixes",
      compressed ? path : "standard input", compressed ? "decompress" : "write it to a file"));
}

}  // namespace

std::variant<scanned_job, outdated_job> loaded_job::scan() && {
  auto parts = std::move(parts_);
  if (parts->setup.lines.group_prefixes) require_plain_file(parts->setup);
  parts->scan.totals = parts->earlier.take_totals();
  if (parts->setup.is_on_standard_input()) {
    begin_standard_input(*parts);
  } else {
    scan_file(*parts);
  }
  if (parts->earlier.must_make_room()) return outdated_job(std::move(parts));
  return scanned_job(std::move(parts));
}

loaded_job outdated_job::make_room() && {
  auto parts = std::move(parts_);
  parts->files.drop_results(
      [&](const stored_line& line) { return parts->earlier.stands(line.custom_id); });
  job_setup setup = parts->setup;
  parts.reset();  // releases its locks, which loaded_job needs
  return loaded_job(std::move(setup));
}

created_job scanned_job::create() && {
  auto parts = std::move(parts_);
  const job_setup& job = parts->setup;
  if (!job.is_on_standard_input()) {
    parts->input =
        std::make_unique<job_input>(job.files.job, job.lines, std::move(parts->scan.fingerprint));
  }
  parts->files.create();
  return created_job(std::move(parts));
}

created_job::~created_job() {
  if (parts_) parts_->files.take_back();
}

std::unique_ptr<running_job> created_job::start() && {
  return std::unique_ptr<running_job>(new running_job(std::move(parts_)));
}

}  // namespace sluice
