#include "cli/run_command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "base_url.hpp"
#include "cli/balance_warning.hpp"
#include "cli/exit_status.hpp"
#include "cli/progress.hpp"
#include "cli/relay_setup.hpp"
#include "cli/run_settings.hpp"
#include "cli/run_summary.hpp"
#include "cli/screen.hpp"
#include "cli/shown_command.hpp"
#include "job_files.hpp"
#include "simulator/relay.hpp"
#include "sluice/engine.hpp"
#include "sluice/job_set.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::milliseconds live_interval{200};
constexpr std::chrono::seconds plain_interval{10};
constexpr std::chrono::seconds totals_interval{10};

[[noreturn]] void refuse(const std::string& sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

// What happens beside the run on the same event loop: progress, totals, signals.
class attendant {
 public:
  attendant(asio::io_context& loop, engine& attended, job_set& jobs, screen& shown,
            const run_settings& chosen)
      : engine_(attended),
        jobs_(jobs),
        screen_(shown),
        chosen_(chosen),
        signals_(loop, SIGINT, SIGTERM),
        started_(attended.time().now()) {
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const job_totals before = jobs.totals(i);
      done_before_ += before.succeeded + before.failed;
      tokens_before_ += static_cast<std::uint64_t>(before.tokens.total_tokens());
    }
    await_signal();
    every(totals_interval, [this] { jobs_.checkpoint(seconds(), engine_.now().most_in_a_minute); });
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
    left_ = true;
    signals_.cancel();
    for (const auto& [slot, timer] : timers_) engine_.time().cancel(timer);
    timers_.clear();
    screen_.clear_live();
  }
  double seconds() const {
    return std::chrono::duration<double>(engine_.time().now() - started_).count();
  }
  bool interrupted() const noexcept { return interrupted_; }
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
        fault_ = std::current_exception();
        engine_.abort();
        return;
      }
      repeat(slot, interval, act);
    });
  }

  void await_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int) {
      if (error || left_) return;
      if (std::exchange(interrupted_, true)) {
        engine_.abort();
        return;
      }
      engine_.stop();
      spdlog::warn(
          "interrupted: {} in flight may finish within {}; interrupt again to stop at once",
          engine_.now().in_flight,
          short_time(std::chrono::duration<double>(chosen_.grace).count()));
      const std::size_t slot = timers_.size();
      timers_[slot] =
          engine_.time().call_at(engine_.time().now() + chosen_.grace, [this] { engine_.abort(); });
      await_signal();
    });
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
  screen& screen_;
  const run_settings& chosen_;
  asio::signal_set signals_;
  time_point started_;
  std::uint64_t done_before_ = 0;
  std::uint64_t tokens_before_ = 0;
  std::map<std::size_t, clock::timer> timers_;
  std::exception_ptr fault_;
  bool interrupted_ = false;
  bool left_ = false;
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
  if (chosen.engine.output.simulated)
    spdlog::info("simulated relay: no key, no network, no real cost");
}

exit_status run_jobs(run_settings& chosen, const std::vector<std::string>& named,
                     const std::vector<std::string>& command_line) {
  screen shown;
  start_log(shown, chosen.verbose, chosen.quiet, chosen.log_file);
  std::vector<std::string> paths;
  const auto [jobs_named, repeats] = without_repeats(named);
  if (!repeats.empty()) spdlog::info("{}", repeats);
  for (const auto& path : jobs_named) {
    if (is_result_file(path)) {
      spdlog::info("{}: holds results, not a job; passed over", path);
    } else {
      paths.push_back(path);
    }
  }
  if (paths.empty()) refuse("there is no job to run; name a JSONL file");
  const auto simulated = chosen.simulate ? start_simulator(chosen) : nullptr;
  if (simulated) chosen.engine.output.simulated = true;
  if (!simulated) require_keys(chosen);
  chosen.engine.check();
  if (!simulated) find_proxies(chosen.engine);
  if (!simulated) {
    share_limit(chosen.engine.pace);
  }
  raise_file_limit();
  // One thread runs the loop; others only post to it.
  asio::io_context loop(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  engine runner(loop, chosen.engine);
  const auto prices = load_prices(chosen);
  job_set jobs(paths, chosen.engine.job, chosen.engine.output, prices);
  announce(jobs, chosen);
  if (!simulated) warn_of_low_balance(chosen, jobs, prices);

  run_outcome outcome;
  std::exception_ptr fault;
  double seconds = 0;
  bool was_interrupted = false;
  {
    attendant beside(loop, runner, jobs, shown, chosen);
    asio::co_spawn(loop, runner.run(jobs, jobs), [&](std::exception_ptr thrown, run_outcome ended) {
      fault = std::move(thrown);
      outcome = std::move(ended);
      seconds = beside.seconds();
      beside.leave();
    });
    loop.run();
    if (!fault) fault = beside.fault();
    was_interrupted = beside.interrupted();
  }
  const auto most = runner.now().most_in_a_minute;
  if (fault) {
    outcome.reason = stop_reason::interrupted;
    try {
      jobs.finish(job_status::stopped, seconds, most);
    } catch (const fatal_error&) {  // the first fault is the one to tell
    }
    std::rethrow_exception(fault);
  }
  jobs.finish(status_of(outcome), seconds, most);

  if (const auto sentence = stop_sentence(outcome); !sentence.empty())
    shown.line("sluice: " + sentence);
  if (!chosen.quiet) {
    shown.line(
        run_summary(jobs, outcome, seconds, without_secrets(command_line, chosen.engine.relays())));
    if (simulated) shown.line(simulated->ledger_summary());
  }
  return exit_of(outcome, was_interrupted, jobs);
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
    kept->flags.apply(find_config(kept->config));
    if (kept->flags.on_line("base-url")) kept->chosen.engine.pool.clear();
    exit_status = run_jobs(kept->chosen, kept->jobs, command_line);
  });
}

}  // namespace sluice::cli
