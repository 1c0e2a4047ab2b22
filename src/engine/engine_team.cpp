#include "engine/engine_team.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "async/wait_queue.hpp"
#include "engine/joint_job.hpp"
#include "sluice/error.hpp"
#include "upstream/joint_starts.hpp"
#include "upstream/private_windows.hpp"
#include "upstream/relays.hpp"

namespace sluice {
namespace {

namespace asio = boost::asio;

/// A folder for the windows of one team; it is removed with its content.
class private_folder {
 public:
  /// Makes it in the first of these folders that allows it. The path is empty if none does.
  explicit private_folder(const std::vector<std::string>& parents) {
    for (const std::string& parent : parents) {
      path_ = parent + "/sluice-XXXXXX";
      if (::mkdtemp(path_.data()) != nullptr) return;
    }
    path_.clear();
  }
  private_folder(const private_folder&) = delete;
  private_folder& operator=(const private_folder&) = delete;
  ~private_folder() {
    if (path_.empty()) return;
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

// A folder in memory that most systems have, also if the disk is full or read-only.
constexpr const char* in_memory = "/dev/shm";

std::string temporary_folder() {
  const char* const chosen = std::getenv("TMPDIR");
  return chosen != nullptr && *chosen != '\0' ? chosen : "/tmp";
}

[[noreturn]] void refuse_without_folder() {
  throw fatal_error(
      fatal_error::kind::cannot_start,
      fmt::format("no folder for the limit of several threads can be made in {} ({}); set TMPDIR "
                  "to a folder that can be written, or leave out --threads",
                  temporary_folder(), std::strerror(errno)));
}

// The part of an engine in `all`, which several engines share evenly.
unsigned share_of(std::size_t all, std::size_t engines, std::size_t number) {
  return static_cast<unsigned>(all / engines + (number < all % engines ? 1 : 0));
}

// Passes the notices of an engine to a listener on another thread.
class forwarded_notices final : public observer {
 public:
  forwarded_notices(asio::io_context& loop, observer& listener)
      : loop_(loop), listener_(listener) {}
  void on_notice(const notice& event) override {
    asio::post(loop_, [&listener = listener_, level = event.level, run = std::string(event.run),
                       text = std::string(event.text)] {
      listener.on_notice({level, run, text});
    });
  }
  bool wants(severity level) const override { return listener_.wants(level); }

 private:
  asio::io_context& loop_;
  observer& listener_;
};

// Adds the status of another engine that works on the same job.
void add(run_status& sum, const run_status& more) {
  sum.in_flight += more.in_flight;
  sum.waiting += more.waiting;
  sum.queued += more.queued;
  sum.reading = sum.reading || more.reading;
  sum.started_last_minute += more.started_last_minute;
  sum.most_in_a_minute = std::max(sum.most_in_a_minute, more.most_in_a_minute);
  if (more.next_start && (!sum.next_start || *more.next_start < *sum.next_start)) {
    sum.next_start = more.next_start;
    sum.cause = more.cause;
  }
  if (!sum.pause) sum.pause = more.pause;
  sum.full = sum.full || more.full;
  sum.slowed = sum.slowed || more.slowed;
  sum.waiting_for_budget += more.waiting_for_budget;
  sum.waiting_for_model += more.waiting_for_model;
  sum.one_at_a_time = sum.one_at_a_time || more.one_at_a_time;
  sum.faulted = sum.faulted || more.faulted;
}

}  // namespace

run_outcome joined(const run_outcome& first, const run_outcome& second) {
  run_outcome stop;
  run_outcome job;
  run_outcome model;
  const auto note = [&](const run_outcome& why) {
    run_outcome& known = why.reason == stop_reason::refused_alike ? job
                         : why.reason == stop_reason::model_out   ? model
                                                                  : stop;
    if (known.reason == stop_reason::none) known = why;
  };
  for (const run_outcome* each : {&first, &second}) {
    note(*each);
    note({each->gave_up, each->gave_up_message});
  }
  const run_outcome none;
  const bool stopped = stop.reason != stop_reason::none;
  const bool lost_job = job.reason != stop_reason::none;
  run_outcome both = stopped ? stop : lost_job ? job : model;
  const run_outcome& beside = stopped && lost_job ? job : stopped || lost_job ? model : none;
  both.gave_up = beside.reason;
  both.gave_up_message = beside.message;
  return both;
}

// An engine with its own thread.
class threaded_engine {
 public:
  threaded_engine(const config& options, std::unique_ptr<observer> notices)
      : notices_(std::move(notices)), runner_(loop_, options, notices_.get()) {}

  asio::io_context& loop() noexcept { return loop_; }
  engine& runner() noexcept { return runner_; }

  /// The last status that the engine reported, from any thread. Asks for the next one.
  run_status status() {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(asked_, true)) asio::post(loop_, [this] { report(); });
    return status_;
  }
  /// Call it on its thread.
  void report() {
    const run_status fresh = runner_.now();
    const std::lock_guard lock(mutex_);
    status_ = fresh;
    asked_ = false;
  }

 private:
  // One thread runs the loop; others only post to it.
  asio::io_context loop_{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  std::unique_ptr<observer> notices_;
  engine runner_;
  std::mutex mutex_;
  run_status status_;
  bool asked_ = false;  // a report is on its way
};

struct engine_team::parts {
  parts(asio::io_context& context, const config& settings, unsigned threads, observer* listener)
      : loop(context), options(settings) {
    options.check();
    const std::size_t engines = std::max(threads, 1U);
    if (engines > 1) prepare(engines);
    first.emplace(loop, of(0, engines), listener);
    if (engines > 1) join(*first);
    for (std::size_t i = 1; i < engines; ++i) {
      auto notices =
          listener == nullptr ? nullptr : std::make_unique<forwarded_notices>(loop, *listener);
      others.push_back(std::make_unique<threaded_engine>(of(i, engines), std::move(notices)));
      join(others.back()->runner());
    }
  }

  void join(engine& one) const {
    one.relays().gate().count_in(starts);
    one.relays().fall_back_to(windows);
  }

  void prepare(std::size_t engines) {
    pace_options& pace = options.pace;
    if (pace.limit_folder.empty()) {
      pace.limit_folder =
          folder.emplace(std::vector<std::string>{temporary_folder(), in_memory}).path();
      if (pace.limit_folder.empty()) refuse_without_folder();
    }
    // The disk may be full, so memory comes first.
    windows = std::make_shared<private_windows>([this] {
      return fallback.emplace(std::vector<std::string>{in_memory, temporary_folder()}).path();
    });
    // Each engine must have a place.
    all_in_flight = std::max(upstream::most_in_flight(pace), engines);
  }

  // The options of one of the engines. The connections of the others need files, too.
  config of(std::size_t number, std::size_t engines) const {
    config one = options;
    if (engines == 1) return one;
    pace_options& pace = one.pace;
    pace.concurrency = share_of(all_in_flight, engines, number);
    pace.files_of_jobs +=
        all_in_flight - pace.concurrency + (engines - 1) * upstream::relays::other_files;
    if (pace.seed != 0) pace.seed += number;
    return one;
  }

  asio::io_context& loop;
  config options;
  std::optional<private_folder> folder;
  std::optional<private_folder> fallback;  // `windows` makes it
  std::shared_ptr<private_windows> windows;
  std::size_t all_in_flight = 0;
  const std::shared_ptr<joint_starts> starts = std::make_shared<joint_starts>();
  joint_job* job = nullptr;  // of the run; null: there is none
  std::optional<engine> first;
  std::vector<std::unique_ptr<threaded_engine>> others;
};

engine_team::engine_team(asio::io_context& loop, const config& options, unsigned threads,
                         observer* listener)
    : parts_(std::make_unique<parts>(loop, options, threads, listener)) {}

engine_team::~engine_team() = default;

run_status engine_team::now() const {
  run_status sum = parts_->first->now();
  std::uint64_t mine = 0;
  for (const auto& each : parts_->others) {
    const run_status more = each->status();
    mine += more.started_last_minute;
    add(sum, more);
  }
  // For the first engine, the starts of the other threads are those of others.
  sum.started_by_others -= std::min(sum.started_by_others, mine);
  return sum;
}

unsigned engine_team::requests_per_minute() const noexcept {
  return parts_->first->requests_per_minute();
}

clock& engine_team::time() noexcept {
  return parts_->first->time();
}

live_limits engine_team::limits() const {
  live_limits now = parts_->first->limits();
  if (!parts_->others.empty()) now.concurrency = static_cast<unsigned>(parts_->all_in_flight);
  return now;
}

void engine_team::set_limits(const live_limits& fresh) {
  const std::size_t engines = parts_->others.size() + 1;
  if (engines == 1) return parts_->first->set_limits(fresh);
  pace_options pace = parts_->options.pace;
  pace.concurrency = fresh.concurrency;
  const std::size_t all = std::max(upstream::most_in_flight(pace), engines);
  live_limits part = fresh;
  part.concurrency = share_of(all, engines, 0);
  parts_->first->set_limits(part);
  parts_->all_in_flight = all;
  if (parts_->job != nullptr) parts_->job->set_in_flight(part.concurrency);
  for (std::size_t i = 1; i < engines; ++i) {
    part.concurrency = share_of(all, engines, i);
    threaded_engine& other = *parts_->others[i - 1];
    asio::post(other.loop(), [&other, part] {
      try {
        other.runner().set_limits(part);
      } catch (const fatal_error&) {
        // The first engine accepted limits that are as high or higher, so the files are enough.
      }
    });
  }
}

struct team_run::parts {
  parts(engine_team::parts& team, request_source& requests, result_sink& results)
      : parent(team),
        job(requests, results, share_of(team.all_in_flight, team.others.size() + 1, 0)) {
    if (parent.others.empty()) {
      runs.emplace_back(std::make_unique<engine_run>(*parent.first, requests, results));
      return;
    }
    parent.job = &job;
    members.push_back(
        job.add([this] { asio::post(parent.loop, [this] { runs.front()->funds_changed(); }); }));
    runs.push_back(std::make_unique<engine_run>(*parent.first, *members.back(), *members.back()));
    for (const auto& each : parent.others) {
      const std::size_t number = runs.size();
      members.push_back(job.add([this, number, &each = *each] {
        asio::post(each.loop(), [this, number] { runs[number]->funds_changed(); });
      }));
      runs.push_back(
          std::make_unique<engine_run>(each->runner(), *members.back(), *members.back()));
    }
    for (std::size_t i = 0; i < runs.size(); ++i) {
      runs[i]->on_stop([this, i](const run_outcome& why) { on_stop(i, why); });
    }
  }

  parts(const parts&) = delete;
  parts& operator=(const parts&) = delete;
  ~parts() { parent.job = nullptr; }

  // Calls the run of every engine on its thread.
  template <typename Call>
  void each_run(Call call) {
    call(*runs.front());
    for (std::size_t i = 1; i < runs.size(); ++i) {
      asio::post(parent.others[i - 1]->loop(), [&run = *runs[i], call] { call(run); });
    }
  }

  // One of the runs stops, for a reason that holds for the whole job. The others must not take the
  // end of the source for the end of the job: they would decide the failures that they still hold
  // back. Called on the thread of the run.
  void on_stop(std::size_t number, const run_outcome& why) {
    for (std::size_t i = 0; i < runs.size(); ++i) {
      if (i == number) continue;
      asio::io_context& other = i == 0 ? parent.loop : parent.others[i - 1]->loop();
      asio::post(other, [&run = *runs[i], why] { run.stop(why); });
    }
  }

  // A run has ended. Called on the thread of the team.
  void on_end(std::exception_ptr thrown, const run_outcome& ended) {
    if (thrown && !fault) {
      fault = std::move(thrown);
      each_run([](engine_run& run) { run.stop(); });
    }
    outcome = joined(outcome, ended);
    --active;
    changed.wake_all();
  }

  engine_team::parts& parent;
  joint_job job;
  std::vector<std::unique_ptr<joint_job::member>> members;  // none for a single engine
  std::vector<std::unique_ptr<engine_run>> runs;
  std::size_t active = 0;
  wait_queue changed;
  std::exception_ptr fault;
  run_outcome outcome;
};

team_run::team_run(engine_team& parent, request_source& source, result_sink& sink)
    : parts_(std::make_unique<parts>(*parent.parts_, source, sink)) {}

team_run::~team_run() = default;

asio::awaitable<run_outcome> team_run::work() {
  parts& all = *parts_;
  if (all.runs.size() == 1) {
    run_outcome only = co_await all.runs.front()->work();
    co_return only;
  }
  const auto loop = co_await asio::this_coro::executor;
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  const asio::executor_work_guard<asio::any_io_executor> waits(loop);
  all.active = all.runs.size();
  std::vector<std::jthread> threads;
  for (std::size_t i = 1; i < all.runs.size(); ++i) {
    threaded_engine& other = *all.parent.others[i - 1];
    asio::co_spawn(other.loop(), all.runs[i]->work(),
                   [&all, &other, loop](std::exception_ptr thrown, const run_outcome& ended) {
                     other.report();
                     asio::post(loop, [&all, thrown = std::move(thrown), ended]() mutable {
                       all.on_end(std::move(thrown), ended);
                     });
                   });
    threads.emplace_back([&other] { other.loop().run(); });
  }
  asio::co_spawn(loop, all.runs.front()->work(),
                 [&all](std::exception_ptr thrown, const run_outcome& ended) {
                   all.on_end(std::move(thrown), ended);
                 });
  while (all.active > 0) co_await all.changed.wait();
  threads.clear();  // their loops have little left to do
  if (all.fault) std::rethrow_exception(all.fault);
  co_return all.outcome;
}

void team_run::stop() {
  parts_->each_run([](engine_run& run) { run.stop(); });
}

void team_run::abort() {
  parts_->each_run([](engine_run& run) { run.abort(); });
}

std::unique_lock<std::recursive_mutex> team_run::hold_sink() const {
  return parts_->job.hold();
}

}  // namespace sluice
