#include "cli/commands/collect_command.hpp"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/refuse.hpp"
#include "cli/screen/screen.hpp"
#include "cli/settings/cluster_settings.hpp"
#include "cluster/collect.hpp"
#include "cluster/enqueue.hpp"
#include "files/file_system.hpp"
#include "jobs/job_files.hpp"
#include "sluice/totals.hpp"
#include "views/progress.hpp"

namespace sluice::cli {
namespace {

exit_status collect_job(const cluster_settings& chosen, const std::vector<std::string>& given) {
  if (given.size() != 1) refuse("name one job, JOB");
  const std::string& path = given.front();
  const job_files files = name_job_files({path}, chosen.run.engine.output).front();
  const std::string name = chosen.name.empty() ? cluster::job_name_of(path) : chosen.name;
  screen shown;
  shown.choose_colour(chosen.run.colour);
  shown.choose_language(chosen.run.spoken);
  return with_job_store(chosen, [&](cluster::job_store& store) {
    const cluster::job_record job = find_named_job(store, name);
    const auto disk = system_files(chosen.run.engine.output.mode, [&](const std::string& sentence) {
      shown.line("sluice: " + sentence);
    });
    if (const std::string& folder = chosen.run.engine.output.directory; !folder.empty()) {
      if (const auto error = disk->make_folders(folder)) {
        refuse(fmt::format("--output-dir {}: cannot be made ({}); choose another place", folder,
                           error.message()));
      }
    }
    const job_totals totals = cluster::collect(store, job, files, *disk);
    if (!chosen.run.quiet) {
      shown.line(fmt::format("{}: {} of {} request(s) done, {} failed, ${}; results in {}", name,
                             grouped(totals.succeeded + totals.failed), grouped(totals.requests),
                             grouped(totals.failed), totals.cost.to_string(), files.output));
    }
    if (totals.pending() > 0) {
      if (!chosen.run.quiet) {
        shown.line(fmt::format("sluice: {} request(s) have no result yet; collect again later",
                               grouped(totals.pending())));
      }
      return stopped;
    }
    return totals.failed > 0 ? some_failed : success;
  });
}

}  // namespace

command collect_command() {
  struct state {
    cluster_settings chosen;
    std::vector<std::string> jobs;
  };
  auto kept = std::make_shared<state>();
  const auto flags =
      std::make_shared<settings>(collect_flags(kept->chosen), run_tables(kept->chosen.run));
  return {
      .name = "collect",
      .summary = "Write the results of a job that workers have done",
      .operand = "JOB",
      .operand_help = "The job's file, or its name in the store",
      .description =
          "Writes the same three files as 'sluice run': JOB.output.jsonl, JOB.errors.jsonl and "
          "JOB.totals.json, in the order of the job. While the job still runs it writes what "
          "there is; each call replaces the files of the one before. Results that the store does "
          "not have, for example those of 'sluice run', are never replaced.",
      .common_flags = {"store", "name", "output", "output-dir", "quiet"},
      .exit_statuses = {{0, "every request succeeded"},
                        {1, "finished, and some requests failed"},
                        {2, "cannot start, or would replace results that the store does not have"},
                        {3, "some requests have no result yet; collect again later"},
                        {4, "results could not be written"}},
      .examples = {"sluice collect job.jsonl --store postgresql://db.example/sluice",
                   "sluice collect job --store postgresql://db.example/sluice -o answers.jsonl"},
      .flags = flags,
      .operands = {kept, &kept->jobs},
      .run =
          [kept, flags] {
            read_settings(*flags, kept->chosen.run);
            return collect_job(kept->chosen, kept->jobs);
          },
  };
}

}  // namespace sluice::cli
