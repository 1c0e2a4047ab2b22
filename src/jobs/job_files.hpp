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

/// Names the files of every job. Throws fatal_error when two jobs would share one, or when `-o` or
/// standard input leave open where they go. Touches nothing.
std::vector<job_files> name_job_files(const std::vector<std::string>& jobs,
                                      const output_options& options);

/// Other names for the output with which a job would have the same errors, totals and state files.
std::vector<std::string> other_outputs(const job_files& files);

/// Jobs that are each another file.
struct distinct_jobs {
  std::vector<std::string> jobs;
  std::string repeats;  ///< one line that tells which names were left out; empty: none
};

/// Leaves out the names of a file that was named before: by another path, a link or a hard link.
/// Those that cannot be looked at stay, as does standard input.
distinct_jobs without_repeats(const std::vector<std::string>& jobs);

/// Whether a path is that of results rather than of a job: x.output.jsonl, x.errors.jsonl.
bool is_result_file(const std::string& path);

}  // namespace sluice
