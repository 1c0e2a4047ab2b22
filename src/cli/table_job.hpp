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
/// and left alone if it has the same lines. Refuses to replace a job that is running. Throws
/// fatal_error.
dataset::prepared_job write_table_job(const std::string& data, const dataset_settings& chosen,
                                      const run_settings& run, const std::string& job);

/// The options with which the table is read.
dataset::table_options table_options_of(const run_settings& run, const dataset_settings& chosen);

/// Two or three lines about the prepared job.
std::string prepared_text(const dataset::prepared_job& done, const std::string& data,
                          const std::string& job);
/// One line with the number of rows that have an answer.
std::string extracted_text(const dataset::extracted_rows& done, const std::string& into,
                           language spoken = language::english);

/// A table, its job and the table of answers of `sluice run DATA --template`.
class table_run {
 public:
  /// Checks the names before anything is sent. `output`: the value of -o. Throws fatal_error.
  table_run(std::vector<std::string> operands, dataset_settings chosen, run_settings& run,
            const std::string& output);

  /// Makes the job, and sets the place of its results: next to the table of answers. Returns a text
  /// about the files that were inserted; empty: none.
  std::string prepare();
  const std::string& job() const noexcept { return job_; }
  /// Writes the table of answers. Throws fatal_error if the data has changed since prepare(),
  /// because the answers would get into wrong rows.
  dataset::extracted_rows extract() const;
  const std::string& into() const noexcept { return into_; }
  /// The command that writes the answers so far.
  std::string extract_command() const;

 private:
  dataset::extract_files names() const;

  std::string data_;
  dataset_settings chosen_;  // its own, since SIGUSR2 applies every flag again
  run_settings& run_;
  std::string into_;
  std::string job_;
  std::string stamp_;  // stamp of the data when the job was made
};

}  // namespace sluice::cli
