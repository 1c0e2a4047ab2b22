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

/// Prompts that repeat one opening, and for which the relay reported nothing read from a cache.
struct unread_opening {
  std::string custom_id;   ///< of the first of them
  std::uint64_t line = 0;  ///< of the job, as it was when that request was sent
  std::string model;
  std::uint64_t requests = 0;
  std::int64_t tokens = 0;          ///< that could have been read
  std::optional<usd> cost = usd{};  ///< above that of reading them; nothing: there is no price
};

/// All of one model's replies.
struct model_audit {
  std::uint64_t requests = 0;
  std::uint64_t audited = 0;  ///< of those, with at least one side that could be counted
  audited_count prompt;       ///< of the prompts that could be
  audited_count completion;   ///< likewise, without reasoning
  std::int64_t excess_tokens = 0;
  std::optional<usd> excess = usd{};  ///< nothing: there is some, and no price for it

  /// Replies whose prompt begins with an opening that the provider could have read from its cache
  /// (see shared_openings). Not those of a model whose price has no discount for it.
  std::uint64_t repeated = 0;
  /// Of those, replies that report nothing read. All of them, whether or not `openings` lists them.
  std::uint64_t unread = 0;
  std::int64_t unread_tokens = 0;
  std::optional<usd> unread_cost = usd{};  ///< nothing: there are some, and no price for them
};

struct job_audit {
  std::map<std::string, model_audit> models;
  std::vector<audit_finding> worst;              ///< the dearest first, then the largest
  std::vector<unread_opening> openings;          ///< likewise
  std::map<std::string, std::uint64_t> skipped;  ///< sides and lines that were not counted, by why
};

/// Counts every reply of the job's output again, beside its prompt, which is found by id and
/// digest: the job may have changed since. Both files are read once, from their start to their end,
/// and of each request 32 bytes are kept, besides the openings of long prompts; a run may be under
/// way. Throws fatal_error when one cannot be read.
job_audit audit_job(const job_files& files, const job_options& lines, const relay_prices& prices,
                    std::size_t most_findings);

}  // namespace sluice
