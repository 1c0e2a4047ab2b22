#include "cli/commands/work_command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "async/background.hpp"
#include "async/steady_clock.hpp"
#include "async/wait_queue.hpp"
#include "cli/graceful_stop.hpp"
#include "cli/log_observer.hpp"
#include "cli/machine_limits.hpp"
#include "cli/outcome_status.hpp"
#include "cli/screen/progress_display.hpp"
#include "cli/screen/screen.hpp"
#include "cli/screen/wait_notice.hpp"
#include "cli/settings/cluster_settings.hpp"
#include "cli/settings/prepared_relays.hpp"
#include "cluster/leased_work.hpp"
#include "cluster/window_grants.hpp"
#include "json/text.hpp"
#include "sluice/engine.hpp"
#include "terminal/descriptors.hpp"
#include "terminal/service_manager.hpp"
#include "views/progress.hpp"
#include "views/run_summary.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;
using cluster::job_store;
using cluster::leased_work;

// One thread claims, one stores, one renews the window, and one reads the progress.
constexpr std::size_t database_threads = 4;
constexpr std::chrono::seconds progress_interval{2};
// The number of claimed requests for each place in flight, so that no place waits for the database.
constexpr std::size_t in_hand_for_each = 4;

// The store's progress of all jobs that were unfinished at some time since the start.
class store_progress {
 public:
  store_progress(asio::io_context& loop, clock& time, job_store& store, background& threads)
      : time_(time), store_(store), threads_(threads) {
    asio::co_spawn(loop, follow(), [this](const std::exception_ptr&) {
      ended_ = true;
      changed_.wake_all();
    });
  }
  store_progress(const store_progress&) = delete;
  store_progress& operator=(const store_progress&) = delete;

  asio::awaitable<void> stop() {
    stopping_ = true;
    changed_.wake_all();
    while (!ended_) co_await changed_.wait();
  }
  void add_to(progress_facts& facts) const {
    facts.total += lines_;
    facts.succeeded += sums_.succeeded;
    facts.failed += sums_.failed;
    facts.cost += sums_.cost;
  }

 private:
  asio::awaitable<void> follow() {
    while (!stopping_) {
      try {
        take(co_await threads_.run([this] { return store_.list_jobs(); }));
      } catch (const store::store_error&) {
        // The worker itself reports that the database is not available.
      }
      if (stopping_) break;
      const auto timer =
          time_.call_at(time_.now() + progress_interval, [this] { changed_.wake_all(); });
      co_await changed_.wait();
      time_.cancel(timer);
    }
  }
  void take(const std::vector<job_store::listed_job>& jobs) {
    lines_ = 0;
    sums_ = {};
    for (const auto& one : jobs) {
      if (one.job.ready && !one.job.finished) followed_.insert(one.job.id);
      if (!followed_.contains(one.job.id)) continue;
      lines_ += one.job.lines;
      sums_ += one.sums;
    }
  }

  clock& time_;
  job_store& store_;
  background& threads_;
  std::set<cluster::job_id> followed_;
  std::uint64_t lines_ = 0;
  cluster::work_counters sums_;
  bool stopping_ = false;
  bool ended_ = false;
  wait_queue changed_;
};

exit_status exit_of(const run_outcome& outcome, const leased_work& source,
                    const graceful_stop& ending) {
  using reason = leased_work::end_reason;
  switch (source.ended_by()) {
    case reason::version:
    case reason::unbounded:
      return cannot_start;
    case reason::database:
    case reason::budget:
      return stronger(ending.status(stopped), exit_status_of(outcome.gave_up));
    case reason::none:
    case reason::stopped:
    case reason::left_pending:
      break;
  }
  const exit_status ended = exit_status_of(outcome);
  const bool gave_up_jobs = source.ended_by() == reason::left_pending && !source.why().empty();
  if (gave_up_jobs) return cannot_start;
  if (ended != success) return ending.status(ended);
  if (source.sums().unstored > 0) return ending.status(stopped);
  if (source.ended_by() == reason::left_pending) return stopped;
  return source.sums().failed > 0 ? some_failed : success;
}

std::string summary_of(const leased_work::totals& sums, double seconds) {
  std::string text =
      fmt::format("this worker: {} succeeded, {} failed, {} attempt(s), {} tokens, ${} in {}",
                  grouped(sums.succeeded), grouped(sums.failed), grouped(sums.attempts),
                  grouped(sums.tokens), sums.cost.to_string(), short_time(seconds));
  if (sums.relieved > 0) {
    text += fmt::format("; {} attempt(s) of silent workers may have been billed",
                        grouped(sums.relieved));
  }
  if (sums.unstored > 0) {
    text += fmt::format("; {} result(s) could not be stored, and their requests are sent again",
                        grouped(sums.unstored));
  }
  return text;
}

// The parts of a worker, in the order of their dependencies.
class worker {
 public:
  worker(asio::io_context& loop, const cluster_settings& chosen, job_store& store,
         const relay_prices& prices, bool simulated, screen& shown)
      : loop_(loop),
        clock_(loop),
        threads_(loop, database_threads),
        name_(worker_name()),
        grants_({.loop = loop,
                 .time = clock_,
                 .store = store,
                 .threads = threads_,
                 .worker = name_,
                 .say = [](const std::string& sentence) { spdlog::warn("{}", sentence); }}),
        engine_(loop, with_grants(chosen.run.engine), &log_observer()),
        work_({.loop = loop,
               .time = engine_.time(),
               .store = store,
               .threads = threads_,
               .prices = prices,
               .say = [](severity level, const std::string& sentence) { log(level, sentence); },
               .stop_run = [this] { run_.stop(); },
               .funds_changed = [this] { run_.funds_changed(); }},
              options_of(chosen, name_, simulated)),
        run_(engine_, work_, work_),
        progress_(loop, engine_.time(), store, threads_),
        ending_(loop, engine_.time(), chosen.run.grace,
                {.stop =
                     [this] {
                       work_.stop(grace_);
                       run_.stop();
                     },
                 .abort =
                     [this] {
                       work_.stop(duration{});
                       run_.abort();
                     },
                 .in_flight = [this] { return engine_.now().in_flight; }}),
        grace_(chosen.run.grace),
        give_up_after_(chosen.run.engine.pace.give_up_after),
        began_(engine_.time().now()) {
    if (chosen.run.quiet) waits_.emplace(engine_.time(), shown, [this] { return facts(); });
    if (!chosen.run.quiet || chosen.run.progress_given) {
      display_.emplace(
          engine_.time(), shown,
          progress_source{
              .line = [this](const line_form& form) { return progress_line(facts(), form); },
              .json = [this] { return json_line(progress_document(facts())); }},
          chosen.run.progress);
    }
  }

  /// Runs until the end. Throws the error that ended it early.
  run_outcome work() {
    run_outcome outcome;
    std::exception_ptr fault;
    asio::co_spawn(loop_, whole(), [&](std::exception_ptr thrown, run_outcome ended) {
      fault = std::move(thrown);
      outcome = std::move(ended);
    });
    loop_.run();
    if (fault) std::rethrow_exception(fault);
    return outcome;
  }
  const leased_work& done() const noexcept { return work_; }
  const graceful_stop& ending() const noexcept { return ending_; }
  double seconds() const { return std::chrono::duration<double>(engine_time() - began_).count(); }

 private:
  static void log(severity level, const std::string& sentence) {
    if (level == severity::info) {
      spdlog::info("{}", sentence);
    } else {
      spdlog::warn("{}", sentence);
    }
  }
  config with_grants(config options) {
    options.pace.machines = &grants_;
    return options;
  }
  static leased_work::options options_of(const cluster_settings& chosen, const std::string& name,
                                         bool simulated) {
    leased_work::options options;
    options.worker = name;
    options.lease = chosen.lease;
    const std::size_t places = chosen.run.engine.pace.concurrency;
    if (places > 0) options.in_hand = in_hand_for_each * places;
    options.forever = chosen.forever;
    options.give_up_after = chosen.run.engine.pace.give_up_after;
    options.simulated = simulated;
    options.bounds = {chosen.run.engine.output.assume_max_tokens,
                      chosen.run.engine.output.tier_default};
    return options;
  }
  time_point engine_time() const { return clock_.now(); }

  asio::awaitable<run_outcome> whole() {
    wait_queue ended;
    std::size_t left = 2;
    const auto over = [&](const std::exception_ptr& thrown) {
      if (thrown) beside_ = thrown;
      --left;
      ended.wake_all();
    };
    asio::co_spawn(loop_, grants_.work(), over);
    asio::co_spawn(loop_, work_.work(), over);
    run_outcome outcome;
    std::exception_ptr fault;
    try {
      outcome = co_await run_.work();
    } catch (...) {
      fault = std::current_exception();
    }
    // Without a signal, the last results wait for the database as long as all others.
    work_.close(give_up_after_);
    grants_.stop();
    while (left > 0) co_await ended.wait();
    co_await progress_.stop();
    ending_.leave();
    if (display_) display_->leave();
    if (waits_) waits_->leave();
    if (fault) std::rethrow_exception(fault);
    if (beside_) std::rethrow_exception(beside_);
    co_return outcome;
  }

  progress_facts facts() {
    progress_facts now = facts_of(engine_);
    progress_.add_to(now);
    const auto sums = work_.sums();
    now.done_now = sums.succeeded + sums.failed;
    now.tokens_now = sums.tokens;
    now.elapsed_s = seconds();
    now.stopping_s = ending_.seconds_left();
    return now;
  }

  asio::io_context& loop_;
  steady_clock clock_;
  background threads_;
  std::string name_;
  cluster::window_grants grants_;
  engine engine_;
  leased_work work_;
  engine_run run_;
  store_progress progress_;
  graceful_stop ending_;
  duration grace_;
  duration give_up_after_;
  time_point began_;
  std::exception_ptr beside_;  // the failure of the grants or of the leases
  std::optional<progress_display> display_;
  std::optional<wait_notice> waits_;
};

exit_status work(cluster_settings& chosen) {
  screen shown;
  run_settings& run = chosen.run;
  shown.choose_colour(run.colour);
  shown.choose_language(run.spoken);
  start_log(shown, run.verbose, run.quiet, run.log_file, run.json_log);
  allow_open_files();
  return with_job_store(chosen, [&](job_store& store) {
    prepared_relays relays(run, shown, {.use = relay_use::send, .check_all = true});
    const relay_prices prices = relays.prices();
    shown.show_heading();
    asio::io_context loop(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
    worker here(loop, chosen, store, prices, relays.simulated(), shown);
    const service_manager service;
    service.tell("READY=1");
    const run_outcome outcome = here.work();
    service.tell("STOPPING=1");
    const exit_status status = exit_of(outcome, here.done(), here.ending());
    const std::string& why = here.done().why();
    const std::string sentence =
        why.empty() ? with_given_up(stop_sentence(outcome), outcome).in(shown.spoken())
                    : "stopped: " + why;
    if (!run.quiet || status != success) {
      if (!sentence.empty()) shown.line("sluice: " + sentence);
      shown.line(summary_of(here.done().sums(), here.seconds()));
    }
    if (!run.quiet && relays.simulated()) shown.line(relays.simulated_ledger());
    return status;
  });
}

}  // namespace

command work_command() {
  auto chosen = std::make_shared<cluster_settings>();
  const auto flags = std::make_shared<settings>(work_flags(*chosen), run_tables(chosen->run));
  return {
      .name = "work",
      .summary = "Send requests of the jobs in a PostgreSQL database",
      .description =
          "Takes some requests of the queue at a time, sends them as 'sluice run' does, and stores "
          "each attempt before it is sent and each result when it came. Ends when the queue is "
          "empty. Run it on as many machines as wanted, also several times on one.\n"
          "\n"
          "All workers of a relay and key share one limit: --rpm is that of the key, not of a "
          "machine. A worker that dies, freezes or is cut off is relieved after --lease; what it "
          "had in flight counts as maybe billed. A worker that cannot reach the database sends "
          "nothing new, and gives up after --give-up-after.",
      .common_flags = {"store", "lease", "forever", "base-url", "api-key-file", "simulate", "rpm",
                       "tpm", "concurrency", "prices", "grace", "quiet"},
      .exit_statuses = {{0, "the queue is empty, and every request of this worker succeeded"},
                        {1, "the queue is empty, and some requests failed"},
                        {2, "cannot start, or the first requests of a job were all refused alike"},
                        {3, "stopped early: key, relay, budget or database; run it again"},
                        {130, "interrupted; others go on with its requests"}},
      .examples = {"sluice work --store postgresql://db.example/sluice --rpm 200",
                   "sluice work --store postgresql://db.example/sluice --forever --log-file w.log"},
      .flags = flags,
      .run =
          [chosen, flags] {
            read_settings(*flags, chosen->run);
            return work(*chosen);
          },
  };
}

}  // namespace sluice::cli
