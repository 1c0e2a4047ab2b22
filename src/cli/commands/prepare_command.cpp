#include "cli/commands/prepare_command.hpp"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/refuse.hpp"
#include "cli/screen/screen.hpp"
#include "cli/settings/dataset_settings.hpp"
#include "cli/settings/run_settings.hpp"
#include "cli/table_job.hpp"
#include "terminal/descriptors.hpp"
#include "terminal/exit_status.hpp"
#include "views/shown_command.hpp"

namespace sluice::cli {
namespace {

struct prepare_settings {
  run_settings run;
  dataset_settings table;
  std::vector<std::string> data;
};

std::vector<setting> prepare_flags(prepare_settings& target) {
  auto flags = dataset_flags(target.table, {"template", "id", "files", "sample", "seed", "format",
                                            "encoding", "delimiter", "no-quotes"});
  auto shared = run_flags(target.run, {"model", "override-model", "system", "endpoint", "limit",
                                       "max-line-bytes", "output", "mode", "quiet"});
  describe(shared, "limit", "Only the first N rows",
           "Makes requests of the first N rows and leaves the rest alone. 0 means all.");
  describe(shared, "output", "File of the job", "The job goes to this file. It is needed.");
  flags.insert(flags.end(), std::make_move_iterator(shared.begin()),
               std::make_move_iterator(shared.end()));
  return flags;
}

exit_status prepare(const prepare_settings& chosen) {
  if (chosen.data.size() != 1) refuse("name one table, DATA: a CSV, TSV or JSONL file, or -");
  if (chosen.table.template_file.empty()) {
    refuse("--template is missing; name a JSON file with {{column}} in its strings");
  }
  const std::string& job = chosen.run.engine.output.output_file;
  if (job.empty()) refuse("-o is missing; name the file of the job, like -o job.jsonl");
  if (!job.ends_with(".jsonl")) {
    refuse(fmt::format("-o {}: a job is JSONL; write a name that ends with .jsonl", job));
  }
  require_standard_input(chosen.data);
  const auto done = write_table_job(chosen.data.front(), chosen.table, chosen.run, job);
  if (chosen.run.quiet) return success;
  screen shown;
  shown.line(prepared_text(done, chosen.data.front(), job));
  shown.line(fmt::format("  next      sluice run {}", quoted(job)));
  return success;
}

}  // namespace

command prepare_command() {
  auto chosen = std::make_shared<prepare_settings>();
  const auto flags = std::make_shared<settings>(prepare_flags(*chosen), run_tables(chosen->run));
  return {
      .name = "prepare",
      .summary = "Make a job of a table (CSV, TSV, JSONL) and a template",
      .operand = "DATA",
      .operand_help = "The table (also .gz, .zst), or - for standard input",
      .description =
          "Each row becomes one request: the template's body with the row's cells in the place of "
          "{{column}}. The first row of a CSV or TSV names the columns; in JSONL each object's "
          "members are its cells. docs/datasets.md has an example.\n"
          "\n"
          "'sluice run DATA --template FILE -o OUT.csv' does prepare, run and extract in one.",
      .common_flags = {"template", "id", "output", "model", "system", "limit", "sample", "seed",
                       "files", "encoding", "delimiter", "quiet"},
      .exit_statuses = {{0, "the job is written"},
                        {2, "the table or the template cannot be used; nothing is written"},
                        {4, "the job could not be written"}},
      .examples = {"sluice prepare jobs/reviews.csv --template jobs/reviews.json -o job.jsonl",
                   "sluice prepare data.csv --template t.json --id id --sample 100 -o trial.jsonl",
                   "sluice prepare scans.csv --template t.json --files scans -o job.jsonl",
                   "zcat data.csv.gz | sluice prepare - --template t.json -o job.jsonl"},
      .flags = flags,
      .operands = {chosen, &chosen->data},
      .run =
          [chosen, flags] {
            read_settings(*flags, chosen->run);
            return prepare(*chosen);
          },
  };
}

}  // namespace sluice::cli
