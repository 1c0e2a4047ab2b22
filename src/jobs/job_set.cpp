#include "sluice/job_set.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <mutex>
#include <set>
#include <stdexcept>
#include <utility>
#include <variant>

#include "base/translated_error.hpp"
#include "files/file_system.hpp"
#include "jobs/job_steps.hpp"
#include "jobs/running_job.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

namespace fs = std::filesystem;

void require_writable(file_system& disk, const fs::path& directory) {
  const std::string name = directory.empty() ? "." : directory.string();
  if (disk.is_writable_folder(name)) return;
  refuse(worded("{}: results cannot be written there; choose another place with --output-dir or -o",
                name));
}

// The disk space to keep free for the results of one job, if there are this many jobs. It is
// usually more than the results of a thousand attempts in flight.
std::uint64_t room_for(std::size_t jobs) {
  constexpr std::uint64_t all = std::uint64_t{64} << 20;
  constexpr std::uint64_t most = std::uint64_t{4} << 20;
  constexpr std::uint64_t least = std::uint64_t{256} << 10;
  return std::clamp(all / std::max<std::uint64_t>(jobs, 1), least, most);
}

}  // namespace

struct job_set::state {
  // `given`: null: use the system's own file system.
  state(const job_options& chosen, const output_options& results, relay_prices charged,
        file_system* given)
      : lines(chosen),
        output(results),
        prices(std::move(charged)),
        owned_disk(given == nullptr ? system_files(results.mode, warner()) : nullptr),
        disk(given == nullptr ? *owned_disk : *given) {
    if (output.budget) money.emplace(*output.budget);
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  ~state() { disk.finish_background(); }

  // Guards the following members, and the change of a job from running to finished.
  mutable std::mutex mutex;
  std::vector<std::string> warnings;
  std::exception_ptr sync_failure;  // of a sync in the background
  bool checkpoint_is_on = false;

  const job_options lines;
  const output_options output;
  const relay_prices prices;
  std::unique_ptr<file_system> owned_disk;
  file_system& disk;
  std::optional<budget> money;
  std::optional<budget_shortage> too_dear;
  std::vector<std::variant<std::unique_ptr<running_job>, finished_job>> jobs;
  // Wakes a next() that waits for a result; only with group_prefixes.
  std::condition_variable woken;
  std::uint64_t wakes = 0;
  std::vector<bool> drained;
  std::size_t turn = 0;

  void open(const std::vector<job_files>& files);
  std::vector<scanned_job> scan(const std::vector<job_files>& files);
  std::vector<created_job> create(std::vector<scanned_job>&& scanned);

  const running_job& job(std::size_t index) const;
  running_job& running(std::size_t index);
  // Visits no job when the run is over.
  template <typename Visit>
  void for_each_running(const Visit& visit) {
    for (auto& job : jobs) {
      if (auto* going = std::get_if<std::unique_ptr<running_job>>(&job)) visit(**going);
    }
  }

  // The caller holds the mutex.
  void wake() {
    ++wakes;
    woken.notify_all();
  }
  std::function<void(const std::string&)> warner();
  void tell_of_failed_sync();
  void run_in_background(const std::function<void()>& slow);
  void search(running_job& job, const std::shared_ptr<running_job::ahead_search>& begun,
              const std::function<void(std::vector<request>)>& done);
};

// The job, whether it is running or finished.
const running_job& job_set::state::job(std::size_t index) const {
  if (const auto* ended = std::get_if<finished_job>(&jobs[index])) return ended->job();
  return *std::get<std::unique_ptr<running_job>>(jobs[index]);
}

// Throws if a run gives results after finish(), which is an error of the caller.
running_job& job_set::state::running(std::size_t index) {
  auto* going = std::get_if<std::unique_ptr<running_job>>(&jobs.at(index));
  if (going == nullptr) throw std::logic_error("job_set: the run is over");
  return **going;
}

std::function<void(const std::string&)> job_set::state::warner() {
  return [this](const std::string& sentence) {
    const std::lock_guard lock(mutex);
    warnings.push_back(sentence);
  };
}

void job_set::state::tell_of_failed_sync() {
  const std::lock_guard lock(mutex);
  if (sync_failure) std::rethrow_exception(sync_failure);
}

// If `slow` throws, the next call reports the exception.
void job_set::state::run_in_background(const std::function<void()>& slow) {
  disk.run_in_background([this, slow] {
    try {
      slow();
    } catch (...) {
      const std::lock_guard lock(mutex);
      sync_failure = std::current_exception();
    }
  });
}

// Reads the job in parts, so that other work of the disk need not wait for the whole search.
void job_set::state::search(running_job& job,
                            const std::shared_ptr<running_job::ahead_search>& begun,
                            const std::function<void(std::vector<request>)>& done) {
  disk.run_in_background([this, &job, begun, done] {
    bool is_over = true;
    try {
      is_over = job.look_ahead(*begun);
    } catch (...) {
      begun->found.clear();  // the reader will find the same error, and the run ends with it
    }
    if (is_over) {
      done(std::move(begun->found));
    } else {
      search(job, begun, done);
    }
  });
}

// Reads every job and the files of its earlier runs. No file changes before all jobs have been
// read. After that, only the files of jobs with outdated results change.
std::vector<scanned_job> job_set::state::scan(const std::vector<job_files>& files) {
  std::vector<loaded_job> loaded;
  for (std::size_t i = 0; i < files.size(); ++i) {
    loaded.emplace_back(job_setup{.index = i,
                                  .files = files[i],
                                  .lines = lines,
                                  .output = output,
                                  .prices = prices,
                                  .disk = disk,
                                  .shared = money ? &*money : nullptr,
                                  .room = room_for(files.size()),
                                  .warn = warner()});
  }
  std::vector<std::variant<scanned_job, outdated_job>> scanned;
  scanned.reserve(loaded.size());
  for (auto& job : loaded) scanned.push_back(std::move(job).scan());
  std::vector<scanned_job> ready;
  for (auto& job : scanned) {
    while (auto* outdated = std::get_if<outdated_job>(&job)) {
      job = std::move(*outdated).make_room().scan();
    }
    ready.push_back(std::get<scanned_job>(std::move(job)));
  }
  return ready;
}

// If one job throws, the files created for the others are removed.
std::vector<created_job> job_set::state::create(std::vector<scanned_job>&& scanned) {
  std::vector<created_job> created;
  created.reserve(scanned.size());
  for (auto& job : scanned) created.push_back(std::move(job).create());
  return created;
}

void job_set::state::open(const std::vector<job_files>& files) {
  for (const auto& job : files) {
    // Throws if the file is missing or is not a job.
    if (job.job != "-") (void)open_job(job.job, lines);
    if (output.directory.empty()) {
      require_writable(disk, fs::path(job.output).parent_path());
    } else {
      fs::path nearest = output.directory;
      while (!nearest.empty() && !disk.exists(nearest.string())) nearest = nearest.parent_path();
      require_writable(disk, nearest);
    }
  }
  auto scanned = scan(files);
  if (!output.directory.empty()) {
    if (const auto error = disk.make_folders(output.directory)) {
      throw fatal_error(fatal_error::kind::cannot_start,
                        fmt::format("--output-dir {}: cannot be made ({}); choose another place",
                                    output.directory, error.message()));
    }
  }
  try {
    for (auto& job : create(std::move(scanned))) jobs.emplace_back(std::move(job).start());
    drained.assign(files.size(), false);
    for_each_running([](running_job& job) {
      job.end_checkpoint(job.begin_checkpoint(job_status::running, 0, 0));
    });
  } catch (...) {
    for_each_running([](running_job& job) { job.take_back(); });
    throw;
  }
}

job_set::job_set(const std::vector<std::string>& jobs, const job_options& lines,
                 const output_options& output, relay_prices prices)
    : state_(std::make_unique<state>(lines, output, std::move(prices), nullptr)) {
  state_->open(name_job_files(jobs, output));
}

job_set::job_set(const std::vector<std::string>& jobs, const job_options& lines,
                 const output_options& output, relay_prices prices, file_system& disk)
    : state_(std::make_unique<state>(lines, output, std::move(prices), &disk)) {
  state_->open(name_job_files(jobs, output));
}

job_set::~job_set() = default;

const relay_prices& job_set::prices() const noexcept {
  return state_->prices;
}

std::optional<request> job_set::next() {
  const std::size_t count = state_->jobs.size();
  for (;;) {
    std::uint64_t wakes = 0;
    {
      const std::lock_guard lock(state_->mutex);
      wakes = state_->wakes;
    }
    std::optional<time_point> wait_until;
    for (std::size_t tried = 0; tried < count; ++tried) {
      const std::size_t turn = state_->turn;
      state_->turn = (turn + 1) % count;
      if (state_->drained[turn]) continue;
      running_job& job = state_->running(turn);
      if (auto found = job.next_request()) return found;
      if (const auto until = job.waits_until()) {
        wait_until = std::min(wait_until.value_or(*until), *until);
      } else {
        state_->drained[turn] = true;
      }
    }
    if (!wait_until) return std::nullopt;
    std::unique_lock lock(state_->mutex);
    state_->woken.wait_until(lock, *wait_until, [&] { return state_->wakes != wakes; });
  }
}

void job_set::cancel() {
  const std::lock_guard lock(state_->mutex);
  state_->for_each_running([](running_job& job) { job.cancel(); });
  state_->wake();
}

funds job_set::reserve(const request& next) {
  const funds answer = state_->running(next.job).reserve(next);
  if (answer == funds::reserved) {
    state_->too_dear.reset();
  } else {
    const usd left = state_->money->left();
    state_->too_dear = {next.most, left, reply_limit_within(left, next)};
  }
  return answer;
}

usd job_set::budget_left() const {
  return state_->money ? state_->money->left() : usd{};
}

void job_set::spent_elsewhere(usd amount) {
  if (state_->money) state_->money->add_spent(amount);
}

std::optional<job_set::budget_shortage> job_set::shortage() const {
  return state_->too_dear;
}

void job_set::unreserve(const request& next) {
  state_->running(next.job).unreserve(next);
}

void job_set::attempt_started(const attempt_record& attempt) {
  state_->running(attempt.job).attempt_started(attempt);
}

bool job_set::must_be_recorded() const {
  return true;
}

// With a budget, or if each result must be on the disk, the records must be on the disk, too.
void job_set::record(const std::function<void(std::exception_ptr)>& done) {
  state_->for_each_running([](running_job& job) { job.write_records(); });
  if (!state_->money && !must_be_durable()) return done(nullptr);
  state_->disk.run_in_background([this, done] {
    std::error_code error;
    state_->for_each_running([&](running_job& job) {
      if (!error) error = job.sync_state();
    });
    if (!error) return done(nullptr);
    done(std::make_exception_ptr(translated_error(
        fatal_error::kind::cannot_write,
        worded("the records of attempts cannot be written ({}); make room or fix the disk, and "
               "run the same command again",
               error.message()))));
  });
}

void job_set::attempt_ended(const attempt_record& attempt, attempt_end how) {
  state_->running(attempt.job).attempt_ended(attempt, how);
}

bool job_set::examines_replies() const {
  return state_->lines.expect != nullptr;
}

reply_verdict job_set::examine(request& asked, const result& finished) {
  return state_->running(finished.job).examine(asked, finished);
}

// Requests with the same opening do not wait for it any longer.
void job_set::left_pending(const request& left) {
  if (!state_->lines.group_prefixes) return;
  state_->running(left.job).left_pending(left);
  const std::lock_guard lock(state_->mutex);
  state_->wake();
}

void job_set::put(result&& finished) {
  state_->running(finished.job).put(finished);
  if (!state_->lines.group_prefixes) return;
  const std::lock_guard lock(state_->mutex);
  state_->wake();
}

void job_set::flush() {
  std::exception_ptr fault;
  state_->for_each_running([&](running_job& job) {
    try {
      job.flush();
    } catch (...) {
      fault = std::current_exception();
    }
  });
  if (fault) std::rethrow_exception(fault);
  state_->tell_of_failed_sync();
}

bool job_set::must_be_durable() const {
  return state_->output.durable == durability::each;
}

void job_set::make_durable(const std::function<void(std::exception_ptr)>& done) {
  state_->disk.run_in_background([this, done] {
    try {
      state_->for_each_running([](running_job& job) { job.sync(); });
    } catch (...) {
      return done(std::current_exception());
    }
    done(nullptr);
  });
}

void job_set::sync() {
  if (state_->output.durable != durability::second) return;
  state_->run_in_background(
      [this] { state_->for_each_running([](running_job& job) { job.sync(); }); });
}

void job_set::set_rate_limit(std::uint64_t requests_per_minute) {
  state_->for_each_running(
      [requests_per_minute](running_job& job) { job.set_rate_limit(requests_per_minute); });
}

void job_set::checkpoint(double run_seconds, std::uint64_t most_in_a_minute) {
  state_->tell_of_failed_sync();
  state_->for_each_running([](running_job& job) { job.require_intact(); });
  {
    const std::lock_guard lock(state_->mutex);
    if (std::exchange(state_->checkpoint_is_on, true)) return;  // the last one still runs
  }
  using begun_step = std::pair<running_job*, result_files::checkpoint>;
  const auto steps = std::make_shared<std::vector<begun_step>>();
  state_->for_each_running([&](running_job& job) {
    steps->emplace_back(&job,
                        job.begin_checkpoint(job_status::running, run_seconds, most_in_a_minute));
  });
  state_->run_in_background([this, steps] {
    const auto over = [this] {
      const std::lock_guard lock(state_->mutex);
      state_->checkpoint_is_on = false;
    };
    try {
      for (auto& [job, step] : *steps) job->end_checkpoint(std::move(step));
    } catch (...) {
      over();
      throw;
    }
    over();
  });
}

void job_set::finish(job_status status, double run_seconds, std::uint64_t most_in_a_minute) {
  state_->disk.finish_background();
  {
    const std::lock_guard lock(state_->mutex);
    for (auto& job : state_->jobs) {
      if (auto* going = std::get_if<std::unique_ptr<running_job>>(&job)) {
        job = finished_job(std::move(*going));
      }
    }
    state_->drained.assign(size(), true);
  }
  std::exception_ptr fault;
  const auto attempt = [&fault](const std::function<void()>& step) {
    try {
      step();
    } catch (...) {
      if (!fault) fault = std::current_exception();
    }
  };
  attempt([&] { state_->tell_of_failed_sync(); });
  for (auto& job : state_->jobs) {
    attempt([&] { std::get<finished_job>(job).write(status, run_seconds, most_in_a_minute); });
  }
  if (fault) std::rethrow_exception(fault);
}

std::uint64_t job_set::unwritten() const {
  std::uint64_t lines = 0;
  for (std::size_t i = 0; i < size(); ++i) lines += state_->job(i).unwritten();
  return lines;
}

bool job_set::disk_is_full() const {
  for (std::size_t i = 0; i < size(); ++i) {
    const running_job& job = state_->job(i);
    if (job.unwritten() > 0 && job.disk_is_full()) return true;
  }
  return false;
}

bool job_set::lacks_sync() const {
  for (std::size_t i = 0; i < size(); ++i) {
    if (state_->job(i).lacks_sync()) return true;
  }
  return false;
}

std::vector<std::string> job_set::warnings() const {
  const std::lock_guard lock(state_->mutex);
  return state_->warnings;
}

std::vector<job_set::job_summary> job_set::summaries() const {
  std::vector<job_summary> told;
  for (std::size_t i = 0; i < size(); ++i) {
    const running_job& job = state_->job(i);
    const job_files& files = job.files();
    told.push_back({files.job, files.output, files.errors, files.totals, job.to_send(),
                    job.copies(), job.bad_lines(), job.unpriced_models()});
  }
  return told;
}

job_totals job_set::totals(std::size_t job) const {
  return state_->job(job).totals();
}

std::set<std::string> job_set::missing_models(std::size_t job) const {
  return state_->job(job).missing_models();
}

std::map<std::string, std::string> job_set::failure_reasons(std::size_t job) const {
  return state_->job(job).failure_reasons();
}

std::size_t job_set::size() const noexcept {
  return state_->jobs.size();
}

bool job_set::has_several_models() const {
  std::set<std::string> models;
  for (std::size_t i = 0; i < size(); ++i) {
    models.insert(state_->job(i).models().begin(), state_->job(i).models().end());
  }
  return models.size() > 1;
}

bool job_set::had_success(std::size_t job, std::string_view model) const {
  return state_->job(job).had_success(model);
}

void job_set::look_ahead(std::size_t job, std::size_t count,
                         const std::function<void(std::vector<request>)>& done) {
  state_->search(state_->running(job), std::make_shared<running_job::ahead_search>(count), done);
}

std::string_view job_set::identity(std::size_t job) const {
  return state_->job(job).identity();
}

}  // namespace sluice
