#include "cli/commands/extract_command.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/refuse.hpp"
#include "cli/screen/screen.hpp"
#include "cli/settings/dataset_settings.hpp"
#include "cli/settings/run_settings.hpp"
#include "cli/table_job.hpp"
#include "files/file_system.hpp"
#include "jobs/job_files.hpp"
#include "jobs/own_files.hpp"
#include "terminal/descriptors.hpp"
#include "terminal/exit_status.hpp"
#include "views/progress.hpp"

namespace sluice::cli {
namespace {

struct extract_settings {
  run_settings run;
  dataset_settings table;
  std::vector<std::string> jobs;
};

std::vector<setting> extract_flags(extract_settings& target) {
  auto flags = dataset_flags(target.table, {"data", "id", "column", "usage", "format", "encoding",
                                            "delimiter", "no-quotes"});
  auto shared = run_flags(target.run, {"output", "output-dir", "max-line-bytes", "mode", "quiet"});
  describe(shared, "output", "The table with the answers: .csv or .jsonl",
           "The rows of the data with the columns of their answers go to this file. An earlier "
           "table of this command is replaced, any other file is not.");
  describe(shared, "output-dir", "Folder of the job's results",
           "The folder in which the run put the results. Without the flag they are looked for "
           "beside the job.");
  flags.insert(flags.end(), std::make_move_iterator(shared.begin()),
               std::make_move_iterator(shared.end()));
  return flags;
}

// The files of the results. `named`: a job, or a file of results, as created by -o.
job_files results_of(file_system& files, const std::string& named, const std::string& folder) {
  std::error_code error;
  const auto opened = files.open(files.resolved(named), file_system::open_as::read_only, error);
  const bool is_output =
      opened && opened->is_regular() && begins_as_results(begin_of(*opened, error));
  output_options options;
  if (is_output) {
    options.output_file = named;
  } else {
    options.directory = folder;
  }
  return name_job_files({is_output ? "-" : named}, options).front();
}

exit_status extract(const extract_settings& chosen) {
  if (chosen.jobs.size() != 1) refuse("name one JOB, the file that was run");
  if (chosen.table.data.empty()) {
    refuse("--data is missing; name the table from which the job was made");
  }
  const std::string& into = chosen.run.engine.output.output_file;
  if (into.empty()) refuse("-o is missing; name the table to write, like -o answers.csv");
  if (chosen.table.data == "-") require_standard_input({"-"});
  const auto files = system_files(chosen.run.engine.output.mode);
  const job_files results =
      results_of(*files, chosen.jobs.front(), chosen.run.engine.output.directory);
  if (!files->exists(results.output) && !files->exists(results.errors)) {
    refuse(
        fmt::format("{}: there are no results in {}; run the job first, or name the folder of its "
                    "results with --output-dir",
                    chosen.jobs.front(), results.output));
  }
  const auto done = dataset::extract_rows(
      *files, {chosen.table.data, results.output, results.errors, into},
      table_options_of(chosen.run, chosen.table), extract_options_of(chosen.table));
  screen shown;
  if (!chosen.run.quiet) shown.line(extracted_text(done, into));
  if (done.other_results > 0) {
    shown.line(fmt::format("sluice: {} result(s) belong to no row of {}; is it the whole table?",
                           grouped(done.other_results), chosen.table.data));
  }
  return done.failed + done.no_result > 0 ? some_failed : success;
}

}  // namespace

command extract_command() {
  auto chosen = std::make_shared<extract_settings>();
  const auto flags = std::make_shared<settings>(extract_flags(*chosen), run_tables(chosen->run));
  return {
      .name = "extract",
      .summary = "Join the results of a job to the rows of its table",
      .operand = "JOB",
      .operand_help = "The job, or the file of its results",
      .description =
          "Writes all rows of DATA in their order, with their cells unchanged, and adds a column "
          "for "
          "each --column and one named 'error', which is empty where there is an answer. Rows are "
          "joined by --id, or by their number. It may be used while the job runs: rows without a "
          "result are marked.",
      .common_flags = {"data", "id", "column", "output", "usage", "output-dir", "encoding",
                       "delimiter", "quiet"},
      .exit_statuses = {{0, "every row has its answer"},
                        {1, "some rows have an error"},
                        {2, "the table or the results cannot be used; nothing is written"},
                        {4, "the table could not be written"}},
      .examples = {"sluice extract job.jsonl --data data.csv -o answers.csv",
                   "sluice extract job.jsonl --data data.csv --column n=.json.score -o out.csv",
                   "sluice extract job.jsonl --data rows.jsonl.zst --usage -o answers.jsonl"},
      .flags = flags,
      .operands = {chosen, &chosen->jobs},
      .run =
          [chosen, flags] {
            read_settings(*flags, chosen->run);
            return extract(*chosen);
          },
  };
}

}  // namespace sluice::cli
