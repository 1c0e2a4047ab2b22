#include "cli/table_job.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <utility>

#include "base/printable.hpp"
#include "base/refuse.hpp"
#include "base/wording.hpp"
#include "dataset/draft.hpp"
#include "dataset/request_template.hpp"
#include "files/file_system.hpp"
#include "jobs/job_files.hpp"
#include "jobs/job_line.hpp"
#include "json/object.hpp"
#include "json/text.hpp"
#include "views/progress.hpp"
#include "views/shown_command.hpp"

namespace sluice::cli {
namespace {

namespace fs = std::filesystem;

struct read_template {
  std::string url;
  dataset::request_template body;
};

// Reads the template in the same way as the lines of a job, so that a model, a system message and
// the endpoint are completed in the same way.
read_template template_of(const std::string& path, job_options options) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file || content.bad())
    refuse(fmt::format("--template {}: cannot be read; check the path", path));
  const std::string text = content.str();
  std::string_view json = text;
  if (json.starts_with("\xEF\xBB\xBF")) json.remove_prefix(3);
  if (const auto fault = json_fault(json)) {
    refuse(fmt::format("--template {}: is not valid JSON: {}", path, *fault));
  }
  if (json_object(json).has("custom_id")) {
    refuse(
        fmt::format("--template {}: has a custom_id; leave it out, and name the column of the "
                    "ids with --id",
                    path));
  }
  options.stream = false;  // the run adds what a stream needs
  const auto line = parse_job_line(json_compact(json), 1, options);
  if (!line) {
    constexpr std::string_view subject = "The line ";
    std::string why = line.error().message;
    if (why.starts_with(subject)) why.replace(0, subject.size(), "it ");
    refuse(fmt::format("--template {}: {}", path, why));
  }
  dataset::request_template body(path, line->body);
  if (!body.has_placeholders()) {
    refuse(
        fmt::format("--template {}: names no column, so every row would make the same request; "
                    "write {{{{column}}}} where the cell of a row belongs",
                    path));
  }
  return {std::string(to_string(line->target)), std::move(body)};
}

bool is_same_file(const std::string& one, const std::string& other) {
  std::error_code not_there;
  return fs::equivalent(one, other, not_there);
}

// A job must not be replaced during its run. The run would find that the job has changed, and stop.
void require_no_run(file_system& files, const std::string& job) {
  const std::string output = name_job_files({job}, {}).front().output;
  std::error_code error;
  const auto opened = files.open(files.resolved(output), file_system::open_as::existing, error);
  if (!opened || opened->lock().is != file::lock_result::state::held) return;
  refuse(job,
         "another run is using it, and the data or the template has changed; wait for the run, "
         "or stop it first");
}

// Size and time of a file. They differ if the file was changed.
std::string stamp_of(const std::string& path) {
  std::error_code unknown;
  const auto size = fs::file_size(path, unknown);
  return fmt::format("{} {}", size, fs::last_write_time(path, unknown).time_since_epoch().count());
}

std::string stem_of(const std::string& into) {
  return fs::path(into).replace_extension().string();
}

}  // namespace

dataset::prepared_job write_table_job(const std::string& data, const dataset_settings& chosen,
                                      const run_settings& run, const std::string& job) {
  const auto files = system_files(run.engine.output.mode);
  const job_options& lines = run.engine.job;
  read_template body = template_of(chosen.template_file, lines);
  for (const std::string& path : {data, chosen.template_file}) {
    if (path != "-" && is_same_file(path, job)) {
      refuse(fmt::format("{}: the job would overwrite {}; name another file with -o", job, path));
    }
  }
  if (is_result_file(job)) {
    refuse(job, "is a name for results; name the job otherwise, like job.jsonl");
  }
  dataset::require_replaceable(*files, job, dataset::begins_as_prepared);
  dataset::draft made(*files, job, dataset::begins_as_torn_prepared);
  auto done = dataset::write_requests(data, table_options_of(run, chosen), body.body, body.url,
                                      {.id_column = chosen.id_column,
                                       .limit = lines.limit,
                                       .sample = chosen.sample,
                                       .seed = chosen.seed,
                                       .files = chosen.files,
                                       .max_line_bytes = lines.max_line_bytes},
                                      [&made](std::string_view line) { made.append(line); });
  if (made.equals_target()) return done;
  require_no_run(*files, job);
  made.publish();
  return done;
}

dataset::table_options table_options_of(const run_settings& run, const dataset_settings& chosen) {
  dataset::table_options table = chosen.table;
  table.max_row_bytes = run.engine.job.max_line_bytes;
  return table;
}

std::string prepared_text(const dataset::prepared_job& done, const std::string& data,
                          const std::string& job) {
  std::string text = fmt::format("{}: {} request(s) from {} row(s) of {}", printable_text(job),
                                 grouped(done.requests), grouped(done.rows), printable_text(data));
  if (done.files > 0) {
    text += fmt::format(
        "\n  files     {} put in, {} bytes, {} as base64; the largest is {} with {} bytes",
        grouped(done.files), grouped(done.file_bytes), grouped((done.file_bytes + 2) / 3 * 4),
        printable_text(done.largest_file), grouped(done.largest_file_bytes));
  }
  return text;
}

std::string extracted_text(const dataset::extracted_rows& done, const std::string& into,
                           language spoken) {
  std::string text = say(spoken, "{}: {} row(s), {} with an answer", printable_text(into),
                         grouped(done.rows), grouped(done.answered));
  if (done.failed > 0) text += say(spoken, ", {} failed", grouped(done.failed));
  if (done.no_result > 0) text += say(spoken, ", {} without a result", grouped(done.no_result));
  if (done.failed + done.no_result > 0) text += say(spoken, "; the error column says why");
  return text;
}

table_run::table_run(std::vector<std::string> operands, dataset_settings chosen, run_settings& run,
                     const std::string& output)
    : chosen_(std::move(chosen)), run_(run), into_(output) {
  if (operands.size() != 1) {
    refuse("--template is for one table; name one DATA file, or prepare each with sluice prepare");
  }
  data_ = std::move(operands.front());
  if (data_ == "-") {
    refuse(
        "a table on standard input can be read once, and its rows are needed again for the "
        "answers; save it to a file");
  }
  if (into_.empty()) refuse("--template needs -o FILE, the table with the answers: .csv or .jsonl");
  const bool csv = into_.ends_with(".csv");
  if (!csv && !into_.ends_with(".jsonl")) {
    refuse(fmt::format("-o {}: write a name that ends with .csv or .jsonl", into_));
  }
  job_ = stem_of(into_) + (csv ? ".jsonl" : ".job.jsonl");
  const auto files = system_files(run.engine.output.mode);
  dataset::require_extract_target(*files, names(), table_options_of(run, chosen_),
                                  extract_options_of(chosen_));
}

std::string table_run::prepare() {
  stamp_ = stamp_of(data_);
  // --limit applies to the run, not to the new job
  const std::uint64_t limit = std::exchange(run_.engine.job.limit, 0);
  const auto done = write_table_job(data_, chosen_, run_, job_);
  run_.engine.job.limit = limit;
  run_.engine.output.output_file.clear();
  run_.engine.output.directory.clear();
  return done.files > 0 ? prepared_text(done, data_, job_) : std::string();
}

dataset::extract_files table_run::names() const {
  const job_files results = name_job_files({job_}, {}).front();
  return {data_, results.output, results.errors, into_};
}

dataset::extracted_rows table_run::extract() const {
  if (stamp_of(data_) != stamp_) {
    refuse(data_,
           fmt::format("has changed during the run, so {} is not written; the results are kept: "
                       "run the same command again",
                       into_));
  }
  const auto files = system_files(run_.engine.output.mode);
  return dataset::extract_rows(*files, names(), table_options_of(run_, chosen_),
                               extract_options_of(chosen_));
}

std::string table_run::extract_command() const {
  std::string text = fmt::format("sluice extract {} --data {}", quoted(job_), quoted(data_));
  const auto add = [&text](std::string_view flag, const std::string& value) {
    text += fmt::format(" --{} {}", flag, quoted(value));
  };
  if (!chosen_.id_column.empty()) add("id", chosen_.id_column);
  for (const auto& column : chosen_.columns) add("column", column.name + "=" + column.path.text());
  if (chosen_.usage) text += " --usage";
  const dataset::table_options& table = chosen_.table;
  if (table.format) add("format", std::string(to_string(*table.format)));
  if (!table.encoding.empty()) add("encoding", table.encoding);
  if (table.delimiter) add("delimiter", std::string(1, *table.delimiter));
  if (!table.quotes) text += " --no-quotes";
  const fs::path whole(into_);
  return text +
         fmt::format(" -o {}", quoted(stem_of(into_) + ".part" + whole.extension().string()));
}

}  // namespace sluice::cli
