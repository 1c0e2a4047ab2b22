#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "jobs/job_reprice.hpp"

namespace sluice::cli {

/// Jobs with their new costs, by the job's file.
using repriced_jobs = std::vector<std::pair<std::string, job_reprice>>;

/// The result of `report --reprice` as a document: {"jobs": [{"job", "models": {MODEL: COSTS},
/// "total": COSTS, "unpriced": [{"model", "missing", "requests", "lines": [{"line",
/// "custom_id"}]}], "unreadable_lines"}], "total": COSTS}, where COSTS is {"requests", "old_usd",
/// "new_usd", "difference_usd", "without_old", "without_new"}. An amount that no line has is null.
/// Pure.
nlohmann::ordered_json reprice_document(const repriced_jobs& jobs);

/// The same as a table for a person. Pure.
std::string reprice_lines(const repriced_jobs& jobs);

}  // namespace sluice::cli
