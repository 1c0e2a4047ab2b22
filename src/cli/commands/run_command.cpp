#include "cli/commands/run_command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

#include "base/translated_error.hpp"
#include "cli/balance_warning.hpp"
#include "cli/closing_time.hpp"
#include "cli/end_notice.hpp"
#include "cli/graceful_stop.hpp"
#include "cli/log_entry.hpp"
#include "cli/log_notes.hpp"
#include "cli/log_observer.hpp"
#include "cli/machine_limits.hpp"
#include "cli/named_files.hpp"
#include "cli/outcome_status.hpp"
#include "cli/screen/progress_display.hpp"
#include "cli/screen/screen.hpp"
#include "cli/screen/wait_notice.hpp"
#include "cli/settings/cluster_settings.hpp"
#include "cli/settings/dataset_settings.hpp"
#include "cli/settings/limit_reload.hpp"
#include "cli/settings/prepared_relays.hpp"
#include "cli/settings/run_settings.hpp"
#include "cli/table_job.hpp"
#include "engine/engine_team.hpp"
#include "jobs/job_files.hpp"
#include "json/text.hpp"
#include "sluice/job_set.hpp"
#include "terminal/descriptors.hpp"
#include "terminal/exit_status.hpp"
#include "terminal/service_manager.hpp"
#include "terminal/user_signals.hpp"
#include "views/progress.hpp"
#include "views/run_summary.hpp"
#include "views/shown_command.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::seconds totals_interval{10};
constexpr std::chrono::seconds fault_interval{1};
// If nothing else is left to do, the maximum wait for space on a full disk.
constexpr std::chrono::seconds longest_wait_for_room{5};
constexpr std::size_t files_of_a_job = 4;  // the job, its output, its errors and its state

// Logs each warning of the jobs once.
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

// Works on the same event loop as the run: shows the progress, rewrites the totals, and stops the
// run if a file cannot be written.
class run_monitor {
 public:
  run_monitor(engine_team& watched, const team_run& run, job_set& jobs, job_warnings& warnings,
              screen& shown, const run_settings& chosen, graceful_stop& ending,
              const service_manager& service)
      : engine_(watched),
        run_(run),
        jobs_(jobs),
        warnings_(warnings),
        ending_(ending),
        started_(watched.time().now()) {
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const job_totals before = jobs.totals(i);
      done_before_ += before.succeeded + before.failed;
      tokens_before_ += static_cast<std::uint64_t>(before.tokens.total_tokens());
    }
    every(totals_interval, [this, &service] {
      {
        const auto lock = run_.hold_sink();
        jobs_.checkpoint(seconds(), engine_.now().most_in_a_minute);
      }
      if (service.is_there()) service.show(progress_line(facts()));
    });
    if (const auto interval = service.watchdog_interval()) {
      every(*interval, [&service] { service.tell("WATCHDOG=1"); });
    }
    every(fault_interval, [this] {
      warnings_.log();
      if (engine_.now().faulted) ending_.stop();
    });
    if (chosen.quiet) {
      waits_.emplace(watched.time(), shown, [this] { return facts(); });
    }
    if (!chosen.quiet || chosen.progress_given) {
      display_.emplace(
          watched.time(), shown,
          progress_source{
              .line = [this](const line_form& form) { return progress_line(facts(), form); },
              .json = [this] { return json_line(progress_document(facts())); }},
          chosen.progress);
    }
  }
  run_monitor(const run_monitor&) = delete;
  run_monitor& operator=(const run_monitor&) = delete;
  ~run_monitor() { leave(); }

  void leave() {
    for (const auto& [slot, timer] : timers_) engine_.time().cancel(timer);
    timers_.clear();
    if (display_) display_->leave();
    if (waits_) waits_->leave();
  }
  std::string status(const line_form& form) const { return progress_line(facts(), form); }
  double seconds() const {
    return std::chrono::duration<double>(engine_.time().now() - started_).count();
  }
  /// The first failure of the monitor itself: the totals cannot be written. Null: no failure.
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
        ending_.stop();
        return;
      }
      repeat(slot, interval, act);
    });
  }

  progress_facts facts() const {
    progress_facts now = facts_of(engine_.now(), engine_.requests_per_minute(), engine_.time());
    const auto lock = run_.hold_sink();
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      const job_totals totals = jobs_.totals(i);
      now.total += totals.requests;
      now.succeeded += totals.succeeded;
      now.failed += totals.failed;
      now.tokens_now += static_cast<std::uint64_t>(totals.tokens.total_tokens());
      now.cost += totals.cost;
    }
    const std::uint64_t done = now.succeeded + now.failed;
    now.done_now = done - std::min(done, done_before_);
    now.tokens_now -= std::min(now.tokens_now, tokens_before_);
    now.elapsed_s = seconds();
    now.shortage = jobs_.shortage();
    now.stopping_s = ending_.seconds_left();
    return now;
  }

  engine_team& engine_;
  const team_run& run_;
  job_set& jobs_;
  job_warnings& warnings_;
  graceful_stop& ending_;
  time_point started_;
  std::uint64_t done_before_ = 0;
  std::uint64_t tokens_before_ = 0;
  std::map<std::size_t, clock::timer> timers_;
  std::optional<progress_display> display_;
  std::optional<wait_notice> waits_;
  std::exception_ptr fault_;
};

// Why --until or --deadline ended the run; empty: they did not. For the engine, such a run looks
// interrupted.
wording why_closed(const run_outcome& outcome, const graceful_stop& ending,
                   const closing_watch& closing) {
  const bool closed = outcome.reason == stop_reason::interrupted && !ending.interrupted();
  return closed ? closing.why() : wording();
}

job_status status_of(const run_outcome& outcome, const wording& closed) {
  if (!closed.empty()) return job_status::stopped;
  switch (outcome.reason) {
    case stop_reason::none:
      return job_status::completed;
    case stop_reason::interrupted:
      return job_status::interrupted;
    default:
      return job_status::stopped;
  }
}

exit_status exit_of(const run_outcome& outcome, const wording& closed, const graceful_stop& ending,
                    const job_set& jobs) {
  const exit_status ended =
      closed.empty() ? exit_status_of(outcome) : stronger(stopped, exit_status_of(outcome.gave_up));
  if (ended != success) return ending.status(ended);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (jobs.totals(i).failed > 0) return some_failed;
  }
  return success;
}

// Writes the remaining results and totals, and waits a short time for space on a full disk. Returns
// the failure that remains; null: everything is written.
std::exception_ptr finish(job_set& jobs, job_status status, double seconds, std::uint64_t most,
                          duration patience) {
  const auto end =
      std::chrono::steady_clock::now() + std::min<duration>(patience, longest_wait_for_room);
  for (bool warned = false;; warned = true) {
    try {
      jobs.finish(status, seconds, most);
      return nullptr;
    } catch (const fatal_error&) {
      if (!jobs.disk_is_full() || std::chrono::steady_clock::now() >= end) {
        return std::current_exception();
      }
    }
    if (!warned) spdlog::warn("{} finished result(s) wait for room on the disk", jobs.unwritten());
    std::this_thread::sleep_for(std::chrono::milliseconds{500});
  }
}

bool is_about_writing(const std::exception_ptr& fault) {
  try {
    std::rethrow_exception(fault);
  } catch (const fatal_error& thrown) {
    return thrown.why() == fatal_error::kind::cannot_write;
  } catch (...) {
    return false;
  }
}

wording words_of(const std::exception_ptr& fault) {
  try {
    std::rethrow_exception(fault);
  } catch (const std::exception& thrown) {
    return sluice::words_of(thrown);
  }
}

// The message of --notify about the end of a run.
notify::run_end end_of(const job_set& jobs, std::string_view word, job_status status,
                       exit_status code, const wording& sentence) {
  notify::run_end end{run_id(), std::string(word), code, one_line_summary(jobs, sentence), {}};
  const auto summaries = jobs.summaries();
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    end.jobs.push_back(jobs.totals(i).to_json(summaries[i].job, status));
  }
  return end;
}

// The totals of all jobs, one line each, for the log file.
std::vector<std::string> totals_lines(const job_set& jobs, job_status status) {
  std::vector<std::string> lines;
  const auto summaries = jobs.summaries();
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const auto totals =
        nlohmann::ordered_json::parse(jobs.totals(i).to_json(summaries[i].job, status));
    lines.push_back("totals: " + json_line(totals));
  }
  return lines;
}

// The exit status of a run that ended with an exception.
exit_status status_of(const std::exception& thrown) {
  const auto* fatal = dynamic_cast<const fatal_error*>(&thrown);
  const bool no_start = fatal != nullptr && fatal->why() == fatal_error::kind::cannot_start;
  return no_start ? cannot_start : results_lost;
}

// The message of --notify about such a run.
notify::run_end failed_end_of(const job_set& jobs, const std::exception& thrown) {
  return end_of(jobs, "failed", job_status::stopped, status_of(thrown), sluice::words_of(thrown));
}

// Throws the error that decides the exit status, and shows the other one before that.
[[noreturn]] void end_with(const std::exception_ptr& first, const std::exception_ptr& second,
                           const job_set& jobs, screen& shown) {
  const bool second_counts = second && (!first || is_about_writing(second));
  const auto& last = second_counts ? second : first;
  const auto& other = second_counts ? first : second;
  if (other && words_of(other).english != words_of(last).english) {
    shown.line("sluice: " + words_of(other).in(shown.spoken()));
  }
  if (!is_about_writing(last)) std::rethrow_exception(last);
  const std::uint64_t lost = jobs.unwritten();
  wording results =
      lost == 0 ? worded("every finished result is in a file")
                : worded(
                      "{} finished result(s) could not be written and are lost; their requests "
                      "are sent again, and billed again",
                      lost);
  if (jobs.lacks_sync()) {
    results = worded(
        "{}; the disk may lack results that are in the files: put a copy of each file "
        "in its place before you run the command again",
        results);
  }
  throw translated_error(fatal_error::kind::cannot_write,
                         worded("{}; {}", words_of(last), results));
}

// Tells the user if all requests of the jobs were finished by earlier runs.
void tell_if_nothing_to_send(const job_set& jobs) {
  std::uint64_t done = 0;
  std::uint64_t all = 0;
  const auto summaries = jobs.summaries();
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (summaries[i].job == "-") return;  // its requests are not known yet
    const job_totals totals = jobs.totals(i);
    done += totals.succeeded + totals.failed;
    all += totals.requests;
  }
  const bool sends = std::any_of(summaries.begin(), summaries.end(),
                                 [](const auto& job) { return job.to_send > 0; });
  if (!sends && done > 0) spdlog::info("nothing to send: {} of {} done before", done, all);
}

void warn_about_jobs(const job_set& jobs) {
  for (const auto& job : jobs.summaries()) {
    if (job.bad_lines > 0) {
      spdlog::warn("{}: {} bad line(s) will not be sent; see {}", job.job, job.bad_lines,
                   job.errors);
    }
    if (job.copies > 0) {
      spdlog::info("{}: {} request(s) are equal to others; they get copies of their results",
                   job.job, job.copies);
    }
    for (const auto& [model, count] : job.unpriced_models) {
      spdlog::warn(
          "{}: no price for {} ({} request(s)){}; their cost will be unknown: give one with "
          "--prices",
          job.job, model, count, jobs.prices().did_you_mean(model));
    }
  }
}

// Reads the limits again and returns what has changed. If they cannot be read, nothing changes.
std::string reload_limits(const settings& flags, run_settings& chosen, engine_team& runner,
                          const team_run& run, job_set& jobs) {
  const auto relays = chosen.engine.relays();
  try {
    const reread_limits fresh = read_limits_again(flags, chosen, relays);
    const live_limits before = runner.limits();
    runner.set_limits(fresh.limits);
    const auto lock = run.hold_sink();
    jobs.set_rate_limit(runner.requests_per_minute());
    const std::string change = change_of_limits(before, fresh.limits, relays);
    const std::string from =
        chosen.config_file.empty() ? "there is no config file" : "read " + chosen.config_file;
    std::string text = fmt::format("SIGUSR2: {}; {}", from, change.empty() ? "no change" : change);
    for (const auto& note : fresh.notes) text += "; " + note;
    return text;
  } catch (const std::exception& fault) {
    return fmt::format("SIGUSR2: the limits stay as they are: {}", fault.what());
  }
}

// How a run has ended, for the command that contains it.
struct ended_run {
  exit_status status = success;
  std::string next;  ///< the line with the next command for the user; empty: none
};

// `for_table`: afterwards the results are joined to a table.
ended_run run_on_screen(screen& shown, run_settings& chosen, const settings& flags,
                        const std::vector<std::string>& named,
                        const std::vector<std::string>& command_line, bool for_table) {
  const command_start began;
  shown.choose_colour(chosen.colour);
  shown.choose_language(chosen.spoken);
  allow_open_files();
  // One thread runs the loop; others only post to it.
  asio::io_context loop(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  user_signals questions(loop);
  std::vector<std::string> paths;
  std::vector<std::string> results;
  const auto [jobs_named, repeats] = without_repeats(named);
  for (const auto& path : jobs_named) (is_result_file(path) ? results : paths).push_back(path);
  if (paths.empty()) {
    if (results.empty()) refuse(worded("there is no job to run; name a JSONL file"));
    refuse(results.front(), "holds results, not a job; name a JSONL file");
  }
  require_standard_input(paths);
  if (!chosen.log_file.empty()) {
    require_no_job_file("--log-file", chosen.log_file, name_job_files(paths, chosen.engine.output));
  }
  start_log(shown, chosen.verbose, chosen.quiet, chosen.log_file, chosen.json_log);
  if (!chosen.notify.url.empty()) {
    notify::check_webhook(chosen.notify.form, chosen.notify.url, chosen.notify.secret);
  }
  // Do this before the simulator replaces the relays, whose secrets may be in the words.
  const shown_command command =
      without_secrets(command_line, chosen.engine.relays(), flags.secret_flags());
  prepared_relays relays(chosen, shown, {.use = relay_use::send, .check_all = true});
  if (relays.simulated()) chosen.engine.output.simulated = true;
  if (!repeats.empty()) spdlog::info("{}", repeats);
  for (const auto& path : results) {
    spdlog::info("{}: holds results, not a job; skipped", path);
  }
  log_start(shown, command, flags);
  chosen.engine.pace.files_of_jobs = paths.size() * files_of_a_job;
  std::optional<machine_limits> machines;
  if (!chosen.limit_store.empty()) {
    if (chosen.threads > 1) {
      refuse(
          "--threads and --store: a run that shares its limit with other machines has one "
          "thread; leave out --threads");
    }
    machines.emplace(loop, chosen.limit_store);
    machines->share_with(chosen.engine.pace);
  }
  engine_team runner(loop, chosen.engine, chosen.threads, &log_observer());
  job_set jobs(paths, chosen.engine.job, chosen.engine.output, relays.prices());
  jobs.set_rate_limit(runner.requests_per_minute());
  job_warnings warnings(jobs);
  warnings.log();
  shown.show_heading();
  warn_about_jobs(jobs);
  tell_if_nothing_to_send(jobs);
  if (!relays.simulated()) warn_of_low_balance(chosen, jobs, jobs.prices());

  const service_manager service;
  team_run whole(runner, jobs, jobs);
  run_outcome outcome;
  std::exception_ptr fault;
  double seconds = 0;
  // The handler of the signal shows this text.
  const std::string while_finishing =
      "sluice: " +
      say(shown.spoken(),
          "the results are being completed; interrupt again to end at once, and run the same "
          "command to complete them") +
      "\n";
  // It outlives the loop, because a signal must not end the process while the totals are written.
  std::optional<graceful_stop> stopping(
      std::in_place, loop, runner.time(), chosen.grace,
      graceful_stop::actions{
          .stop =
              [&] {
                service.tell("STOPPING=1");
                whole.stop();
              },
          .abort = [&whole] { whole.abort(); },
          .in_flight = [&runner] { return runner.now().in_flight; },
          .while_finishing = chosen.json_log ? nullptr : while_finishing.c_str()});
  graceful_stop& ending = *stopping;
  closing_watch closing(runner.time(), closing_time(chosen.closing, began.at, began.unix_time),
                        [&ending](const wording&) { ending.stop(); });
  service.tell("READY=1");
  {
    run_monitor monitor(runner, whole, jobs, warnings, shown, chosen, ending, service);
    questions.listen([&] { shown.line("sluice: " + monitor.status({.spoken = shown.spoken()})); },
                     [&] {
                       const std::string text = reload_limits(flags, chosen, runner, whole, jobs);
                       shown.line("sluice: " + text);
                       shown.log_line(text);
                     });
    if (machines) machines->begin();
    asio::co_spawn(loop, whole.work(), [&](std::exception_ptr thrown, run_outcome ended) {
      fault = std::move(thrown);
      outcome = std::move(ended);
      seconds = monitor.seconds();
      ending.leave();
      closing.leave();
      questions.leave();
      monitor.leave();
      if (machines) machines->stop();
    });
    loop.run();
    if (!fault) fault = monitor.fault();
  }
  service.tell("STOPPING=1");
  const wording closed = why_closed(outcome, ending, closing);
  const job_status ended_as = fault ? job_status::stopped : status_of(outcome, closed);
  const auto unwritten =
      finish(jobs, ended_as, seconds, runner.now().most_in_a_minute, chosen.grace);
  warnings.log();
  const exit_status status = exit_of(outcome, closed, ending, jobs);
  if (fault || unwritten) {
    try {
      end_with(fault, unwritten, jobs, shown);
    } catch (const std::exception& thrown) {
      stopping.reset();  // announce_end() handles signals itself
      for (const auto& line : totals_lines(jobs, ended_as)) shown.log_line(line);
      announce_end(chosen.notify, failed_end_of(jobs, thrown));
      throw;
    }
  }

  wording sentence = closed.empty() ? stop_sentence(outcome, jobs.shortage())
                                    : worded("stopped: {}; run again to go on", closed);
  if (closed.empty() && outcome.reason == stop_reason::interrupted && ending.abandoned() > 0) {
    sentence = worded("interrupted; {} in flight abandoned", ending.abandoned());
  }
  sentence = with_given_up(std::move(sentence), outcome);
  const language spoken = shown.spoken();
  if (!chosen.quiet) {
    if (!sentence.empty()) shown.line("sluice: " + sentence.in(spoken));
    shown.line(run_summary(jobs, seconds, spoken));
    if (relays.simulated()) shown.line(relays.simulated_ledger());
  } else if (status != success) {
    shown.line("sluice: " + one_line_summary(jobs, sentence, spoken));
  }
  stopping.reset();
  log_end(shown, one_line_summary(jobs, sentence), status, totals_lines(jobs, ended_as));
  ended_run ended{status, next_command(jobs, outcome, command, !for_table, spoken)};
  if (!chosen.quiet && !for_table && !ended.next.empty()) shown.line(ended.next);
  announce_end(chosen.notify, end_of(jobs, to_string(ended_as), ended_as, status, sentence));
  return ended;
}

ended_run run_jobs(run_settings& chosen, const settings& flags,
                   const std::vector<std::string>& named,
                   const std::vector<std::string>& command_line, bool for_table = false) {
  screen shown;
  try {
    return run_on_screen(shown, chosen, flags, named, command_line, for_table);
  } catch (const std::exception& thrown) {
    log_end(shown, thrown.what(), status_of(thrown));
    throw;
  }
}

// Makes the job of a table, runs it, and joins the answers to the rows.
exit_status run_table(run_settings& chosen, const settings& flags, const dataset_settings& table,
                      const std::vector<std::string>& operands,
                      const std::vector<std::string>& command_line) {
  table_run whole(operands, table, chosen, chosen.engine.output.output_file);
  const std::string files = whole.prepare();
  if (!files.empty() && !chosen.quiet) screen().line(files);
  const auto [status, next] = run_jobs(chosen, flags, {whole.job()}, command_line, true);
  screen shown;
  shown.choose_language(chosen.spoken);
  const language spoken = shown.spoken();
  if (status != success && status != some_failed) {
    if (!chosen.quiet) {
      shown.line(say(spoken,
                     "table     {} is written when every row has its result; what is there now: {}",
                     whole.into(), whole.extract_command()));
      if (!next.empty()) shown.line(next);
    }
    return status;
  }
  const auto done = whole.extract();
  if (!chosen.quiet) {
    shown.line(say(spoken, "table     {}", extracted_text(done, whole.into(), spoken)));
    if (!next.empty()) shown.line(next);
  }
  return done.failed > 0 ? some_failed : status;
}

const std::set<std::string> table_flags = {"template", "id",       "column",    "usage",    "files",
                                           "format",   "encoding", "delimiter", "no-quotes"};

void require_template(const settings& flags) {
  for (const std::string& name : table_flags) {
    if (!flags.on_line(name)) continue;
    refuse(fmt::format("--{} is for a run of a table; name its --template, too", name));
  }
}

}  // namespace

command run_command(const std::vector<std::string>& command_line) {
  struct state {
    run_settings chosen;
    dataset_settings table;
    std::vector<std::string> jobs;
  };
  auto kept = std::make_shared<state>();
  auto list = run_flags(kept->chosen);
  list.push_back(limit_store_flag(kept->chosen.limit_store));
  for (setting& flag : dataset_flags(kept->table, table_flags)) list.push_back(std::move(flag));
  const auto flags = std::make_shared<settings>(std::move(list), run_tables(kept->chosen));
  return {
      .name = "run",
      .summary = "Send every request of the jobs, write results and totals",
      .operand = "JOB",
      .operand_help = "JSONL files (.gz, .zst), or - for standard input",
      .description =
          "For JOB.jsonl the results go to JOB.output.jsonl, JOB.errors.jsonl and "
          "JOB.totals.json. Running the same command again goes on where it stopped, and sends no "
          "finished request twice.\n"
          "\n"
          "With --template the operand is one table (CSV, TSV, JSONL) instead of jobs, and -o is "
          "the "
          "same table with the answers. For OUT.csv the job is OUT.jsonl, and its results stand "
          "beside it. If DATA or the template has changed, results of changed rows are kept, and "
          "the run refuses to start unless --changed says what to do with them.\n"
          "\n"
          "Proxies come from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY. Several relays, or "
          "several keys, stand as [[relay]] tables in the config file.",
      .common_flags = {"base-url", "api-key-file", "simulate", "model", "limit", "rpm",
                       "concurrency", "output", "output-dir", "template", "budget", "ordered",
                       "fresh", "retry-failed", "until", "profile", "quiet"},
      .exit_statuses = {{0, "every request succeeded"},
                        {1, "finished, and some requests failed"},
                        {2, "cannot start"},
                        {3, "stopped early; run it again to go on"},
                        {4, "results could not be written"},
                        {130, "interrupted; run it again to go on"}},
      .examples = {"sluice run jobs/authenticity.jsonl --simulate --output-dir out",
                   "sluice run job.jsonl --base-url https://relay.example/v1",
                   "sluice run a.jsonl b.jsonl.gz --rpm 200 --output-dir out",
                   "sluice run jobs/reviews.csv --template jobs/reviews.json --simulate -o out.csv",
                   "zcat prompts.gz | sluice run - --model gpt-4o-mini -o answers.jsonl"},
      .flags = flags,
      .operands = {kept, &kept->jobs},
      .run =
          [kept, flags, &command_line] {
            read_settings(*flags, kept->chosen);
            if (!kept->table.template_file.empty()) {
              if (flags->on_line("output-dir")) {
                refuse(
                    "--output-dir and --template: -o names the table, and its job and results "
                    "stand beside it; leave out --output-dir");
              }
              return run_table(kept->chosen, *flags, kept->table, kept->jobs, command_line);
            }
            require_template(*flags);
            return run_jobs(kept->chosen, *flags, kept->jobs, command_line).status;
          },
  };
}

}  // namespace sluice::cli
