#pragma once

#include <string>
#include <vector>

#include "sluice/config.hpp"

namespace sluice {

/// The files of one job.
struct job_files {
  std::string job;  ///< as named by the user; "-" for standard input
  std::string output;
  std::string errors;
  std::string totals;
  std::string state;
};

/// Determines the names of the files of every job; does not access them. Throws fatal_error if two
/// jobs would share a file, or if the options do not say where the results of `-o` or of standard
/// input go.
std::vector<job_files> name_job_files(const std::vector<std::string>& jobs,
                                      const output_options& options);

/// Other output names for which a job would use the same errors, totals and state files.
std::vector<std::string> other_outputs(const job_files& files);

/// A list of jobs that are all different files.
struct distinct_jobs {
  std::vector<std::string> jobs;
  std::string repeats;  ///< one line that names the jobs that were left out; empty: none
};

/// Leaves out names of a file that was named before through another path, a link or a hard link.
/// Names that cannot be examined stay in the list, and so does standard input.
distinct_jobs without_repeats(const std::vector<std::string>& jobs);

/// Whether the path is that of a result file and not of a job: x.output.jsonl, x.errors.jsonl.
bool is_result_file(const std::string& path);

}  // namespace sluice
