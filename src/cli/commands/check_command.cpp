#include "cli/commands/check_command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/printable.hpp"
#include "base/refuse.hpp"
#include "cli/screen/screen.hpp"
#include "cli/settings/prepared_relays.hpp"
#include "cli/settings/run_settings.hpp"
#include "jobs/job_files.hpp"
#include "jobs/job_reader.hpp"
#include "jobs/likely_replies.hpp"
#include "terminal/descriptors.hpp"
#include "terminal/exit_status.hpp"
#include "terminal/standard_output.hpp"
#include "views/check_report.hpp"

namespace sluice::cli {
namespace {

struct check_settings {
  run_settings run;
  bool json = false;
  bool lines = false;
};

std::vector<setting> check_flags(check_settings& target) {
  auto table = run_flags(target.run, {"model", "override-model", "system", "max-tokens", "endpoint",
                                      "expect", "limit", "max-line-bytes", "rpm", "tpm", "prices",
                                      "price-multiplier", "price-group", "base-url", "api-key-file",
                                      "assume-max-tokens", "tier-default", "quiet", "lang"});
  for (auto& entry : table) {
    if (entry.name == "api-key-file") {  // it need not exist if no relay is used
      entry.apply = [read = entry.apply](const std::string& path) {
        try {
          read(path);
        } catch (const bad_setting&) {
        }
      };
    }
  }
  describe(table, "quiet", "Show nothing but errors",
           "Shows only errors on standard error. The result on standard output stays the same.");
  table.push_back(json_flag(target.json));
  table.push_back({.name = "lines",
                   .group = "General",
                   .short_help = "Print one JSON object for each request instead",
                   .long_help =
                       "Prints the line number, the id, the model and the prompt tokens of "
                       "each request, in the order of the job.",
                   .apply = [&target](const std::string& on) { target.lines = parse_switch(on); },
                   .in_config = false});
  return table;
}

// The paths that contain a job. Opens each one now, so that a command that fails prints nothing.
std::vector<std::string> jobs_among(const std::vector<std::string>& named,
                                    const job_options& lines) {
  std::vector<std::string> paths;
  const auto [jobs_named, repeats] = without_repeats(named);
  if (!repeats.empty()) spdlog::info("{}", repeats);
  for (const auto& path : jobs_named) {
    if (is_result_file(path)) {
      spdlog::info("{}: holds results, not a job; skipped", printable_text(path));
      continue;
    }
    if (path != "-") (void)open_job(path, lines);
    paths.push_back(path);
  }
  if (paths.empty()) refuse("there is no job to check; name a JSONL file");
  if (std::count(paths.begin(), paths.end(), "-") > 1)
    refuse("standard input can be read only once; name it once");
  return paths;
}

// Prints the requests as they come, in large blocks.
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
      spdlog::warn("{}: the tokenizer of model {} is not known; its token counts are rough",
                   printable_text(job.job), printable_text(model));
    }
  }
  const auto& bad_lines = job.told.bad_lines();
  if (tells_bad_lines || bad_lines.empty()) return;
  spdlog::warn("{}: {} bad line(s), the first is line {}: {} (without --lines, all are shown)",
               printable_text(job.job), bad_lines.size(), bad_lines.front().line,
               printable_text(job.told.message_of(bad_lines.front())));
}

// The reply lengths from the totals of an earlier run of the job, if there was one.
likely_replies replies_of_earlier_runs(const std::string& job) {
  if (job == "-") return {};
  const std::string path = name_job_files({job}, {}).front().totals;
  std::error_code unreadable;
  if (!std::filesystem::is_regular_file(path, unreadable)) return {};
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return file ? likely_replies_of(text.str()) : likely_replies{};
}

exit_status check_jobs(check_settings& chosen, const std::vector<std::string>& named) {
  screen shown;
  start_log(shown, false, chosen.run.quiet, {});
  config& options = chosen.run.engine;
  prepared_relays relays(chosen.run, shown, {.use = relay_use::price_lists, .check_all = true});
  const auto prices = relays.prices();
  require_standard_input(named);
  const auto paths = jobs_among(named, options.job);
  options.job.stream = false;  // stream fields are not counted
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  check_options how{.lines = options.job,
                    .prices = prices,
                    .unix_now = now.count(),
                    .defaults = {options.output.assume_max_tokens, options.output.tier_default},
                    .threads = std::max(std::thread::hardware_concurrency(), 1U)};
  std::vector<named_check> jobs;
  bool any_bad = false;
  request_printer printer;
  for (const auto& path : paths) {
    how.replies = replies_of_earlier_runs(path);
    jobs.push_back({path, chosen.lines ? check_job(path, how,
                                                   [&](const checked_request& request) {
                                                     printer.add(request);
                                                   })
                                       : check_job(path, how)});
    jobs.back().replies_are_measured = !how.replies.by_model.empty();
    warn_of(jobs.back(), !chosen.lines);
    any_bad = any_bad || !jobs.back().told.bad_lines().empty();
  }
  const check_limits limits{requests_per_minute(options), options.pace.tokens_per_minute};
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

command check_command() {
  struct state {
    check_settings chosen;
    std::vector<std::string> jobs;
  };
  auto kept = std::make_shared<state>();
  const auto flags =
      std::make_shared<settings>(check_flags(kept->chosen), run_tables(kept->chosen.run));
  return {
      .name = "check",
      .summary = "Validate jobs without sending: bad lines, tokens, cost, time",
      .operand = "JOB",
      .operand_help = "JSONL files (.gz, .zst), or - for standard input",
      .description =
          "Tokens are counted with the model's own tokenizer, with the overhead of a chat. A ~ "
          "marks counts that are not exact: reasoning models, functions, images, and models whose "
          "tokenizer is not known. The cost at most takes every reply at its longest. Only "
          "--prices relay needs a key and the network.",
      .common_flags = {"base-url", "model", "limit", "rpm", "tpm", "prices", "tier-default",
                       "lines", "json", "quiet"},
      .exit_statuses = {{0, "every line is good"},
                        {1, "some lines are bad"},
                        {2, "a job cannot be read"}},
      .examples = {"sluice check job.jsonl",
                   "sluice check a.jsonl b.jsonl.gz --json --rpm 60 | jq '.jobs[].cost_usd'",
                   "sluice check prompts.jsonl --model gpt-4o-mini --lines | jq .prompt_tokens"},
      .flags = flags,
      .operands = {kept, &kept->jobs},
      .run =
          [kept, flags] {
            read_settings(*flags, kept->chosen.run);
            return check_jobs(kept->chosen, kept->jobs);
          },
  };
}

}  // namespace sluice::cli
