#include "cli/commands/enqueue_command.hpp"

#include <fmt/format.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/refuse.hpp"
#include "cli/screen/screen.hpp"
#include "cli/settings/cluster_settings.hpp"
#include "cluster/enqueue.hpp"
#include "jobs/job_files.hpp"
#include "views/progress.hpp"

namespace sluice::cli {
namespace {

// The jobs with their names. All names are checked to be different before the first job is stored.
std::vector<std::pair<std::string, std::string>> named_jobs(const cluster_settings& chosen,
                                                            const std::vector<std::string>& paths) {
  if (paths.empty()) refuse("name a JSONL file, JOB");
  if (!chosen.name.empty() && paths.size() > 1) {
    refuse("--name names one job, and there are several; enqueue them one by one");
  }
  std::vector<std::pair<std::string, std::string>> named;
  std::set<std::string> names;
  for (const std::string& path : paths) {
    if (is_result_file(path)) refuse(path, "holds results, not a job; name a JSONL file");
    std::string name = chosen.name.empty() ? cluster::job_name_of(path) : chosen.name;
    if (!names.insert(name).second) {
      refuse(fmt::format("{}: two jobs would have the name {}; enqueue this one with --name", path,
                         name));
    }
    named.emplace_back(path, std::move(name));
  }
  return named;
}

exit_status enqueue_jobs(cluster_settings& chosen, const std::vector<std::string>& given) {
  screen shown;
  shown.choose_colour(chosen.run.colour);
  shown.choose_language(chosen.run.spoken);
  const auto [paths, repeats] = without_repeats(given);
  const auto named = named_jobs(chosen, paths);
  if (!repeats.empty()) shown.line("sluice: " + repeats);
  config& engine = chosen.run.engine;
  engine.relay = {};  // nothing is sent, so these settings need not be valid
  engine.pool.clear();
  engine.check();
  return with_job_store(chosen, [&](cluster::job_store& store) {
    bool has_bad_lines = false;
    for (const auto& [path, name] : named) {
      const auto done =
          cluster::enqueue(store, path, name, {engine.job, engine.output.budget, chosen.chunk});
      has_bad_lines = has_bad_lines || done.bad_lines > 0;
      if (chosen.run.quiet) continue;
      std::string line =
          fmt::format("{}: {} request(s), {}", name, grouped(done.job.lines),
                      done.was_there ? "stored before"
                                     : fmt::format("in chunks of {}", grouped(done.chunk_lines)));
      if (done.bad_lines > 0) {
        line += fmt::format("; {} bad line(s) will not be sent and go to the errors file",
                            grouped(done.bad_lines));
      }
      if (done.job.budget) line += fmt::format("; budget ${}", done.job.budget->to_string());
      shown.line(line);
    }
    return has_bad_lines ? some_failed : success;
  });
}

}  // namespace

command enqueue_command() {
  struct state {
    cluster_settings chosen;
    std::vector<std::string> jobs;
  };
  auto kept = std::make_shared<state>();
  const auto flags =
      std::make_shared<settings>(enqueue_flags(kept->chosen), run_tables(kept->chosen.run));
  return {
      .name = "enqueue",
      .summary = "Put jobs into a PostgreSQL database for workers on many machines",
      .operand = "JOB",
      .operand_help = "JSONL files (.gz, .zst)",
      .description =
          "Stores the requests of the jobs in the database. 'sluice work', on as many machines as "
          "wanted, sends them; 'sluice collect' writes the results as 'sluice run' does.\n"
          "\n"
          "A job that is there already is not stored again, so the command may be repeated after "
          "an interruption. With another --budget it gets that budget. docs/many-machines.md has "
          "an example.",
      .common_flags = {"store", "name", "chunk", "budget", "model", "system", "max-tokens",
                       "endpoint", "limit", "strict", "quiet"},
      .exit_statuses = {{0, "every job is stored"},
                        {1, "stored, and some lines are bad"},
                        {2, "cannot start; nothing is stored of a job that cannot be used"},
                        {3, "the database went away; run it again to go on"}},
      .examples = {"sluice enqueue job.jsonl --store postgresql://db.example/sluice",
                   "sluice enqueue job.jsonl --store postgresql://db.example/sluice --budget 20"},
      .flags = flags,
      .operands = {kept, &kept->jobs},
      .run =
          [kept, flags] {
            read_settings(*flags, kept->chosen.run);
            return enqueue_jobs(kept->chosen, kept->jobs);
          },
  };
}

}  // namespace sluice::cli
