#pragma once

#include <string>
#include <vector>

#include "jobs/job_files.hpp"

namespace sluice::cli {

/// Refuses a file for `flag` that is one of these jobs or one of their result files, under any
/// path, and a file with the name of a result file of another job. The name is checked because an
/// empty or missing file has no content to check. Throws fatal_error.
void require_no_job_file(const std::string& flag, const std::string& path,
                         const std::vector<job_files>& jobs = {});

/// Refuses a link that belongs to another user, since it may lead anywhere. Throws fatal_error.
void require_no_strange_link(const std::string& flag, const std::string& path);

}  // namespace sluice::cli
