#include "cli/commands/bench_command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>
#include <utility>

#include "async/steady_clock.hpp"
#include "base/refuse.hpp"
#include "cli/bench_relays.hpp"
#include "cli/closing_time.hpp"
#include "cli/graceful_stop.hpp"
#include "cli/log_notes.hpp"
#include "cli/page_file.hpp"
#include "cli/screen/heading.hpp"
#include "cli/screen/progress_display.hpp"
#include "cli/screen/screen.hpp"
#include "cli/screen/wait_notice.hpp"
#include "cli/settings/bench_settings.hpp"
#include "cli/settings/prepared_relays.hpp"
#include "loadtest/benchmark.hpp"
#include "loadtest/comparison.hpp"
#include "sluice/error.hpp"
#include "terminal/descriptors.hpp"
#include "terminal/exit_status.hpp"
#include "terminal/standard_output.hpp"
#include "terminal/user_signals.hpp"
#include "views/bench_progress.hpp"
#include "views/bench_report.hpp"
#include "views/shown_command.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;
using nlohmann::ordered_json;

// Defaults of a search for the limit, which should cost next to nothing.
constexpr std::uint64_t shortest_prompt = 16;
constexpr std::int64_t shortest_reply = 1;
constexpr std::string_view usual_search_budget = "0.10";

exit_status status_of(const bench::benchmark& done, const std::vector<bench::target*>& targets,
                      const graceful_stop& ending) {
  const bool misconfigured = std::any_of(targets.begin(), targets.end(), [](const auto* one) {
    return one->stopped && one->stopped->misconfigured;
  });
  const bool stopped_early = std::any_of(targets.begin(), targets.end(),
                                         [](const auto* one) { return one->stopped.has_value(); });
  if (misconfigured) return cannot_start;
  if (stopped_early || !done.why_stopped().empty()) return ending.status(stopped);
  return ending.status(done.some_failed() ? some_failed : success);
}

void check_what_to_send(const bench_settings& chosen) {
  if (chosen.jobs.empty() && chosen.model.empty()) {
    refuse("--model is missing; name the model to ask, like --model gpt-4o-mini, or give a JOB");
  }
  if (!chosen.jobs.empty() && chosen.find_limit) {
    refuse("--find-limit sends short prompts of its own; leave out the JOB and name a --model");
  }
  if (!chosen.jobs.empty() && chosen.lengths_given) {
    refuse("--prompt-tokens and --max-tokens are for generated prompts; leave them out with a JOB");
  }
}

// The models of the requests, for the document.
std::string models_of(const bench::request_supply& requests) {
  std::set<std::string> models;
  requests.visit([&models](const request& one) { models.insert(one.model); });
  return fmt::format("{}", fmt::join(models, ", "));
}

// Reduces the cost of a search to almost nothing, unless the user sets its budget and its lengths.
void make_search_cheap(bench_settings& chosen, const relay_prices& prices,
                       const std::vector<relay_member>& members) {
  const bool priced = std::all_of(members.begin(), members.end(), [&](const auto& member) {
    return prices.find(member.name, chosen.model, endpoint::chat_completions) != nullptr;
  });
  if (!chosen.budget && priced) chosen.budget = usd::parse(usual_search_budget);
  if (chosen.lengths_given) return;
  chosen.prompt_tokens = shortest_prompt;
  chosen.max_tokens = shortest_reply;
}

// `in_report`: the report that follows shows why the targets were stopped.
void show_why_it_ended(const bench::benchmark& done, const std::vector<bench::target*>& targets,
                       bool in_report) {
  if (!in_report) {
    for (const auto* one : targets) {
      if (one->stopped) spdlog::error("{}: {}", name_of(one->member), one->stopped->sentence);
    }
    if (!done.why_stopped().empty())
      spdlog::warn("not everything was measured: {}", done.why_stopped());
  }
  if (!done.why_sweep_ended().empty()) {
    spdlog::info("the sweep ended: {}", done.why_sweep_ended());
  }
}

// The document of --compare, read before anything is sent.
std::optional<ordered_json> earlier_document(const std::string& path) {
  if (path.empty()) return std::nullopt;
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || text.bad())
    refuse(fmt::format("--compare {}: cannot be read; check the path", path));
  return bench::parse_bench_document(text.str(), "--compare", path);
}

void print_results(const ordered_json& document, const bench_settings& chosen) {
  if (chosen.query.json) {
    for (const auto& warning : bench_warnings(document)) spdlog::warn("{}", warning);
    return print(document);
  }
  std::string lines = bench_lines(document, output_columns());
  if (document.contains("comparison")) {
    lines += "\n";
    for (const auto& line : bench::comparison_lines(document["comparison"])) lines += line + "\n";
  }
  if (const std::string ranking = ranking_line(document); !ranking.empty()) {
    lines += "\n" + ranking;
  }
  print(lines);
}

void report(ordered_json document, const std::optional<ordered_json>& before,
            const bench_settings& chosen) {
  if (before) document["comparison"] = bench::compare(*before, document);
  std::exception_ptr no_page;  // the results are printed even if the page cannot be written
  try {
    if (!chosen.html.empty()) {
      write_page(chosen.html, document, chosen.query.run.engine.output.mode);
    }
  } catch (const fatal_error&) {
    no_page = std::current_exception();
  }
  print_results(document, chosen);
  if (no_page) std::rethrow_exception(no_page);
  if (!chosen.html.empty()) spdlog::info("wrote {}", chosen.html);
}

// A summary of the result in one line, for the log file.
std::string summary_of(const bench::benchmark& done) {
  const auto now = done.now();
  std::string text =
      fmt::format("{} load(s) begun, {} requests of the last one ended", now.number, now.ended);
  if (now.cost) text += ", cost $" + now.cost->to_string();
  if (!done.why_stopped().empty()) text += "; not everything was measured: " + done.why_stopped();
  return text;
}

exit_status measure(bench_settings& chosen, const settings& flags,
                    const std::vector<std::string>& command_line) {
  run_settings& run = chosen.query.run;
  const command_start began;
  screen shown;
  shown.choose_colour(run.colour);
  shown.choose_language(run.spoken);
  start_log(shown, run.verbose, run.quiet, run.log_file, run.json_log);
  check_what_to_send(chosen);
  const bench::load_plan plan = plan_of(chosen);
  if (!chosen.html.empty()) require_page(chosen.html);
  const auto before = earlier_document(chosen.compare);
  std::vector<relay_member> with_secrets = run.engine.relays();  // as on the command line
  use_targets(chosen);
  prepared_relays relays(run, shown, needs_of(chosen.query, relay_use::send));
  config options = run.engine;
  options.job.model = chosen.model;
  options.job.override_model = false;
  const relay_prices prices = relays.prices();
  if (chosen.find_limit && options.pace.tokens_per_minute != 0) {
    refuse("--find-limit looks for a limit of requests, which --tpm would hide; leave out --tpm");
  }
  if (chosen.find_limit) make_search_cheap(chosen, prices, relays.members());
  const std::uint64_t seed = options.pace.seed != 0 ? options.pace.seed : std::random_device{}();
  const std::string id =
      fmt::format("sluice-bench-{:08x}{:08x}", std::random_device{}(), std::random_device{}());

  with_secrets.insert(with_secrets.end(), relays.members().begin(), relays.members().end());
  log_start(shown, without_secrets(command_line, with_secrets, flags.secret_flags()), flags);
  allow_open_files();
  asio::io_context loop(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  user_signals questions(loop);
  steady_clock time(loop);
  bench_relays measured(loop, time, options, relays.members(), chosen, seed);
  bench::spending money(prices, chosen.budget, chosen.query.run.engine.output.tier_default);
  measured.check_budget(money);
  const auto targets = measured.targets();
  bench::benchmark benchmark(loop.get_executor(), time, targets, plan, money,
                             {.model = models_of(measured.requests()),
                              .streamed = options.job.stream,
                              .simulated = relays.simulated(),
                              .input = measured.requests().describe(),
                              .seed = seed,
                              .id = id,
                              .counts_tokens = options.pace.tokens_per_minute != 0,
                              .max_wait = options.pace.max_wait});
  if (chosen.find_limit) benchmark.search_limits(measured.searches(money, id));
  shown.show_heading();
  std::exception_ptr fault;
  exit_status status = success;
  {
    graceful_stop ending(loop, time, run.grace,
                         {.stop = [&benchmark] { benchmark.stop("interrupted"); },
                          .abort = [&benchmark] { benchmark.abort(); },
                          .in_flight = [&benchmark] { return benchmark.now().in_flight; }});
    closing_watch closing(time, closing_time(run.closing, began.at, began.unix_time),
                          [&](const wording& why) {
                            benchmark.stop(why.english);
                            ending.stop();
                          });
    std::optional<progress_display> display;
    std::optional<wait_notice> waits;
    if (run.quiet) {
      waits.emplace(time, shown, [&benchmark] { return facts_of(benchmark.now()); });
    } else {
      display.emplace(time, shown, progress_source{.line = [&benchmark](const line_form& form) {
                        return bench_progress(benchmark.now(), form);
                      }});
    }
    const auto status_line = [&] {
      shown.line("sluice: " + bench_progress(benchmark.now(), {.spoken = shown.spoken()}));
    };
    questions.listen(status_line, [&shown] {
      shown.line("sluice: SIGUSR2: a benchmark keeps the limits that it began with");
    });
    asio::co_spawn(loop, benchmark.run(), [&](std::exception_ptr thrown) {
      fault = std::move(thrown);
      ending.leave();
      closing.leave();
      questions.leave();
      if (display) display->leave();
      if (waits) waits->leave();
      measured.leave();
    });
    loop.run();
    if (fault) std::rethrow_exception(fault);
    status = status_of(benchmark, targets, ending);
  }

  log_end(shown, summary_of(benchmark), status);
  const bool wrong_address = status == cannot_start && !benchmark.some_succeeded();
  const bool reports = benchmark.measured() && !wrong_address;
  show_why_it_ended(benchmark, targets, reports && !chosen.query.json);
  if (reports) report(benchmark.document(), before, chosen);
  if (benchmark.measured() || status != success) return status;
  spdlog::error(
      "nothing was measured: every start waited for sluice's own rate limit, which was used up by "
      "earlier runs; wait a minute, or raise --rpm if the key allows more");
  return stopped;
}

}  // namespace

command bench_command(const std::vector<std::string>& command_line) {
  auto chosen = std::make_shared<bench_settings>();
  const auto flags =
      std::make_shared<settings>(bench_flags(*chosen), run_tables(chosen->query.run));
  return {
      .name = "bench",
      .summary = "Measure a relay under load: throughput, latency, errors, cost",
      .operand = "JOB",
      .operand_help = "Jobs to send, instead of generated prompts",
      .description =
          "A load keeps --concurrency requests in flight, or starts them at a --rate. Nothing is "
          "tried again: a 500 is a failure. Starts keep within --rpm, like those of a run, and "
          "the report says when that limit, or this program, held the load back. Times count "
          "from the first byte sent; docs/bench.md explains each of them.\n"
          "\n"
          "When a benchmark stops early, it reports what it measured.",
      .common_flags = {"base-url", "api-key-file", "simulate", "target", "model", "concurrency",
                       "rate", "sweep", "find-limit", "requests", "duration", "max-tokens",
                       "prompt-tokens", "no-stream", "rpm", "budget", "compare", "html", "json"},
      .exit_statuses = {{0, "every request succeeded"},
                        {1, "some requests failed"},
                        {2, "cannot start"},
                        {3, "stopped early: a target is down or refuses, or the budget is spent"},
                        {130, "interrupted"}},
      .examples = {"sluice bench --simulate --model gpt-4o-mini --concurrency 1,8,32",
                   "sluice bench --model gpt-4o-mini --rate 120 --duration 2m",
                   "sluice bench --model gpt-4o-mini --find-limit --ceiling 300",
                   "sluice bench --model gpt-4o-mini --sweep --budget 0.50 --json > b.json",
                   "sluice bench job.jsonl --target blue --target red=https://red.example"},
      .flags = flags,
      .operands = {chosen, &chosen->jobs},
      .run =
          [chosen, flags, &command_line] {
            read_settings(*flags, chosen->query.run);
            return measure(*chosen, *flags, command_line);
          },
  };
}

}  // namespace sluice::cli
