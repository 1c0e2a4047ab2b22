#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "jobs/audit.hpp"
#include "jobs/job_files.hpp"
#include "sluice/config.hpp"
#include "sluice/prices.hpp"

namespace sluice {

/// One request whose usage was told too high.
struct audit_finding {
  std::string custom_id;
  std::uint64_t line = 0;  ///< of the job, as it was when the request was sent
  std::string model;
  std::optional<audited_count> prompt;
  std::optional<audited_count> completion;
  std::int64_t excess_tokens = 0;
  std::optional<usd> excess;  ///< nothing: the model has no price
};

/// All of one model's replies.
struct model_audit {
  std::uint64_t requests = 0;
  std::uint64_t audited = 0;  ///< of those, with at least one side that could be counted
  audited_count prompt;       ///< of the prompts that could be
  audited_count completion;   ///< likewise, without reasoning
  std::int64_t excess_tokens = 0;
  std::optional<usd> excess = usd{};  ///< nothing: there is some, and no price for it
};

struct job_audit {
  std::map<std::string, model_audit> models;
  std::vector<audit_finding> worst;              ///< the dearest first, then the largest
  std::map<std::string, std::uint64_t> skipped;  ///< sides and lines that were not counted, by why
};

/// Counts every reply of the job's output again, beside its prompt, which is found by id and
/// digest: the job may have changed since. Both files are read once, from their start to their end,
/// and of each request 24 bytes are kept; a run may be under way. Throws fatal_error when one
/// cannot be read.
job_audit audit_job(const job_files& files, const job_options& lines, const relay_prices& prices,
                    std::size_t most_findings);

}  // namespace sluice
