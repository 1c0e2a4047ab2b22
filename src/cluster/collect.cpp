#include "cluster/collect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/hash.hpp"
#include "base/id_table.hpp"
#include "base/translated_error.hpp"
#include "jobs/output_file.hpp"
#include "jobs/own_files.hpp"
#include "jobs/stored_line.hpp"
#include "json/text.hpp"
#include "store/batch_record.hpp"

namespace sluice::cluster {
namespace {

constexpr std::size_t lines_at_once = 500;

[[noreturn]] void cannot_write(const std::string& path, const std::error_code& why) {
  throw fatal_error(
      fatal_error::kind::cannot_write,
      fmt::format("{}: cannot be written ({}); make room, or choose another place with "
                  "--output-dir",
                  path, why.message()));
}

// A new file that replaces an existing one when it is complete.
class replacement {
 public:
  replacement(file_system& disk, std::string target) : disk_(disk), target_(std::move(target)) {
    std::error_code error;
    file_ = create_temporary_for(disk_, target_, begins_as_unplaced_results, path_, error);
    if (!file_) cannot_write(target_, error);
  }
  replacement(const replacement&) = delete;
  replacement& operator=(const replacement&) = delete;
  ~replacement() {
    if (!placed_) (void)disk_.remove(path_);
  }
  void add(std::string_view line) {
    pending_.append(line).push_back('\n');
    if (pending_.size() >= (std::size_t{1} << 20)) flush();
  }
  void place() {
    flush();
    if (const auto error = file_->sync()) cannot_write(target_, error);
    if (const auto error = disk_.rename(path_, target_)) cannot_write(target_, error);
    placed_ = true;
    if (const auto error = disk_.sync_folder_of(target_)) cannot_write(target_, error);
  }

 private:
  void flush() {
    std::error_code error;
    if (file_->append(pending_, error) != pending_.size()) cannot_write(target_, error);
    pending_.clear();
  }

  file_system& disk_;
  std::string target_;
  std::string path_;
  std::unique_ptr<file> file_;
  std::string pending_;
  bool placed_ = false;
};

// Locks a file if it exists, so that no run writes it meanwhile.
bool lock_existing(file_system& disk, output_file& lines) {
  require_ours(disk, lines.path(), begins_as_results);
  return lines.open_existing();
}

// The successes in the output file that is about to be replaced.
class replaced_successes {
 public:
  explicit replaced_successes(const output_file& output) {
    output.for_each_line([&](std::string_view text, std::uint64_t, bool whole) {
      const auto stored = parse_stored_line(text);
      if (!stored && !whole && json_fault(text)) return;  // torn by a crash
      ids_.insert(stored ? id_of(*stored) : hash_of(text));
    });
  }
  // Adds a success of the store.
  void add(const stored_line& success) {
    if (ids_.find(id_of(success)) != nullptr) ++found_;
  }
  // The number of successes that the store does not have.
  std::uint64_t lost() const noexcept { return ids_.size() - found_; }

 private:
  static hash128 id_of(const stored_line& line) {
    return hash_of(fmt::format("{} {} {}", line.digest, line.simulated, line.custom_id));
  }

  id_set ids_;
  std::uint64_t found_ = 0;
};

// enqueue wrote the bad lines, and did not know whether the job would be simulated.
void mark_as_simulated(std::string& text) {
  constexpr std::string_view end = "}}";
  if (text.ends_with(end)) text.insert(text.size() - end.size(), R"(,"simulated":true)");
}

}  // namespace

job_totals collect(job_store& store, const job_record& job, const job_files& files,
                   file_system& disk) {
  if (disk.exists(files.state)) {
    refuse(fmt::format(
        "{}: belongs to a run that has not ended; choose another place with --output-dir",
        files.state));
  }
  output_file output(disk, files.output);
  output_file errors(disk, files.errors);
  const bool has_output = lock_existing(disk, output);
  lock_existing(disk, errors);
  require_ours(disk, files.totals, begins_as_totals);
  std::optional<replaced_successes> replaced;
  if (has_output) replaced.emplace(output);
  job_totals totals;
  totals.requests = job.lines;
  {
    replacement succeeded(disk, disk.resolved(files.output));
    replacement failed(disk, disk.resolved(files.errors));
    for (std::uint64_t from = 0;;) {
      auto lines = store.read_results(job.id, from, lines_at_once);
      if (lines.empty()) break;
      for (finished_line& one : lines) {
        const auto stored = parse_stored_line(one.text);
        if (!stored) {
          throw store::store_error(
              fmt::format("the store has a damaged result of line {} of {}", one.line, job.name));
        }
        totals.add(stored->facts);
        if (one.succeeded && replaced) replaced->add(*stored);
        if (stored->of_bad_line && job.simulated.value_or(false)) mark_as_simulated(one.text);
        (one.succeeded ? succeeded : failed).add(one.text);
      }
      from = lines.back().line + 1;
    }
    if (replaced && replaced->lost() > 0) {
      refuse(
          worded("{}: has {} result(s) that job {} in the store does not have, and that would be "
                 "lost; choose another place with --output-dir or -o, or move the file away",
                 files.output, replaced->lost(), job.name));
    }
    if (!has_output && disk.exists(files.output)) {
      refuse(files.output, "another run has made it meanwhile; run the same command again");
    }
    // Places the errors file first: if a request is in both files, the output counts.
    failed.place();
    succeeded.place();
  }
  job_record now = job;
  if (totals.pending() == 0) {  // the job may have ended since it was read
    const auto again = store.find_job(job.name);
    if (again && again->id == job.id) now = *again;
  }
  const work_counters sums = store.counters(job.id);
  totals.attempts = sums.attempts;
  totals.retries = sums.retries;
  totals.maybe_billed_attempts = sums.maybe_billed;
  totals.kept = sums.kept;
  totals.max_requests_in_60s = store.most_in_a_minute(job.id);
  if (now.started_at && now.finished_at) totals.wall_s = *now.finished_at - *now.started_at;
  const bool complete = now.finished && totals.pending() == 0;
  auto document = nlohmann::ordered_json::parse(
      totals.to_json(files.job, complete ? job_status::completed : job_status::stopped));
  if (!complete) document["store_job"] = job.name;
  replace_file(
      disk, files.totals,
      document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n",
      begins_as_unplaced_totals);
  return totals;
}

}  // namespace sluice::cluster
