#include "cluster/collect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "base/refuse.hpp"
#include "jobs/own_files.hpp"
#include "jobs/stored_line.hpp"
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
std::unique_ptr<file> lock_existing(file_system& disk, const std::string& path) {
  require_ours(disk, path, begins_as_results);
  if (!disk.exists(path)) return nullptr;
  std::error_code error;
  auto opened = disk.open(path, file_system::open_as::existing, error);
  if (!opened) refuse(open_fault_sentence(path, error));
  if (opened->lock().is == file::lock_result::state::held) {
    refuse(fmt::format("{}: is in use by a run or by another collect; wait for its end", path));
  }
  return opened;
}

}  // namespace

job_totals collect(job_store& store, const job_record& job, const job_files& files,
                   file_system& disk) {
  const std::string output = disk.resolved(files.output);
  const std::string errors = disk.resolved(files.errors);
  if (disk.exists(files.state)) {
    refuse(fmt::format(
        "{}: belongs to a run that has not ended; choose another place with --output-dir",
        files.state));
  }
  const auto output_lock = lock_existing(disk, output);
  const auto errors_lock = lock_existing(disk, errors);
  require_ours(disk, files.totals, begins_as_totals);
  job_totals totals;
  totals.requests = job.lines;
  {
    replacement succeeded(disk, output);
    replacement failed(disk, errors);
    for (std::uint64_t from = 0;;) {
      const auto lines = store.read_results(job.id, from, lines_at_once);
      if (lines.empty()) break;
      for (const finished_line& one : lines) {
        const auto stored = parse_stored_line(one.text);
        if (!stored) {
          throw store::store_error(
              fmt::format("the store has a damaged result of line {} of {}", one.line, job.name));
        }
        totals.add(stored->facts);
        (one.succeeded ? succeeded : failed).add(one.text);
      }
      from = lines.back().line + 1;
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
  replace_file(disk, files.totals,
               totals.to_json(files.job, complete ? job_status::completed : job_status::running),
               begins_as_unplaced_totals);
  return totals;
}

}  // namespace sluice::cluster
