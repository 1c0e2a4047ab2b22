#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "account/quota_reader.hpp"
#include "account/usage_log_reader.hpp"

namespace sluice::cli {

/// The document of `quota --json`. Amounts are decimal strings; null if the relay does not show
/// them, or if there is no limit.
nlohmann::ordered_json quota_document(const account::quota& told);
nlohmann::ordered_json log_document(const std::vector<account::usage_log_row>& log);

// The same as lines for a person, safe to show on a terminal.
std::string quota_lines(const account::quota& told, const std::string& relay);
std::string log_lines(const std::vector<account::usage_log_row>& log);

}  // namespace sluice::cli
