#include "cli/commands/report_command.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/display_width.hpp"
#include "base/translated_error.hpp"
#include "cli/page_file.hpp"
#include "cli/screen/screen.hpp"
#include "cli/settings/prepared_relays.hpp"
#include "cli/settings/run_settings.hpp"
#include "files/line_reader.hpp"
#include "jobs/failure_examples.hpp"
#include "jobs/job_audit.hpp"
#include "jobs/job_files.hpp"
#include "jobs/job_follower.hpp"
#include "jobs/job_reprice.hpp"
#include "jobs/stored_line.hpp"
#include "page/job_history.hpp"
#include "sluice/version.hpp"
#include "terminal/exit_status.hpp"
#include "terminal/screen_writer.hpp"
#include "terminal/standard_output.hpp"
#include "views/audit_report.hpp"
#include "views/bench_report.hpp"
#include "views/job_report.hpp"
#include "views/reprice_report.hpp"

namespace sluice::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

struct report_settings {
  run_settings run;
  bool json = false;
  bool audit = false;
  bool reprice = false;
  std::size_t worst = 10;
  std::optional<duration> watch;  ///< the interval of --watch
  bool rpm_given = false;
  /// File of the HTML page; empty: none.
  std::string html;
};

void require_file(const std::string& job, const std::string& path, const wording& what) {
  std::error_code unknown;
  if (fs::exists(path, unknown)) return;
  refuse(
      worded("{}: there is no {} {}; run the job first, or name the place of its results with "
             "--output-dir or -o",
             job, what, path));
}

// To open a pipe would wait for its other end.
bool is_pipe_or_device(const std::string& path) {
  std::error_code unknown;
  const auto found = fs::status(path, unknown);
  return fs::exists(found) && !fs::is_regular_file(found) && !fs::is_directory(found);
}

double age_of(const std::string& path) {
  std::error_code unknown;
  const auto written = fs::last_write_time(path, unknown);
  if (unknown) return 0;
  const std::chrono::duration<double> age = fs::file_time_type::clock::now() - written;
  return std::max(age.count(), 0.0);
}

// A job, and the current content of its files.
class looked_at_job {
 public:
  explicit looked_at_job(job_files named) : files(std::move(named)), follower_(files) {}

  /// Reads the totals. If the run is not finished, or was killed, the results are counted instead.
  void look() {
    require_file(files.job, files.totals, worded("totals file"));
    if (is_pipe_or_device(files.totals)) {
      refuse(
          worded("{}: is not a regular file; move it away, and run the job again to write a new "
                 "one",
                 files.totals));
    }
    const std::ifstream file(files.totals, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file || text.bad())
      refuse(fmt::format("{}: cannot be read; check the path", files.totals));
    totals = ordered_json::parse(text.str(), nullptr, false);
    if (!totals.is_object() || !totals.contains("status")) {
      refuse(fmt::format("{}: is not a totals document; run the job again to write a new one",
                         files.totals));
    }
    const auto& status = totals["status"];
    life = life_of(files, status.is_string() ? status.get<std::string>() : std::string());
    if (life.is == job_life::state::at_rest) return;
    const bool killed = life.is == job_life::state::killed;
    totals = ordered_json::parse(
        follower_.totals_now(text.str(), killed ? job_status::interrupted : job_status::running));
    // A run writes its time into the totals every ten seconds.
    if (!killed && totals["wall_s"].is_number()) {
      totals["wall_s"] =
          std::round((totals["wall_s"].get<double>() + age_of(files.totals)) * 1000) / 1000;
    }
  }
  bool goes_on() const {
    return life.is == job_life::state::running || life.is == job_life::state::unknown;
  }

  const job_files files;
  ordered_json totals;
  job_life life;

 private:
  job_follower follower_;
};

ordered_json read_totals(const job_files& files) {
  looked_at_job job(files);
  job.look();
  return std::move(job.totals);
}

std::map<std::string, std::string> reasons_of(const job_files& files) {
  std::error_code unknown;
  if (!fs::exists(files.errors, unknown)) return {};
  return failure_examples(files.errors);
}

// The first rows of the block that fit into the terminal, truncated to its width.
std::string fitting_block(const std::string& block, int terminal) {
  const std::size_t columns = columns_of(terminal);
  const std::size_t rows = rows_of(terminal);
  std::istringstream lines(block);
  std::string text;
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line) && count + 1 < rows; ++count) {
    text += fitting(line, columns) + "\n";
  }
  return text;
}

void report_totals(const std::vector<job_files>& jobs, bool as_json, language spoken) {
  auto documents = ordered_json::object();
  std::string lines;
  for (const auto& files : jobs) {
    looked_at_job job(files);
    job.look();
    if (as_json) {
      documents[files.job] = std::move(job.totals);
      continue;
    }
    if (!lines.empty()) lines += "\n";
    lines += job_report_lines(files, job.totals, reasons_of(files), job.life, spoken);
  }
  if (!as_json) return print(lines);
  if (jobs.size() == 1) return print(documents.begin().value());
  print(ordered_json{{"jobs", std::move(documents)}});
}

// The exit status that a run with these results would have.
exit_status status_of(const std::deque<looked_at_job>& jobs) {
  exit_status status = success;
  for (const auto& job : jobs) {
    const auto word = job.totals.value("status", std::string());
    const bool failed = job.totals.value("failed", std::uint64_t{0}) > 0;
    if (word == to_string(job_status::interrupted)) return interrupted;
    if (word == to_string(job_status::stopped)) status = stopped;
    if (failed && status == success) status = some_failed;
  }
  return status;
}

// Shows the jobs again after each interval, until no run is active. On a terminal, each block
// replaces the one before.
exit_status watch_jobs(const std::vector<job_files>& named, duration interval, language spoken) {
  std::deque<looked_at_job> jobs;
  for (const auto& files : named) jobs.emplace_back(files);
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  std::size_t drawn = 0;  // number of lines
  for (bool first = true;; first = false) {
    std::string block;
    bool goes_on = false;
    for (auto& job : jobs) {
      job.look();
      goes_on = goes_on || job.goes_on();
      if (!block.empty()) block += "\n";
      block += job_report_lines(job.files, job.totals, reasons_of(job.files), job.life, spoken);
    }
    std::string text;
    if (drawn > 0) text += fmt::format("\x1b[{}A\x1b[J", drawn);
    if (!terminal && !first) text += "\n";
    text += terminal && goes_on ? fitting_block(block, STDOUT_FILENO) : block;
    drawn = terminal ? static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) : 0;
    print(text);
    if (!goes_on) return status_of(jobs);
    std::this_thread::sleep_for(interval);
  }
}

void read_lines(const std::string& path, job_history& into) {
  line_reader reader(open_bytes(path), longest_result_line);
  line_reader::line line;
  while (reader.next(line)) into.add(line.too_long ? std::string_view() : line.text);
}

double seconds_since_epoch(const std::string& path) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  return now.count() - age_of(path);
}

// The limit of the job's last run, from its totals.
std::uint64_t cap_of(const ordered_json& totals) {
  const auto found = totals.find("rpm");
  return found != totals.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

// All jobs as one document for the page. `rpm`: the limit to draw; nullopt: the limit of the run.
ordered_json page_document(const std::vector<job_files>& jobs,
                           const std::optional<std::uint64_t>& rpm) {
  ordered_json document = {{"sluice_version", SLUICE_VERSION}, {"jobs", ordered_json::array()}};
  for (const auto& files : jobs) {
    const ordered_json totals = read_totals(files);
    job_history history;
    std::error_code unknown;
    for (const auto& path : {files.output, files.errors}) {
      if (fs::exists(path, unknown)) read_lines(path, history);
    }
    document["jobs"].push_back(job_document(files.job, totals, history,
                                            rpm.value_or(cap_of(totals)),
                                            seconds_since_epoch(files.totals)));
  }
  return document;
}

// The document of `sluice bench --json` in the file; nullopt if the file contains a job.
std::optional<ordered_json> bench_document(const std::string& path) {
  if (is_pipe_or_device(path)) {
    refuse(
        worded("{}: is not a regular file; name the JSONL file of a job, or the document of a "
               "benchmark",
               path));
  }
  std::ifstream file(path, std::ios::binary);
  char first = 0;
  if (!(file >> first) || first != '{') return std::nullopt;
  // A job also begins with an object. If more lines follow, the file is a job.
  file.seekg(0);
  auto document = ordered_json::object();
  try {
    file >> document;
  } catch (const ordered_json::exception&) {
    return std::nullopt;
  }
  if (!document.contains("loads") && !document.contains("targets")) return std::nullopt;
  if (file >> first)
    refuse(fmt::format("{}: holds more than one document; save each in its own file", path));
  return document;
}

void report_bench(const ordered_json& document, const report_settings& chosen) {
  if (!chosen.html.empty()) write_page(chosen.html, document, chosen.run.engine.output.mode);
  if (chosen.json) return print(document);
  if (chosen.html.empty()) print(bench_lines(document, output_columns()));
}

void report_audit(const std::vector<job_files>& jobs, report_settings& chosen, screen& shown) {
  prepared_relays relays(chosen.run, shown, {.use = relay_use::price_lists});
  const relay_prices prices = relays.prices();
  chosen.run.engine.job.limit = 0;  // an earlier run may have had a higher limit
  auto documents = ordered_json::array();
  std::string lines;
  for (const auto& files : jobs) {
    require_file(files.job, files.output, worded("output file"));
    const auto found = audit_job(files, chosen.run.engine.job, prices, chosen.worst);
    if (chosen.json) {
      documents.push_back(audit_document(files.job, found));
      continue;
    }
    if (!lines.empty()) lines += "\n";
    lines += audit_lines(files.job, found);
  }
  if (!chosen.json) return print(lines);
  print(ordered_json{{"jobs", std::move(documents)}});
}

void report_reprice(const std::vector<job_files>& jobs, report_settings& chosen, screen& shown) {
  prepared_relays relays(chosen.run, shown, {.use = relay_use::price_lists});
  const relay_prices prices = relays.prices();
  repriced_jobs found;
  for (const auto& files : jobs) {
    require_file(files.job, files.output, worded("output file"));
    found.emplace_back(files.job, reprice_job(files.output, files.errors, prices, chosen.worst));
  }
  if (chosen.json) return print(reprice_document(found));
  print(reprice_lines(found));
}

exit_status report(report_settings& chosen, const std::vector<std::string>& named) {
  screen shown;
  shown.choose_language(chosen.run.spoken);
  const language spoken = shown.spoken();
  start_log(shown, false, false, {});
  if (!chosen.html.empty()) require_page(chosen.html);
  for (const auto& path : named) {
    const auto document = bench_document(path);
    if (!document) continue;
    if (named.size() == 1) {
      if (chosen.watch) refuse("--watch is for jobs that run; leave it out for a benchmark");
      report_bench(*document, chosen);
      return success;
    }
    refuse(fmt::format("{}: is the document of a benchmark; report on it alone", path));
  }
  std::vector<std::string> paths;
  for (const auto& path : named) {
    if (!is_result_file(path)) paths.push_back(path);
  }
  if (paths.empty()) refuse("there is no job to report on; name its JSONL file");
  const auto jobs = name_job_files(paths, chosen.run.engine.output);
  if (!chosen.html.empty()) require_page(chosen.html, jobs);
  if (chosen.audit && chosen.reprice) {
    refuse("--audit and --reprice make different reports; give one of them");
  }
  if (chosen.audit || chosen.reprice) {
    if (!chosen.html.empty()) {
      refuse(fmt::format("--html draws the totals; leave {} out",
                         chosen.audit ? "--audit" : "--reprice"));
    }
    if (chosen.watch) refuse("--watch shows the totals; leave --audit and --reprice out");
    chosen.audit ? report_audit(jobs, chosen, shown) : report_reprice(jobs, chosen, shown);
    return success;
  }
  if (chosen.watch) {
    if (!chosen.html.empty() || chosen.json) {
      refuse("--watch shows text until the run ends; leave --html and --json out");
    }
    return watch_jobs(jobs, *chosen.watch, spoken);
  }
  if (!chosen.html.empty()) {
    write_page(
        chosen.html,
        page_document(jobs, chosen.rpm_given ? std::optional(requests_per_minute(chosen.run.engine))
                                             : std::nullopt),
        chosen.run.engine.output.mode);
  }
  if (chosen.html.empty() || chosen.json) report_totals(jobs, chosen.json, spoken);
  return success;
}

std::vector<setting> report_flags(report_settings& target) {
  auto table =
      run_flags(target.run, {"output", "output-dir", "model", "override-model", "system",
                             "endpoint", "max-line-bytes", "prices", "price-multiplier",
                             "price-group", "base-url", "api-key-file", "rpm", "mode", "lang"});
  describe(table, "rpm", "Rate limit to draw in the page of --html",
           "The page of --html draws the limit that the run had, as its totals tell it. Set this "
           "to draw another one.",
           std::string());
  constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
  table.push_back({.name = "audit",
                   .group = "Report",
                   .short_help = "Count all tokens again and compare with the usage",
                   .long_help = "Counts each prompt and each reply with the model's own tokenizer, "
                                "and shows where the relay reported more. Give the --model and "
                                "--system of the run, too.",
                   .apply = [&target](const std::string& on) { target.audit = parse_switch(on); },
                   .in_config = false});
  table.push_back(
      {.name = "reprice",
       .group = "Report",
       .short_help = "Compute the cost of results again with the present prices",
       .long_help = "Computes the cost of each result again from the usage, tier and times in its "
                    "line, with the present prices or those of --prices. Shows the old cost, the "
                    "new one and the difference for each model. Changes no file. Give the "
                    "--price-multiplier of the run, too.",
       .apply = [&target](const std::string& on) { target.reprice = parse_switch(on); },
       .in_config = false});
  table.push_back(
      {.name = "worst",
       .value = "N",
       .group = "Report",
       .short_help = "Requests that --audit and --reprice name",
       .long_help = "--audit names the N requests with the most expensive difference, and the N "
                    "openings with the most expensive missing cache. --reprice names the first N "
                    "results of each model that have no price. Raise it to see more of them.",
       .default_value = "10",
       .apply = [&target](const std::string& number) { target.worst = parse_count(number, most); },
       .in_config = false});
  table.push_back({.name = "watch",
                   .value = "TIME",
                   .group = "Report",
                   .short_help = "Show the jobs again and again until their runs end",
                   .long_help = "Shows the jobs every 2 s, or at the interval that is given, until "
                                "no run works on them. On a terminal the lines are renewed; in a "
                                "pipe each block follows the one before. The exit status then "
                                "says how the runs ended; 3 stands for every run that stopped, "
                                "whatever its own exit status.",
                   .apply =
                       [&target](const std::string& interval) {
                         target.watch = parse_duration(interval);
                         if (*target.watch < std::chrono::milliseconds{100}) {
                           throw bad_setting("give a time of 100ms or more");
                         }
                       },
                   .in_config = false,
                   .bare_value = "2s"});
  table.push_back(html_flag(target.html));
  table.push_back(json_flag(target.json));
  return table;
}

}  // namespace

command report_command() {
  struct state {
    report_settings chosen;
    std::vector<std::string> jobs;
  };
  auto kept = std::make_shared<state>();
  const auto flags =
      std::make_shared<settings>(report_flags(kept->chosen), run_tables(kept->chosen.run));
  return {
      .name = "report",
      .summary = "Show jobs, draw them as a page, audit usage, reprice results",
      .operand = "JOB",
      .operand_help = "Jobs that were run or are running, or a benchmark's document",
      .description =
          "Reads the files that a run leaves beside the job, or in the place that --output-dir or "
          "-o names. While a run works on a job, and after it was killed, the results are counted "
          "from their files. --json prints the totals document; for several jobs, one object for "
          "each.\n"
          "\n"
          "--html writes one page for all jobs, or for a benchmark whose 'bench --json' document "
          "is in a file. It shows throughput and errors against the limit, the spread of the "
          "times, the cost, and the slowest and the failed requests.\n"
          "\n"
          "--audit compares the usage that the relay reported with our own count. What cannot be "
          "counted exactly is left out and named with its number: images, functions, unknown "
          "tokenizers. Reasoning tokens are left out of both sides, since they cannot be counted. "
          "The token that ends a reply may be reported or not.\n"
          "\n"
          "--audit also finds prompts that repeat an opening of 1,024 tokens or more within five "
          "minutes, and for which the relay reported nothing read from a cache. Its text says what "
          "that may mean; it proves nothing by itself.\n"
          "\n"
          "--reprice shows what the results would cost at the present prices.",
      .common_flags = {"output-dir", "html", "audit", "reprice", "prices", "watch", "json"},
      .exit_statuses = {{0, "reported; with --watch: every request succeeded"},
                        {1, "with --watch: some requests failed"},
                        {2, "the files cannot be read"},
                        {3, "with --watch: a run stopped early"},
                        {130, "with --watch: a run was interrupted or killed"}},
      .examples = {"sluice report jobs/authenticity.jsonl --output-dir out",
                   "sluice report job.jsonl --watch",
                   "sluice report a.jsonl b.jsonl --json | jq '.jobs[].cost_usd'",
                   "sluice report job.jsonl --html report.html --rpm 60",
                   "sluice report job.jsonl --audit --worst 3 --price-multiplier 0.8",
                   "sluice report job.jsonl --reprice --prices new-prices.json"},
      .flags = flags,
      .operands = {kept, &kept->jobs},
      .run =
          [kept, flags] {
            read_settings(*flags, kept->chosen.run);
            kept->chosen.rpm_given = flags->on_line("rpm");
            return report(kept->chosen, kept->jobs);
          },
  };
}

}  // namespace sluice::cli
