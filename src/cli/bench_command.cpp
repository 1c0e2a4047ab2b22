#include "cli/bench_command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <deque>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <utility>

#include "bench/benchmark.hpp"
#include "cli/bench_report.hpp"
#include "cli/bench_settings.hpp"
#include "cli/exit_status.hpp"
#include "cli/progress.hpp"
#include "cli/relay_setup.hpp"
#include "cli/screen.hpp"
#include "cli/standard_output.hpp"
#include "relay_window.hpp"
#include "sluice/error.hpp"
#include "steady_clock.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;
using nlohmann::ordered_json;

constexpr std::chrono::milliseconds live_interval{200};
constexpr std::chrono::seconds plain_interval{10};

[[noreturn]] void refuse(const std::string& sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

// How many connections may be open at once, beside a few other files.
std::size_t most_connections() {
  constexpr rlim_t other_files = 64;
  constexpr std::size_t many = 1'000'000;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return many;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur == RLIM_INFINITY) return many;
  return std::max<std::size_t>(files.rlim_cur - std::min(files.rlim_cur, other_files), 1);
}

void check_connections(const bench_settings& chosen, std::size_t targets) {
  const auto most = std::max_element(chosen.concurrency.begin(), chosen.concurrency.end());
  if (most == chosen.concurrency.end()) return;
  const std::size_t open = most_connections();
  if (*most * targets <= open) return;
  refuse(
      fmt::format("--concurrency {}: {} connections at most can be open; lower it, or allow "
                  "more with ulimit -n",
                  *most, open / targets));
}

// The relays that are measured, with all that stands between them and a load.
class relays {
 public:
  relays(asio::io_context& loop, clock& time, const config& options,
         const std::vector<relay_member>& members, const bench_settings& chosen,
         std::uint64_t seed) {
    window_opener windows(options.pace);
    std::set<std::string> names;
    for (const auto& member : members) {
      const std::string name = window_name(member.relay);
      if (!names.insert(name).second) {
        refuse(
            fmt::format("target {} has the address and the key of another, and would share its "
                        "limit; leave one of them out",
                        member.name));
      }
      parts& one = all_.emplace_back();
      one.store = windows.open(name);
      const unsigned cap = member.requests_per_minute.value_or(options.pace.requests_per_minute);
      const rate_limiter::options limit{cap, options.pace.window_margin, options.pace.pace,
                                        options.pace.tokens_per_minute, one.store.get()};
      one.gate = std::make_unique<start_gate>(time, limit, most_connections() / members.size());
      one.client = make_http_client(loop, time, member.relay);
      one.client->stamp_arrivals();
      one.supply = make_supply(options.job, chosen, seed);
      one.measured =
          std::make_unique<bench::target>(member, cap, *one.client, *one.gate, *one.supply);
    }
  }

  std::vector<bench::target*> all() {
    std::vector<bench::target*> list;
    for (auto& one : all_) list.push_back(one.measured.get());
    return list;
  }

  const bench::request_supply& requests() const { return *all_.front().supply; }

  /// What is kept open would keep the loop going.
  void leave() {
    for (auto& one : all_) {
      one.client->stop_sending();
      one.client->abort();
    }
  }

 private:
  struct parts {
    std::unique_ptr<limit_store> store;
    std::unique_ptr<start_gate> gate;
    std::unique_ptr<http_client> client;
    std::unique_ptr<bench::request_supply> supply;
    std::unique_ptr<bench::target> measured;
  };

  static std::unique_ptr<bench::request_supply> make_supply(const job_options& lines,
                                                            const bench_settings& chosen,
                                                            std::uint64_t seed) {
    if (!chosen.jobs.empty()) return std::make_unique<bench::job_supply>(chosen.jobs, lines);
    const bench::synthetic_supply::options asked{.model = chosen.model,
                                                 .prompt_tokens = chosen.prompt_tokens,
                                                 .max_tokens = chosen.max_tokens,
                                                 .seed = seed};
    return std::make_unique<bench::synthetic_supply>(asked, lines);
  }

  std::deque<parts> all_;
};

// `model` and `input` of the document.
struct described_input {
  std::string model;
  ordered_json input;
};

described_input describe(const bench::request_supply& supply, const bench_settings& chosen) {
  if (const auto* jobs = dynamic_cast<const bench::job_supply*>(&supply)) {
    std::set<std::string> models;
    for (const auto& one : jobs->all()) models.insert(one.model);
    return {fmt::format("{}", fmt::join(models, ", ")),
            {{"kind", "jobs"}, {"jobs", chosen.jobs}, {"requests", jobs->all().size()}}};
  }
  const auto& made = dynamic_cast<const bench::synthetic_supply&>(supply);
  return {chosen.model,
          {{"kind", "synthetic"},
           {"prompt_tokens", made.prompt_tokens()},
           {"max_tokens", chosen.max_tokens}}};
}

void check_budget(const bench::spending& money, const std::vector<relay_member>& members,
                  const bench::request_supply& supply, const bench_settings& chosen,
                  const job_options& lines) {
  if (!money.limit()) return;
  for (const auto& member : members) {
    if (const auto* jobs = dynamic_cast<const bench::job_supply*>(&supply)) {
      for (const auto& one : jobs->all()) money.check(member.name, one);
    } else {
      bench::synthetic_supply sample({.model = chosen.model,
                                      .prompt_tokens = chosen.prompt_tokens,
                                      .max_tokens = chosen.max_tokens,
                                      .seed = 1},
                                     lines);
      money.check(member.name, sample.next());
    }
  }
}

// "load 2 of 3, 8 in flight: 120 done, 8 in flight, 88/200 in the last 60 s, $0.0012"
std::string bench_progress(const bench::benchmark::status& now) {
  std::string line =
      fmt::format("load {}{}", now.number, now.of ? fmt::format(" of {}", *now.of) : std::string());
  line += fmt::format(", {}: {} done, {} in flight, {} started in the last 60 s", now.load,
                      grouped(now.ended), now.in_flight, grouped(now.started_last_minute));
  if (now.cost) line += fmt::format(", ${}", now.cost->to_string());
  return line;
}

// What happens beside the benchmark on the same loop: progress and signals.
class attendant {
 public:
  attendant(asio::io_context& loop, clock& time, bench::benchmark& attended, screen& shown,
            const run_settings& chosen)
      : time_(time),
        bench_(attended),
        screen_(shown),
        grace_(chosen.grace),
        signals_(loop, SIGINT, SIGTERM) {
    await_signal();
    if (!chosen.quiet) repeat();
  }
  attendant(const attendant&) = delete;
  attendant& operator=(const attendant&) = delete;
  ~attendant() { leave(); }

  void leave() {
    left_ = true;
    signals_.cancel();
    for (clock::timer* timer : {&progress_, &end_}) {
      if (*timer != 0) time_.cancel(std::exchange(*timer, 0));
    }
    screen_.clear_live();
  }
  bool interrupted() const noexcept { return interrupted_; }

 private:
  void repeat() {
    const duration interval = screen_.is_terminal() ? duration(live_interval) : plain_interval;
    progress_ = time_.call_at(time_.now() + interval, [this] {
      const std::string line = bench_progress(bench_.now());
      screen_.is_terminal() ? screen_.live(line) : screen_.line(line);
      repeat();
    });
  }

  void await_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int) {
      if (error || left_) return;
      if (std::exchange(interrupted_, true)) {
        bench_.abort();
        return;
      }
      bench_.stop("interrupted");
      spdlog::warn(
          "interrupted: {} in flight may finish within {}; interrupt again to stop at once",
          bench_.now().in_flight, short_time(std::chrono::duration<double>(grace_).count()));
      end_ = time_.call_at(time_.now() + grace_, [this] { bench_.abort(); });
      await_signal();
    });
  }

  clock& time_;
  bench::benchmark& bench_;
  screen& screen_;
  duration grace_;
  asio::signal_set signals_;
  clock::timer progress_ = 0;
  clock::timer end_ = 0;
  bool interrupted_ = false;
  bool left_ = false;
};

exit_status status_of(const bench::benchmark& done, const std::vector<bench::target*>& targets,
                      bool was_interrupted) {
  const bool misconfigured = std::any_of(targets.begin(), targets.end(), [](const auto* one) {
    return one->stopped && one->stopped->misconfigured;
  });
  const bool stopped_early = std::any_of(targets.begin(), targets.end(),
                                         [](const auto* one) { return one->stopped.has_value(); });
  if (misconfigured) return cannot_start;
  if (was_interrupted) return interrupted;
  if (stopped_early || !done.why_stopped().empty()) return stopped;
  return done.some_failed() ? some_failed : success;
}

void check_what_to_send(const bench_settings& chosen) {
  if (chosen.jobs.empty() && chosen.model.empty()) {
    refuse("--model is missing; name the model to ask, like --model gpt-4o-mini, or give a JOB");
  }
  if (!chosen.jobs.empty() && chosen.lengths_given) {
    refuse("--prompt-tokens and --max-tokens are for made-up prompts; a JOB says its own");
  }
}

exit_status bench_relays(bench_settings& chosen) {
  run_settings& run = chosen.inquiry.run;
  screen shown;
  start_log(shown, run.verbose, run.quiet, run.log_file);
  check_what_to_send(chosen);
  const bench::load_plan plan = plan_of(chosen);
  use_targets(chosen);
  const auto simulated =
      run.simulate ? start_simulator(run, chosen.inquiry.simulated_balance) : nullptr;
  const auto members = find_members(chosen.inquiry, simulated != nullptr);
  check_connections(chosen, members.size());

  config options = run.engine;
  options.job.model = chosen.model;
  options.job.override_model = false;
  if (!simulated) share_limit(options.pace);
  const relay_prices prices = load_prices(run);
  const std::uint64_t seed = options.pace.seed != 0 ? options.pace.seed : std::random_device{}();

  asio::io_context loop(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  steady_clock time(loop);
  relays measured(loop, time, options, members, chosen, seed);
  bench::spending money(prices, chosen.budget, options.output.assume_max_tokens);
  check_budget(money, members, measured.requests(), chosen, options.job);
  auto [model, input] = describe(measured.requests(), chosen);
  bench::benchmark benchmark(loop.get_executor(), time, measured.all(), plan, money,
                             {.model = model,
                              .streamed = options.job.stream,
                              .simulated = simulated != nullptr,
                              .input = input,
                              .seed = seed,
                              .id = fmt::format("sluice-bench-{:08x}{:08x}", std::random_device{}(),
                                                std::random_device{}()),
                              .counts_tokens = options.pace.tokens_per_minute != 0,
                              .max_wait = options.pace.max_wait});
  std::exception_ptr fault;
  bool was_interrupted = false;
  {
    attendant beside(loop, time, benchmark, shown, run);
    asio::co_spawn(loop, benchmark.run(), [&](std::exception_ptr thrown) {
      fault = std::move(thrown);
      beside.leave();
      measured.leave();
    });
    loop.run();
    was_interrupted = beside.interrupted();
  }
  if (fault) std::rethrow_exception(fault);

  const auto targets = measured.all();
  for (const auto* one : targets) {
    if (one->stopped) spdlog::error("{}: {}", name_of(one->member), one->stopped->sentence);
  }
  if (!benchmark.why_stopped().empty()) {
    spdlog::warn("not all was measured: {}", benchmark.why_stopped());
  }
  if (!benchmark.why_sweep_ended().empty()) {
    spdlog::info("the sweep ended: {}", benchmark.why_sweep_ended());
  }
  if (benchmark.measured()) {
    const auto document = benchmark.document();
    if (chosen.inquiry.json) {
      print(document);
    } else {
      print(bench_lines(document));
    }
  }
  return status_of(benchmark, targets, was_interrupted);
}

}  // namespace

void add_bench_command(CLI::App& program, int& exit_status) {
  struct state {
    bench_settings chosen;
    settings flags{bench_flags(chosen), run_tables(chosen.inquiry.run)};
    std::string config;
  };
  auto kept = std::make_shared<state>();
  auto* command = program.add_subcommand(
      "bench", "Measure a relay: throughput, times to first token and between, errors, cost");
  command->add_option("JOB", kept->chosen.jobs, "Jobs to send, in the place of made-up prompts");
  command->add_option("--config", kept->config, "Config file (./sluice.toml)")->type_name("FILE");
  kept->flags.add_to(*command);
  command->footer(
      "A load keeps --concurrency requests in flight, or starts them at a --rate whatever becomes\n"
      "of them. Nothing is tried again: a 500 is a failure. Starts keep within --rpm like those "
      "of\n"
      "a run, and it is said when that cap, or this program, was what held them. Times count from\n"
      "the first byte sent; what each means is in docs/bench.md.\n"
      "The key of --target NAME=URL is that of NAME_API_KEY, else OPENAI_API_KEY.\n"
      "Exit status: 0 all succeeded, 1 some failed, 2 cannot start, 3 stopped early (a target is\n"
      "down or refuses, the budget is used up), 130 interrupted. What was measured is told.\n"
      "\n"
      "Examples:\n"
      "  sluice bench --simulate --model gpt-4o-mini --concurrency 1,8,32\n"
      "  sluice bench --model gpt-4o-mini --rate 120 --rate-kind poisson --duration 2m\n"
      "  sluice bench --model gpt-4o-mini --sweep --budget 0.50 --json > bench.json\n"
      "  sluice bench job.jsonl --target blue=https://blue.example/v1 --target "
      "green=https://g.example");
  command->callback([kept, &exit_status] {
    kept->flags.apply(find_config(kept->config));
    if (kept->flags.on_line("base-url")) kept->chosen.inquiry.run.engine.pool.clear();
    exit_status = bench_relays(kept->chosen);
  });
}

}  // namespace sluice::cli
