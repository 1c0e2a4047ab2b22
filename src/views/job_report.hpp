#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "jobs/job_files.hpp"

namespace sluice::cli {

/// The totals of a job as lines for a person. `totals` is a totals document, any member of which
/// may be missing. `reasons` holds an example for each kind of failure, by its name. `age_s` is the
/// age of the document in seconds. Pure.
std::string job_report_lines(const job_files& files, const nlohmann::ordered_json& totals,
                             const std::map<std::string, std::string>& reasons, double age_s);

}  // namespace sluice::cli
