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
#include "cli/bench_relays.hpp"
#include "cli/commands/bench_attendant.hpp"
#include "cli/page_file.hpp"
#include "cli/settings/bench_settings.hpp"
#include "cli/settings/relay_setup.hpp"
#include "cli/views/bench_report.hpp"
#include "cli/views/heading.hpp"
#include "cli/views/screen.hpp"
#include "loadtest/benchmark.hpp"
#include "loadtest/comparison.hpp"
#include "sluice/error.hpp"
#include "terminal/exit_status.hpp"
#include "terminal/standard_output.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;
using nlohmann::ordered_json;

// Of a search for a limit, where nothing else is said: it is to cost next to nothing.
constexpr std::uint64_t shortest_prompt = 16;
constexpr std::int64_t shortest_reply = 1;
constexpr std::string_view usual_search_budget = "0.10";

[[noreturn]] void refuse(const std::string& sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

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
  if (!chosen.jobs.empty() && chosen.find_limit) {
    refuse("--find-limit sends short prompts of its own; leave the JOB out, and name a --model");
  }
  if (!chosen.jobs.empty() && chosen.lengths_given) {
    refuse("--prompt-tokens and --max-tokens are for made-up prompts; a JOB says its own");
  }
}

// The models that are asked for, as a document names them.
std::string models_of(const bench::request_supply& requests) {
  std::set<std::string> models;
  requests.visit([&models](const request& one) { models.insert(one.model); });
  return fmt::format("{}", fmt::join(models, ", "));
}

// A search is to cost next to nothing, where nothing else is said.
void make_search_cheap(bench_settings& chosen, const relay_prices& prices,
                       const std::vector<relay_member>& members) {
  const bool priced = std::all_of(members.begin(), members.end(), [&](const auto& member) {
    return prices.find(member.name, chosen.model, endpoint::chat_completions).has_value();
  });
  if (!chosen.budget && priced) chosen.budget = usd::parse(usual_search_budget);
  if (chosen.lengths_given) return;
  chosen.prompt_tokens = shortest_prompt;
  chosen.max_tokens = shortest_reply;
}

void tell_what_ended(const bench::benchmark& done, const std::vector<bench::target*>& targets) {
  for (const auto* one : targets) {
    if (one->stopped) spdlog::error("{}: {}", name_of(one->member), one->stopped->sentence);
  }
  if (!done.why_stopped().empty()) spdlog::warn("not all was measured: {}", done.why_stopped());
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

void print_measured(const ordered_json& document, const bench_settings& chosen) {
  if (chosen.inquiry.json) {
    for (const auto& warning : bench_warnings(document)) spdlog::warn("{}", warning);
    return print(document);
  }
  std::string lines = bench_lines(document);
  if (document.contains("comparison")) {
    lines += "\n";
    for (const auto& line : bench::comparison_lines(document["comparison"])) lines += line + "\n";
  }
  print(lines);
}

void tell(ordered_json document, const std::optional<ordered_json>& before,
          const bench_settings& chosen) {
  if (before) document["comparison"] = bench::compare(*before, document);
  std::exception_ptr no_page;  // the results are printed even if the page cannot be written
  try {
    if (!chosen.html.empty()) {
      write_page(chosen.html, document, chosen.inquiry.run.engine.output.mode);
    }
  } catch (const fatal_error&) {
    no_page = std::current_exception();
  }
  print_measured(document, chosen);
  if (no_page) std::rethrow_exception(no_page);
}

exit_status measure(bench_settings& chosen) {
  run_settings& run = chosen.inquiry.run;
  screen shown;
  start_log(shown, run.verbose, run.quiet, run.log_file);
  check_what_to_send(chosen);
  const bench::load_plan plan = plan_of(chosen);
  if (!chosen.html.empty()) require_page(chosen.html);
  const auto before = earlier_document(chosen.compare);
  use_targets(chosen);
  const auto simulated =
      run.simulate ? start_simulator(run, chosen.inquiry.simulated_balance) : nullptr;
  const auto members = find_members(chosen.inquiry, simulated != nullptr);
  shown.heading(heading(run, simulated != nullptr));
  warn_of_exposed_keys(run.engine);

  config options = run.engine;
  options.job.model = chosen.model;
  options.job.override_model = false;
  if (!simulated) share_limit(options.pace);
  if (!run.config_file.empty() && asks_for_prices(run)) shown.show_heading();  // it gets the key
  const relay_prices prices = load_prices(run);
  if (chosen.find_limit && options.pace.tokens_per_minute != 0) {
    refuse("--find-limit looks for a limit of requests, which --tpm would hide; leave it out");
  }
  if (chosen.find_limit) make_search_cheap(chosen, prices, members);
  const std::uint64_t seed = options.pace.seed != 0 ? options.pace.seed : std::random_device{}();
  const std::string id =
      fmt::format("sluice-bench-{:08x}{:08x}", std::random_device{}(), std::random_device{}());

  asio::io_context loop(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  steady_clock time(loop);
  bench_relays relays(loop, time, options, members, chosen, seed);
  bench::spending money(prices, chosen.budget);
  relays.check_budget(money);
  const auto targets = relays.targets();
  bench::benchmark benchmark(loop.get_executor(), time, targets, plan, money,
                             {.model = models_of(relays.requests()),
                              .streamed = options.job.stream,
                              .simulated = simulated != nullptr,
                              .input = relays.requests().describe(),
                              .seed = seed,
                              .id = id,
                              .counts_tokens = options.pace.tokens_per_minute != 0,
                              .max_wait = options.pace.max_wait});
  if (chosen.find_limit) benchmark.search_limits(relays.searches(money, id));
  shown.show_heading();
  std::exception_ptr fault;
  bool was_interrupted = false;
  {
    bench_attendant beside(loop, time, benchmark, shown, run);
    asio::co_spawn(loop, benchmark.run(), [&](std::exception_ptr thrown) {
      fault = std::move(thrown);
      beside.leave();
      relays.leave();
    });
    loop.run();
    if (fault) std::rethrow_exception(fault);
    was_interrupted = beside.interrupted();
  }

  tell_what_ended(benchmark, targets);
  const exit_status status = status_of(benchmark, targets, was_interrupted);
  const bool wrong_address = status == cannot_start && !benchmark.some_succeeded();
  if (benchmark.measured() && !wrong_address) tell(benchmark.document(), before, chosen);
  if (benchmark.measured() || status != success) return status;
  spdlog::error(
      "nothing was measured: every start waited for sluice's own limit, which earlier runs had "
      "used "
      "up; wait a minute, or raise --rpm if the key allows more");
  return stopped;
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
      "bench", "Measure a relay under load: throughput, times to token, errors, cost");
  command->add_option("JOB", kept->chosen.jobs, "Jobs to send, in the place of made-up prompts");
  command->add_option("--config", kept->config, "Config file (./sluice.toml)")->type_name("FILE");
  kept->flags.add_to(*command);
  command->footer(
      "A load keeps --concurrency requests in flight, or starts them at a --rate whatever becomes\n"
      "of them. Nothing is tried again: a 500 is a failure. Starts keep within --rpm like those "
      "of\n"
      "a run, and it is said when that cap, or this program, was what held them. Times count from\n"
      "the first byte sent; what each means is in docs/bench.md.\n"
      "--find-limit sends short requests until the relay refuses three, then a few more to see "
      "how\n"
      "it opens again, within --ceiling, --budget (0.10 USD) and --requests.\n"
      "The key of --target NAME=URL is that of NAME_API_KEY, else OPENAI_API_KEY.\n"
      "Exit status: 0 all succeeded, 1 some failed, 2 cannot start, 3 stopped early (a target is\n"
      "down or refuses, the budget is used up), 130 interrupted. What was measured is told.\n"
      "\n"
      "Examples:\n"
      "  sluice bench --simulate --model gpt-4o-mini --concurrency 1,8,32\n"
      "  sluice bench --model gpt-4o-mini --rate 120 --rate-kind poisson --duration 2m\n"
      "  sluice bench --model gpt-4o-mini --find-limit --ceiling 300\n"
      "  sluice bench --model gpt-4o-mini --sweep --budget 0.50 --json > bench.json\n"
      "  sluice bench job.jsonl --target blue=https://blue.example/v1 --target "
      "green=https://g.example");
  command->callback([kept, &exit_status] {
    read_settings(kept->flags, kept->config, kept->chosen.inquiry.run);
    exit_status = measure(kept->chosen);
  });
}

}  // namespace sluice::cli
