#include "cli/commands/check_command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/printable.hpp"
#include "cli/settings/relay_setup.hpp"
#include "cli/settings/run_settings.hpp"
#include "cli/views/check_report.hpp"
#include "cli/views/heading.hpp"
#include "cli/views/screen.hpp"
#include "jobs/job_files.hpp"
#include "jobs/job_reader.hpp"
#include "sluice/error.hpp"
#include "terminal/descriptors.hpp"
#include "terminal/exit_status.hpp"
#include "terminal/standard_output.hpp"

namespace sluice::cli {
namespace {

struct check_settings {
  run_settings run;
  bool json = false;
  bool lines = false;
};

std::vector<setting> check_flags(check_settings& target) {
  auto table = run_flags(
      target.run, {"model", "override-model", "system", "endpoint", "limit", "max-line-bytes",
                   "rpm", "tpm", "prices", "price-multiplier", "price-group", "base-url",
                   "api-key-file", "assume-max-tokens", "quiet"});
  for (auto& entry : table) {
    if (entry.name == "api-key-file") {  // needed only where the relay is asked for its prices
      entry.apply = [read = entry.apply](const std::string& path) {
        try {
          read(path);
        } catch (const bad_setting&) {
        }
      };
    }
    if (entry.name == "quiet") entry.help = "Nothing but errors on standard error";
    if (entry.name == "assume-max-tokens") entry.help = "Of a reply that nothing else bounds";
  }
  const auto on = [](bool& place) {
    return [&place](const std::string& given) { place = parse_switch(given); };
  };
  table.push_back({.name = "json",
                   .help = "Print one JSON document",
                   .group = "Screen and log",
                   .apply = on(target.json),
                   .in_config = false});
  table.push_back({.name = "lines",
                   .help = "Print one JSON object for each request instead",
                   .group = "Screen and log",
                   .apply = on(target.lines),
                   .in_config = false});
  return table;
}

[[noreturn]] void refuse(const std::string& sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

// Those that hold a job; each can be opened, or nothing is printed.
std::vector<std::string> jobs_among(const std::vector<std::string>& named,
                                    const job_options& lines) {
  std::vector<std::string> paths;
  const auto [jobs_named, repeats] = without_repeats(named);
  if (!repeats.empty()) spdlog::info("{}", repeats);
  for (const auto& path : jobs_named) {
    if (is_result_file(path)) {
      spdlog::info("{}: holds results, not a job; passed over", printable_text(path));
      continue;
    }
    if (path != "-") (void)open_job(path, lines);
    paths.push_back(path);
  }
  if (paths.empty()) refuse("there is no job to check; name a JSONL file");
  if (std::count(paths.begin(), paths.end(), "-") > 1)
    refuse("standard input can be read once; name it once");
  return paths;
}

// Prints the requests as they come, a good piece at a time.
class request_printer {
 public:
  void add(const checked_request& request) {
    constexpr std::size_t piece = std::size_t{256} << 10;
    append_request_line(lines_, request);
    if (lines_.size() >= piece) flush();
  }
  void flush() {
    print(lines_);
    lines_.clear();
  }

 private:
  std::string lines_;
};

void warn_of(const named_check& job, bool tells_bad_lines) {
  for (const auto& [model, share] : job.told.models()) {
    if (share.rough) {
      spdlog::warn("{}: the vocabulary of model {} is not known; its tokens are rough",
                   printable_text(job.job), printable_text(model));
    }
  }
  const auto& bad_lines = job.told.bad_lines();
  if (tells_bad_lines || bad_lines.empty()) return;
  spdlog::warn("{}: {} bad line(s), the first is line {}: {} (without --lines all are told)",
               printable_text(job.job), bad_lines.size(), bad_lines.front().line,
               printable_text(job.told.message_of(bad_lines.front())));
}

exit_status check_jobs(check_settings& chosen, const std::vector<std::string>& named) {
  screen shown;
  start_log(shown, false, chosen.run.quiet, {});
  config& options = chosen.run.engine;
  const bool asks = asks_for_prices(chosen.run);
  if (!asks) options.relay = {};  // nor has it to be right
  options.check();
  if (asks) {
    require_keys(chosen.run);
    shown.heading(heading(chosen.run, false));
    find_proxies(options);
    if (!chosen.run.config_file.empty()) shown.show_heading();
  }
  const auto prices = load_prices(chosen.run);
  require_standard_input(named);
  const auto paths = jobs_among(named, options.job);
  options.job.stream = false;  // the fields of a stream are no part of what is counted
  const check_options how{.lines = options.job,
                          .prices = prices,
                          .assume_max_tokens = options.output.assume_max_tokens,
                          .threads = std::max(std::thread::hardware_concurrency(), 1U)};
  std::vector<named_check> jobs;
  bool any_bad = false;
  request_printer printer;
  for (const auto& path : paths) {
    jobs.push_back({path, chosen.lines ? check_job(path, how,
                                                   [&](const checked_request& request) {
                                                     printer.add(request);
                                                   })
                                       : check_job(path, how)});
    warn_of(jobs.back(), !chosen.lines);
    any_bad = any_bad || !jobs.back().told.bad_lines().empty();
  }
  const check_limits limits{requests_a_minute(options), options.pace.tokens_per_minute};
  if (chosen.lines) {
    printer.flush();
  } else if (chosen.json) {
    print(check_document(jobs, limits));
  } else {
    print(check_lines(jobs, limits));
  }
  return any_bad ? some_failed : success;
}

}  // namespace

void add_check_command(CLI::App& program, int& exit_status) {
  struct state {
    check_settings chosen;
    settings flags{check_flags(chosen), run_tables(chosen.run)};
    std::vector<std::string> jobs;
    std::string config;
  };
  auto kept = std::make_shared<state>();
  auto* command = program.add_subcommand(
      "check", "Look jobs through without sending: bad lines, tokens, cost and time");
  command->add_option("JOB", kept->jobs, "JSONL files (.gz, .zst), or - for standard input");
  command->add_option("--config", kept->config, "Config file (./sluice.toml)")->type_name("FILE");
  kept->flags.add_to(*command);
  command->footer(
      "Tokens are those of the model's own tokenizer, with what frames a chat. ~ marks counts\n"
      "that are not exact: of models that reason, functions and images, and, roughly, of models\n"
      "whose vocabulary is not known. The cost at most takes every reply at its longest. A key\n"
      "and the network are needed by --prices relay alone.\n"
      "Exit status: 0 every line is good, 1 some are bad, 2 a job cannot be read.\n"
      "\n"
      "Examples:\n"
      "  sluice check job.jsonl\n"
      "  sluice check a.jsonl b.jsonl.gz --json --rpm 60 | jq '.jobs[].cost_usd'\n"
      "  sluice check prompts.jsonl --model gpt-4o-mini --lines | jq .prompt_tokens");
  command->callback([kept, &exit_status] {
    read_settings(kept->flags, kept->config, kept->chosen.run);
    exit_status = check_jobs(kept->chosen, kept->jobs);
  });
}

}  // namespace sluice::cli
