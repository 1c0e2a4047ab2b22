#pragma once

#include <string>
#include <vector>

#include "base/language.hpp"
#include "cli/settings/dataset_settings.hpp"
#include "cli/settings/run_settings.hpp"
#include "dataset/extract.hpp"
#include "dataset/prepare.hpp"

namespace sluice::cli {

/// Writes the job of a table and a template to `job`. A file there is replaced if it is such a job,
/// and left alone if it has the same lines. Refuses to replace the job of a run that goes on.
/// Throws fatal_error.
dataset::prepared_job write_table_job(const std::string& data, const dataset_settings& chosen,
                                      const run_settings& run, const std::string& job);

/// How the table is read.
dataset::table_options table_options_of(const run_settings& run, const dataset_settings& chosen);

/// Two or three lines about it.
std::string prepared_text(const dataset::prepared_job& done, const std::string& data,
                          const std::string& job);
/// One line: how many rows have an answer.
std::string extracted_text(const dataset::extracted_rows& done, const std::string& into,
                           language spoken = language::english);

/// A table, its job and the table of answers of `sluice run DATA --template`.
class table_run {
 public:
  /// Checks the names before anything is sent. `output`: of -o. Throws fatal_error.
  table_run(std::vector<std::string> operands, const dataset_settings& chosen, run_settings& run,
            const std::string& output);

  /// Makes the job, and sets where its results go: beside the table of answers. Returns what to say
  /// of the files that were put in; empty: none were.
  std::string prepare();
  const std::string& job() const noexcept { return job_; }
  /// Writes the table of answers. Throws fatal_error where the data has changed since prepare(), as
  /// the answers would come to stand in wrong rows.
  dataset::extracted_rows extract() const;
  const std::string& into() const noexcept { return into_; }
  /// The command that writes what is there so far.
  std::string extract_command() const;

 private:
  dataset::extract_files names() const;

  std::string data_;
  const dataset_settings& chosen_;
  run_settings& run_;
  std::string into_;
  std::string job_;
  std::string stamp_;  // of the data when the job was made
};

}  // namespace sluice::cli
