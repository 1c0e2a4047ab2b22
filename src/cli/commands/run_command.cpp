#include "cli/commands/run_command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "cli/balance_warning.hpp"
#include "cli/log_observer.hpp"
#include "cli/named_files.hpp"
#include "cli/settings/relay_setup.hpp"
#include "cli/settings/run_settings.hpp"
#include "cli/views/heading.hpp"
#include "cli/views/progress.hpp"
#include "cli/views/run_summary.hpp"
#include "cli/views/screen.hpp"
#include "cli/views/shown_command.hpp"
#include "http/base_url.hpp"
#include "jobs/job_files.hpp"
#include "simulator/relay.hpp"
#include "sluice/engine.hpp"
#include "sluice/job_set.hpp"
#include "terminal/descriptors.hpp"
#include "terminal/exit_status.hpp"
#include "terminal/interrupts.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::milliseconds live_interval{200};
constexpr std::chrono::seconds plain_interval{10};
constexpr std::chrono::seconds totals_interval{10};
constexpr std::chrono::seconds fault_interval{1};
// So long finished results wait for room on a full disk, once nothing else is left to do.
constexpr std::chrono::seconds longest_wait_for_room{5};
constexpr std::size_t files_of_a_job = 4;  // itself, output, errors and state

[[noreturn]] void refuse(const std::string& sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

// Logs what the jobs warn of, each sentence once.
class job_warnings {
 public:
  explicit job_warnings(const job_set& jobs) : jobs_(jobs) {}
  void log() {
    const auto all = jobs_.warnings();
    for (; logged_ < all.size(); ++logged_) spdlog::warn("{}", all[logged_]);
  }

 private:
  const job_set& jobs_;
  std::size_t logged_ = 0;
};

// What happens beside the run on the same event loop: progress, totals, signals.
class attendant {
 public:
  attendant(engine& attended, job_set& jobs, job_warnings& warnings, screen& shown,
            const run_settings& chosen, interrupts& signals)
      : engine_(attended),
        jobs_(jobs),
        warnings_(warnings),
        screen_(shown),
        chosen_(chosen),
        interrupts_(signals),
        started_(attended.time().now()) {
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const job_totals before = jobs.totals(i);
      done_before_ += before.succeeded + before.failed;
      tokens_before_ += static_cast<std::uint64_t>(before.tokens.total_tokens());
    }
    interrupts_.listen([this] { end_in_order(); }, [this] { engine_.abort(); });
    every(totals_interval, [this] { jobs_.checkpoint(seconds(), engine_.now().most_in_a_minute); });
    every(fault_interval, [this] {
      warnings_.log();
      if (engine_.now().faulted) wind_down();
    });
    if (chosen_.quiet) return;
    if (screen_.is_terminal()) {
      every(live_interval, [this] { screen_.live(progress_line(facts())); });
    } else {
      every(plain_interval, [this] { screen_.line(progress_line(facts())); });
    }
  }
  attendant(const attendant&) = delete;
  attendant& operator=(const attendant&) = delete;
  ~attendant() { leave(); }

  void leave() {
    interrupts_.leave();
    for (const auto& [slot, timer] : timers_) engine_.time().cancel(timer);
    timers_.clear();
    screen_.clear_live();
  }
  double seconds() const {
    return std::chrono::duration<double>(engine_.time().now() - started_).count();
  }
  /// Set when something here failed: the totals cannot be written.
  std::exception_ptr fault() const { return fault_; }

 private:
  void every(duration interval, const std::function<void()>& act) {
    const std::size_t slot = timers_.size();
    timers_[slot] = 0;
    repeat(slot, interval, act);
  }
  void repeat(std::size_t slot, duration interval, const std::function<void()>& act) {
    timers_[slot] = engine_.time().call_at(engine_.time().now() + interval, [=, this] {
      try {
        act();
      } catch (...) {
        if (!fault_) fault_ = std::current_exception();
        wind_down();
        return;
      }
      repeat(slot, interval, act);
    });
  }

  // Nothing new is sent, and what is in flight may finish, but not for long.
  void wind_down() {
    engine_.stop();
    if (std::exchange(winding_down_, true)) return;
    const std::size_t slot = timers_.size();
    timers_[slot] =
        engine_.time().call_at(engine_.time().now() + chosen_.grace, [this] { engine_.abort(); });
  }

  void end_in_order() {
    wind_down();
    spdlog::warn("interrupted: {} in flight may finish within {}; interrupt again to stop at once",
                 engine_.now().in_flight,
                 short_time(std::chrono::duration<double>(chosen_.grace).count()));
  }

  progress_facts facts() const {
    progress_facts told;
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      const job_totals totals = jobs_.totals(i);
      told.total += totals.requests;
      told.succeeded += totals.succeeded;
      told.failed += totals.failed;
      told.tokens_now += static_cast<std::uint64_t>(totals.tokens.total_tokens());
      told.cost += totals.cost;
    }
    const std::uint64_t done = told.succeeded + told.failed;
    told.done_now = done - std::min(done, done_before_);
    told.tokens_now -= std::min(told.tokens_now, tokens_before_);
    told.elapsed_s = seconds();
    told.requests_per_minute = engine_.requests_per_minute();
    told.run = engine_.now();
    if (told.run.next_start) {
      told.until_next_start_s =
          std::chrono::duration<double>(*told.run.next_start - engine_.time().now()).count();
    }
    return told;
  }

  engine& engine_;
  job_set& jobs_;
  job_warnings& warnings_;
  screen& screen_;
  const run_settings& chosen_;
  interrupts& interrupts_;
  time_point started_;
  std::uint64_t done_before_ = 0;
  std::uint64_t tokens_before_ = 0;
  std::map<std::size_t, clock::timer> timers_;
  std::exception_ptr fault_;
  bool winding_down_ = false;
};

job_status status_of(const run_outcome& outcome) {
  switch (outcome.reason) {
    case stop_reason::none:
      return job_status::completed;
    case stop_reason::interrupted:
      return job_status::interrupted;
    default:
      return job_status::stopped;
  }
}

exit_status exit_of(const run_outcome& outcome, bool was_interrupted, const job_set& jobs) {
  switch (outcome.reason) {
    case stop_reason::wrong_address:
    case stop_reason::bad_certificate:
    case stop_reason::bad_proxy:
    case stop_reason::refused_alike:
      return cannot_start;
    case stop_reason::interrupted:
      return interrupted;
    case stop_reason::key_ended:
    case stop_reason::budget_spent:
    case stop_reason::relay_down:
    case stop_reason::model_out:
    case stop_reason::come_back_later:
      return was_interrupted ? interrupted : stopped;
    case stop_reason::none:
      break;
  }
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (jobs.totals(i).failed > 0) return some_failed;
  }
  return success;
}

// As many open files as the system grants: each attempt in flight takes one.
void raise_file_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

// Writes what is still to be written, and waits a little for room on a disk that is full. What went
// wrong in the end; null: all is written.
std::exception_ptr finish(job_set& jobs, job_status status, double seconds, std::uint64_t most,
                          duration patience) {
  const auto end =
      std::chrono::steady_clock::now() + std::min<duration>(patience, longest_wait_for_room);
  for (bool told = false;; told = true) {
    try {
      jobs.finish(status, seconds, most);
      return nullptr;
    } catch (const fatal_error&) {
      if (!jobs.disk_is_full() || std::chrono::steady_clock::now() >= end) {
        return std::current_exception();
      }
    }
    if (!told) spdlog::warn("{} finished result(s) wait for room on the disk", jobs.unwritten());
    std::this_thread::sleep_for(std::chrono::milliseconds{500});
  }
}

bool is_about_writing(const std::exception_ptr& fault) {
  try {
    std::rethrow_exception(fault);
  } catch (const fatal_error& told) {
    return told.why() == fatal_error::kind::cannot_write;
  } catch (...) {
    return false;
  }
}

// Of two faults, the one that decides the exit status is thrown, and the other told before.
[[noreturn]] void end_with(const std::exception_ptr& first, const std::exception_ptr& second,
                           const job_set& jobs, screen& shown) {
  const bool second_counts = second && (!first || is_about_writing(second));
  const auto& last = second_counts ? second : first;
  if (const auto& other = second_counts ? first : second) {
    try {
      std::rethrow_exception(other);
    } catch (const std::exception& told) {
      shown.line(fmt::format("sluice: {}", told.what()));
    }
  }
  if (is_about_writing(last)) {
    const std::uint64_t lost = jobs.unwritten();
    shown.line(lost == 0 ? "sluice: every finished result is in a file"
                         : fmt::format("sluice: {} finished result(s) could not be written and are "
                                       "lost; their requests are sent again, and billed again",
                                       lost));
  }
  std::rethrow_exception(last);
}

void announce(const job_set& jobs, const run_settings& chosen) {
  for (const auto& job : jobs.summaries()) {
    if (job.bad_lines > 0) {
      spdlog::warn("{}: {} bad line(s) will not be sent; see {}", job.job, job.bad_lines,
                   job.errors);
    }
    for (const auto& [model, count] : job.unpriced_models) {
      spdlog::warn(
          "{}: no price for {} ({} request(s)); their cost will be unknown: give one with --prices",
          job.job, model, count);
    }
  }
  warn_of_exposed_keys(chosen.engine);
}

exit_status run_jobs(run_settings& chosen, const std::vector<std::string>& named,
                     const std::vector<std::string>& command_line) {
  screen shown;
  std::vector<std::string> paths;
  std::vector<std::string> results;
  const auto [jobs_named, repeats] = without_repeats(named);
  for (const auto& path : jobs_named) (is_result_file(path) ? results : paths).push_back(path);
  if (paths.empty()) {
    refuse(results.empty() ? "there is no job to run; name a JSONL file"
                           : results.front() + ": holds results, not a job; name a JSONL file");
  }
  require_standard_input(paths);
  if (!chosen.log_file.empty()) {
    require_no_job_file("--log-file", chosen.log_file, name_job_files(paths, chosen.engine.output));
  }
  start_log(shown, chosen.verbose, chosen.quiet, chosen.log_file);
  const auto simulated = chosen.simulate ? start_simulator(chosen) : nullptr;
  if (simulated) chosen.engine.output.simulated = true;
  if (!simulated) require_keys(chosen);
  chosen.engine.check();
  shown.heading(heading(chosen, simulated != nullptr));
  if (!repeats.empty()) spdlog::info("{}", repeats);
  for (const auto& path : results) {
    spdlog::info("{}: holds results, not a job; passed over", path);
  }
  if (!simulated) find_proxies(chosen.engine);
  if (!simulated) {
    share_limit(chosen.engine.pace);
  }
  raise_file_limit();
  chosen.engine.pace.files_of_jobs = paths.size() * files_of_a_job;
  // One thread runs the loop; others only post to it.
  asio::io_context loop(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  engine runner(loop, chosen.engine, &log_observer());
  // The relay gets the key; one that the user has named is named again where it does not answer.
  if (!chosen.config_file.empty() && asks_for_prices(chosen)) shown.show_heading();
  const auto prices = load_prices(chosen);
  job_set jobs(paths, chosen.engine.job, chosen.engine.output, prices);
  job_warnings warnings(jobs);
  warnings.log();
  shown.show_heading();
  announce(jobs, chosen);
  if (!simulated) warn_of_low_balance(chosen, jobs, prices);

  run_outcome outcome;
  std::exception_ptr fault;
  double seconds = 0;
  interrupts signals(loop);
  {
    attendant beside(runner, jobs, warnings, shown, chosen, signals);
    asio::co_spawn(loop, runner.run(jobs, jobs), [&](std::exception_ptr thrown, run_outcome ended) {
      fault = std::move(thrown);
      outcome = std::move(ended);
      seconds = beside.seconds();
      beside.leave();
    });
    loop.run();
    if (!fault) fault = beside.fault();
  }
  const auto unwritten = finish(jobs, fault ? job_status::stopped : status_of(outcome), seconds,
                                runner.now().most_in_a_minute, chosen.grace);
  warnings.log();
  if (fault || unwritten) end_with(fault, unwritten, jobs, shown);

  if (const auto sentence = stop_sentence(outcome); !sentence.empty())
    shown.line("sluice: " + sentence);
  if (!chosen.quiet) {
    shown.line(
        run_summary(jobs, outcome, seconds, without_secrets(command_line, chosen.engine.relays())));
    if (simulated) shown.line(simulated->ledger_summary());
  }
  return exit_of(outcome, signals.came(), jobs);
}

}  // namespace

void add_run_command(CLI::App& program, const std::vector<std::string>& command_line,
                     int& exit_status) {
  struct state {
    run_settings chosen;
    settings flags{run_flags(chosen), run_tables(chosen)};
    std::vector<std::string> jobs;
    std::string config;
  };
  auto kept = std::make_shared<state>();
  auto* command =
      program.add_subcommand("run", "Send every request of the jobs, write results and totals");
  command->add_option("JOB", kept->jobs, "JSONL files (.gz, .zst), or - for standard input");
  command->add_option("--config", kept->config, "Config file (./sluice.toml)")->type_name("FILE");
  kept->flags.add_to(*command);
  command->footer(
      "Running the same command again goes on where it stopped. Exit status: 0 all succeeded,\n"
      "1 some failed, 2 cannot start, 3 stopped early, 4 results not written, 130 interrupted.\n"
      "Proxies come from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY; several relays from\n"
      "[[relay]] tables in the config file.\n"
      "\n"
      "Examples:\n"
      "  sluice run jobs/authenticity.jsonl --simulate --output-dir out\n"
      "  OPENAI_API_KEY=... sluice run job.jsonl --base-url https://relay.example/v1\n"
      "  sluice run a.jsonl b.jsonl.gz --rpm 200 --concurrency 32 --output-dir out\n"
      "  zcat prompts.gz | sluice run - --model gpt-4o-mini -o answers.jsonl");
  command->callback([kept, &command_line, &exit_status] {
    read_settings(kept->flags, kept->config, kept->chosen);
    exit_status = run_jobs(kept->chosen, kept->jobs, command_line);
  });
}

}  // namespace sluice::cli
