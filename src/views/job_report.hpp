#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/language.hpp"
#include "jobs/job_files.hpp"
#include "jobs/job_follower.hpp"

namespace sluice::cli {

/// The totals of a job as lines for people. `totals` is a totals document; any member of it may be
/// missing. `reasons`: an example message for each kind of failure, by its name. Pure.
std::string job_report_lines(const job_files& files, const nlohmann::ordered_json& totals,
                             const std::map<std::string, std::string>& reasons,
                             const job_life& life, language spoken = language::english);

/// The state of a job in a few words: "running (process 4711, since 10:02:11)", "killed 26 s ago";
/// `status`: the status in its totals.
std::string state_of(const job_life& life, const std::string& status,
                     language spoken = language::english);

}  // namespace sluice::cli
