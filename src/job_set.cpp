#include "sluice/job_set.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <filesystem>
#include <mutex>
#include <thread>

#include "job_record.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

namespace fs = std::filesystem;

// Results are to be on the disk a second after they were finished.
constexpr std::chrono::seconds sync_interval{1};

void require_writable(const fs::path& directory) {
  const std::string name = directory.empty() ? "." : directory.string();
  std::error_code unreadable;
  if (::access(name.c_str(), W_OK | X_OK) == 0 && fs::is_directory(name, unreadable)) return;
  throw fatal_error(fatal_error::kind::cannot_start,
                    fmt::format("{}: results cannot be written there; choose another place with "
                                "--output-dir or -o",
                                name));
}

}  // namespace

struct job_set::state {
  job_options lines;
  output_options output;
  relay_prices prices;
  std::deque<job_record> jobs;
  std::vector<bool> drained;
  std::size_t turn = 0;

  // Brings what was written to the disk, on a thread of its own: the event loop must not wait for
  // disks.
  std::mutex mutex;
  std::condition_variable_any wake;
  std::exception_ptr sync_failure;
  std::jthread syncer;

  void keep_syncing(const std::stop_token& stop) {
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, stop, sync_interval, [&] { return stop.stop_requested(); }) &&
           !stop.stop_requested()) {
      lock.unlock();
      try {
        for (auto& job : jobs) job.sync();
      } catch (...) {
        lock.lock();
        sync_failure = std::current_exception();
        return;
      }
      lock.lock();
    }
  }
};

job_set::job_set(const std::vector<std::string>& jobs, const job_options& lines,
                 const output_options& output, relay_prices prices)
    : state_(std::make_unique<state>()) {
  state_->lines = lines;
  state_->output = output;
  state_->prices = std::move(prices);
  const auto files = name_job_files(jobs, output);
  for (const auto& job : files) {
    if (job.job != "-") open_bytes(job.job);  // refuses what is missing, or no file
    if (output.directory.empty()) {
      require_writable(fs::path(job.output).parent_path());
    } else {
      fs::path nearest = output.directory;
      std::error_code unreadable;
      while (!nearest.empty() && !fs::exists(nearest, unreadable)) nearest = nearest.parent_path();
      require_writable(nearest);
    }
  }
  for (std::size_t i = 0; i < files.size(); ++i) {
    state_->jobs.emplace_back(i, files[i], state_->lines, state_->output, state_->prices);
  }
  for (auto& job : state_->jobs) job.load();
  for (auto& job : state_->jobs) job.scan();
  if (!output.directory.empty()) {
    std::error_code error;
    fs::create_directories(output.directory, error);
    if (error) {
      throw fatal_error(fatal_error::kind::cannot_start,
                        fmt::format("--output-dir {}: cannot be made ({}); choose another place",
                                    output.directory, error.message()));
    }
  }
  std::size_t made = 0;
  try {
    for (auto& job : state_->jobs) {
      job.create();
      ++made;
    }
  } catch (...) {
    for (std::size_t i = 0; i < made; ++i) state_->jobs[i].take_back();
    throw;
  }
  state_->drained.assign(files.size(), false);
  if (output.durable == durability::second) {
    state_->syncer =
        std::jthread([this](const std::stop_token& stop) { state_->keep_syncing(stop); });
  }
  checkpoint(0, 0);
}

job_set::~job_set() = default;

std::optional<request> job_set::next() {
  const std::size_t count = state_->jobs.size();
  for (std::size_t tried = 0; tried < count; ++tried) {
    const std::size_t turn = state_->turn;
    state_->turn = (turn + 1) % count;
    if (state_->drained[turn]) continue;
    if (auto found = state_->jobs[turn].next_request()) return found;
    state_->drained[turn] = true;
  }
  return std::nullopt;
}

void job_set::cancel() {
  for (auto& job : state_->jobs) job.cancel();
}

void job_set::attempt_started(std::size_t job, bool retry) {
  state_->jobs[job].attempt_started(retry);
}

void job_set::attempt_lost(std::size_t job) {
  state_->jobs[job].attempt_lost();
}

void job_set::put(result&& finished) {
  state_->jobs[finished.job].put(finished);
}

void job_set::flush() {
  for (auto& job : state_->jobs) job.flush();
  const std::lock_guard lock(state_->mutex);
  if (state_->sync_failure) std::rethrow_exception(state_->sync_failure);
}

void job_set::checkpoint(double run_seconds, std::uint64_t most_in_a_minute) {
  for (auto& job : state_->jobs) {
    job.checkpoint(job_status::running, run_seconds, most_in_a_minute);
  }
}

void job_set::finish(job_status status, double run_seconds, std::uint64_t most_in_a_minute) {
  if (state_->syncer.joinable()) {
    state_->syncer.request_stop();
    state_->syncer.join();
  }
  flush();
  for (auto& job : state_->jobs) {
    job.finish();
    job.checkpoint(job.complete() ? job_status::completed : status, run_seconds, most_in_a_minute);
  }
}

std::vector<job_set::job_summary> job_set::summaries() const {
  std::vector<job_summary> told;
  for (const auto& job : state_->jobs) {
    told.push_back({job.files().job, job.files().output, job.files().errors, job.files().totals,
                    job.to_send(), job.bad_lines(), job.unpriced_models()});
  }
  return told;
}

job_totals job_set::totals(std::size_t job) const {
  return state_->jobs[job].totals();
}

std::map<std::string, std::string> job_set::failure_reasons(std::size_t job) const {
  return state_->jobs[job].failure_reasons();
}

std::size_t job_set::size() const noexcept {
  return state_->jobs.size();
}

std::string_view job_set::identity(std::size_t job) const {
  return state_->jobs[job].identity();
}

}  // namespace sluice
