#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "jobs/job_audit.hpp"

namespace sluice::cli {

/// The result of the audit of one job, as a document: {"job", "models": {MODEL: {"requests",
/// "audited", "prompt": {"reported", "counted"}, "completion": {"reported", "counted"},
/// "excess_tokens", "excess_usd", "cache": {"repeated", "unread", "unread_tokens", "unread_usd"}}},
/// "worst": [{"custom_id", "line", "model", "prompt",
/// "completion", "reported", "counted", "excess_tokens", "excess_usd"}], "openings":
/// [{"custom_id", "line", "model", "requests", "unread_tokens", "unread_usd"}], "skipped": {REASON:
/// COUNT}}. A side that was not counted and a cost without a price are null. Pure.
nlohmann::ordered_json audit_document(const std::string& job, const job_audit& found);

/// The same as lines for a person. Pure.
std::string audit_lines(const std::string& job, const job_audit& found);

}  // namespace sluice::cli
