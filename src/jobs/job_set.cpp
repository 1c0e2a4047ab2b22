#include "sluice/job_set.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <mutex>
#include <set>
#include <utility>

#include "files/file_system.hpp"
#include "jobs/job_record.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

namespace fs = std::filesystem;

void require_writable(file_system& disk, const fs::path& directory) {
  const std::string name = directory.empty() ? "." : directory.string();
  if (disk.is_writable_folder(name)) return;
  throw fatal_error(fatal_error::kind::cannot_start,
                    fmt::format("{}: results cannot be written there; choose another place with "
                                "--output-dir or -o",
                                name));
}

// Kept free on the disk for the results of one of so many jobs: more than what a thousand attempts
// in flight bring back, as a rule.
std::uint64_t room_for(std::size_t jobs) {
  constexpr std::uint64_t all = std::uint64_t{64} << 20;
  constexpr std::uint64_t most = std::uint64_t{4} << 20;
  constexpr std::uint64_t least = std::uint64_t{256} << 10;
  return std::clamp(all / std::max<std::uint64_t>(jobs, 1), least, most);
}

}  // namespace

struct job_set::state {
  state(const job_options& chosen, const output_options& results, relay_prices charged,
        std::unique_ptr<file_system> own_disk, file_system& used)
      : lines(chosen),
        output(results),
        prices(std::move(charged)),
        owned_disk(std::move(own_disk)),
        disk(used) {
    if (output.budget) money.emplace(*output.budget);
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  ~state() { disk.finish_aside(); }

  const job_options lines;
  const output_options output;
  const relay_prices prices;
  std::unique_ptr<file_system> owned_disk;
  file_system& disk;
  std::optional<budget> money;
  std::vector<std::unique_ptr<job_record>> jobs;
  std::vector<bool> drained;
  std::size_t turn = 0;

  std::mutex mutex;  // guards what a sync aside found out
  std::exception_ptr sync_failure;
  bool checkpoint_is_on = false;

  void tell_of_failed_sync();
  void run_aside(const std::function<void()>& slow);
  void write_checkpoint();
  void open(const std::vector<job_files>& files);
  void load(const std::vector<job_files>& files);
};

void job_set::state::tell_of_failed_sync() {
  const std::lock_guard lock(mutex);
  if (sync_failure) std::rethrow_exception(sync_failure);
}

// What it throws is told by the next call.
void job_set::state::run_aside(const std::function<void()>& slow) {
  disk.run_aside([this, slow] {
    try {
      slow();
    } catch (...) {
      const std::lock_guard lock(mutex);
      sync_failure = std::current_exception();
    }
  });
}

// Of jobs that nobody runs yet.
void job_set::state::write_checkpoint() {
  for (auto& job : jobs) job->end_checkpoint(job->begin_checkpoint(job_status::running, 0, 0));
}

// Reads every job and what is left of its earlier runs.
void job_set::state::load(const std::vector<job_files>& files) {
  std::vector<job_record::input> inputs;
  for (auto& job : jobs) inputs.push_back(job->release_input());
  jobs.clear();
  if (output.budget) money.emplace(*output.budget);
  for (std::size_t i = 0; i < files.size(); ++i) {
    jobs.push_back(std::make_unique<job_record>(i, files[i], lines, output, prices, disk,
                                                money ? &*money : nullptr, room_for(files.size())));
    if (i < inputs.size()) jobs.back()->take_input(std::move(inputs[i]));
  }
  for (auto& job : jobs) job->load();
  for (auto& job : jobs) job->scan();
}

void job_set::state::open(const std::vector<job_files>& files) {
  for (const auto& job : files) {
    if (job.job != "-") (void)open_job(job.job, lines);  // refuses what is missing, or no job
    if (output.directory.empty()) {
      require_writable(disk, fs::path(job.output).parent_path());
    } else {
      fs::path nearest = output.directory;
      while (!nearest.empty() && !disk.exists(nearest.string())) nearest = nearest.parent_path();
      require_writable(disk, nearest);
    }
  }
  load(files);
  bool made_room = false;
  for (auto& job : jobs) {
    if (!job->must_make_room()) continue;
    job->make_room();
    made_room = true;
  }
  if (made_room) load(files);
  if (!output.directory.empty()) {
    if (const auto error = disk.make_folders(output.directory)) {
      throw fatal_error(fatal_error::kind::cannot_start,
                        fmt::format("--output-dir {}: cannot be made ({}); choose another place",
                                    output.directory, error.message()));
    }
  }
  std::size_t made = 0;
  try {
    for (auto& job : jobs) {
      job->create();
      ++made;
    }
  } catch (...) {
    for (std::size_t i = 0; i < made; ++i) jobs[i]->take_back();
    throw;
  }
  drained.assign(files.size(), false);
}

job_set::job_set(const std::vector<std::string>& jobs, const job_options& lines,
                 const output_options& output, relay_prices prices) {
  auto disk = system_files(output.mode);
  file_system& used = *disk;
  state_ = std::make_unique<state>(lines, output, std::move(prices), std::move(disk), used);
  state_->open(name_job_files(jobs, output));
  state_->write_checkpoint();
}

job_set::job_set(const std::vector<std::string>& jobs, const job_options& lines,
                 const output_options& output, relay_prices prices, file_system& disk)
    : state_(std::make_unique<state>(lines, output, std::move(prices), nullptr, disk)) {
  state_->open(name_job_files(jobs, output));
  state_->write_checkpoint();
}

job_set::~job_set() = default;

std::optional<request> job_set::next() {
  const std::size_t count = state_->jobs.size();
  for (std::size_t tried = 0; tried < count; ++tried) {
    const std::size_t turn = state_->turn;
    state_->turn = (turn + 1) % count;
    if (state_->drained[turn]) continue;
    if (auto found = state_->jobs[turn]->next_request()) return found;
    state_->drained[turn] = true;
  }
  return std::nullopt;
}

void job_set::cancel() {
  for (auto& job : state_->jobs) job->cancel();
}

funds job_set::reserve(const request& next) {
  return state_->jobs[next.job]->reserve(next);
}

void job_set::unreserve(const request& next) {
  state_->jobs[next.job]->unreserve(next);
}

void job_set::attempt_started(const attempt_record& attempt) {
  state_->jobs[attempt.job]->attempt_started(attempt);
}

bool job_set::must_be_recorded() const {
  return state_->money.has_value();
}

void job_set::record(const std::function<void(std::exception_ptr)>& done) {
  state_->disk.run_aside([this, done] {
    std::error_code error;
    for (const auto& job : state_->jobs) {
      if (!error) error = job->sync_state();
    }
    if (!error) return done(nullptr);
    done(std::make_exception_ptr(fatal_error(
        fatal_error::kind::cannot_write,
        fmt::format("what is reserved of the budget cannot be written ({}); make room or mend the "
                    "disk, and run the same command again",
                    error.message()))));
  });
}

void job_set::attempt_ended(const attempt_record& attempt, attempt_end how) {
  state_->jobs[attempt.job]->attempt_ended(attempt, how);
}

void job_set::put(result&& finished) {
  state_->jobs[finished.job]->put(finished);
}

void job_set::flush() {
  std::exception_ptr fault;
  for (auto& job : state_->jobs) {
    try {
      job->flush();
    } catch (...) {
      fault = std::current_exception();
    }
  }
  if (fault) std::rethrow_exception(fault);
  state_->tell_of_failed_sync();
}

bool job_set::must_be_durable() const {
  return state_->output.durable == durability::each;
}

void job_set::make_durable(const std::function<void(std::exception_ptr)>& done) {
  state_->disk.run_aside([this, done] {
    try {
      for (auto& job : state_->jobs) job->sync();
    } catch (...) {
      return done(std::current_exception());
    }
    done(nullptr);
  });
}

void job_set::sync() {
  if (state_->output.durable != durability::second) return;
  state_->run_aside([this] {
    for (auto& job : state_->jobs) job->sync();
  });
}

void job_set::checkpoint(double run_seconds, std::uint64_t most_in_a_minute) {
  state_->tell_of_failed_sync();
  for (auto& job : state_->jobs) job->require_intact();
  {
    const std::lock_guard lock(state_->mutex);
    if (std::exchange(state_->checkpoint_is_on, true)) return;  // the disk is slow
  }
  const auto steps = std::make_shared<std::vector<job_record::checkpoint_step>>();
  for (auto& job : state_->jobs) {
    steps->push_back(job->begin_checkpoint(job_status::running, run_seconds, most_in_a_minute));
  }
  state_->run_aside([this, steps] {
    const auto over = [this] {
      const std::lock_guard lock(state_->mutex);
      state_->checkpoint_is_on = false;
    };
    try {
      for (std::size_t i = 0; i < steps->size(); ++i) {
        state_->jobs[i]->end_checkpoint(std::move((*steps)[i]));
      }
    } catch (...) {
      over();
      throw;
    }
    over();
  });
}

void job_set::finish(job_status status, double run_seconds, std::uint64_t most_in_a_minute) {
  state_->disk.finish_aside();
  std::exception_ptr fault;
  const auto attempt = [&fault](const std::function<void()>& step) {
    try {
      step();
      return true;
    } catch (...) {
      if (!fault) fault = std::current_exception();
      return false;
    }
  };
  attempt([&] { state_->tell_of_failed_sync(); });
  for (auto& job : state_->jobs) {
    const bool in_order = attempt([&] { job->finish(); });
    const bool unfinished = status == job_status::completed;  // a run that says so left something
    const job_status now = in_order && job->complete() ? job_status::completed
                           : unfinished || !in_order   ? job_status::stopped
                                                       : status;
    attempt(
        [&] { job->end_checkpoint(job->begin_checkpoint(now, run_seconds, most_in_a_minute)); });
  }
  if (fault) std::rethrow_exception(fault);
}

std::uint64_t job_set::unwritten() const {
  std::uint64_t lines = 0;
  for (const auto& job : state_->jobs) lines += job->unwritten();
  return lines;
}

bool job_set::disk_is_full() const {
  return std::any_of(state_->jobs.begin(), state_->jobs.end(),
                     [](const auto& job) { return job->unwritten() > 0 && job->disk_is_full(); });
}

std::vector<job_set::job_summary> job_set::summaries() const {
  std::vector<job_summary> told;
  for (const auto& job : state_->jobs) {
    told.push_back({job->files().job, job->files().output, job->files().errors, job->files().totals,
                    job->to_send(), job->bad_lines(), job->unpriced_models()});
  }
  return told;
}

job_totals job_set::totals(std::size_t job) const {
  return state_->jobs[job]->totals();
}

std::map<std::string, std::string> job_set::failure_reasons(std::size_t job) const {
  return state_->jobs[job]->failure_reasons();
}

std::size_t job_set::size() const noexcept {
  return state_->jobs.size();
}

bool job_set::has_several_models() const {
  std::set<std::string> models;
  for (const auto& job : state_->jobs) {
    models.insert(job->first_models().begin(), job->first_models().end());
  }
  return models.size() > 1;
}

bool job_set::had_success(std::size_t job, std::string_view model) const {
  return state_->jobs[job]->had_success(model);
}

void job_set::look_ahead(std::size_t job, std::size_t count,
                         const std::function<void(std::vector<request>)>& done) {
  state_->disk.run_aside([&record = *state_->jobs[job], count, done] {
    std::vector<request> found;
    try {
      found = record.look_ahead(count);
    } catch (...) {
      found.clear();  // the reader meets the same fault, and the run ends with it
    }
    done(std::move(found));
  });
}

std::string_view job_set::identity(std::size_t job) const {
  return state_->jobs[job]->identity();
}

}  // namespace sluice
