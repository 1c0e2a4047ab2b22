#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "jobs/job_check.hpp"

namespace sluice::cli {

/// The check of one job, with the name of the job as typed.
struct named_check {
  std::string job;
  job_check told;
  bool replies_are_measured = false;  ///< the likely cost is based on earlier results of the job
};

/// The limits that a run would have; 0: none.
struct check_limits {
  std::uint64_t requests_a_minute = 0;
  std::uint64_t tokens_a_minute = 0;
};

/// {"jobs":[{"job","requests","bad_lines":[{"line","code","message"}],"prompt_tokens",
/// "max_completion_tokens","models":{M:{"requests","prompt_tokens"}},"cost_usd":{"prompt",
/// "likely","at_most"},"minutes_at_limit"}]}: "requests" counts all lines, bad ones too. A value
/// without a bound, a price or a limit is null.
nlohmann::ordered_json check_document(const std::vector<named_check>& jobs,
                                      const check_limits& limits);

/// The same for a person: the first bad lines of each job, and "~" before counts that are not
/// exact. The text is safe to show on a terminal.
std::string check_lines(const std::vector<named_check>& jobs, const check_limits& limits);

/// Appends one line of JSON for one request: {"line","custom_id","model","prompt_tokens",
/// "encoding"}. The encoding is null if the tokenizer of the model is not known.
void append_request_line(std::string& out, const checked_request& request);

}  // namespace sluice::cli
