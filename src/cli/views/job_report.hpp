#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "jobs/job_files.hpp"

namespace sluice::cli {

/// What a job's totals say, as lines for a person. `totals` is a totals document, of which any
/// member may be missing; `reasons` are examples of its failures, by their names; `age_s` is how
/// long ago the document was written. Pure.
std::string job_report_lines(const job_files& files, const nlohmann::ordered_json& totals,
                             const std::map<std::string, std::string>& reasons, double age_s);

}  // namespace sluice::cli
