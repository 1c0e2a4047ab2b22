#pragma once

#include <string>
#include <vector>

#include "jobs/job_files.hpp"

namespace sluice::cli {

/// Refuses a file for `flag` that is one of these jobs or of those that a run keeps for them,
/// whatever the path looks like, or whose name says that it is such a file of another job. An empty
/// one, and one that is not there yet, cannot be told by what it holds. Throws fatal_error.
void require_no_job_file(const std::string& flag, const std::string& path,
                         const std::vector<job_files>& jobs = {});

/// Refuses a link that another user has made: it may lead anywhere. Throws fatal_error.
void require_no_strange_link(const std::string& flag, const std::string& path);

}  // namespace sluice::cli
