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

/// One request whose reported usage was too high.
struct audit_finding {
  std::string custom_id;
  std::uint64_t line = 0;  ///< the job line at the time when the request was sent
  std::string model;
  std::optional<audited_count> prompt;
  std::optional<audited_count> completion;
  std::int64_t excess_tokens = 0;
  std::optional<usd> excess;  ///< nothing: the model has no price
};

/// Prompts that share one opening, although the relay reported no tokens read from the cache.
struct unread_opening {
  std::string custom_id;   ///< of the first of these prompts
  std::uint64_t line = 0;  ///< its job line at the time when the request was sent
  std::string model;
  std::uint64_t requests = 0;
  std::int64_t tokens = 0;  ///< that could have been read from the cache
  /// The cost above that of reading them from the cache; nothing: no price.
  std::optional<usd> cost = usd{};
};

/// The audit of all replies of one model.
struct model_audit {
  std::uint64_t requests = 0;
  std::uint64_t audited = 0;  ///< requests with at least one side that could be counted
  audited_count prompt;       ///< sum over the prompts that could be counted
  audited_count completion;   ///< sum over the replies that could be counted, without reasoning
  std::int64_t excess_tokens = 0;
  /// Nothing: there are tokens in excess, but no price for them.
  std::optional<usd> excess = usd{};

  /// Number of replies whose prompt begins with an opening that the provider could have read from
  /// its cache (see shared_openings). A model without a cache discount in its price does not count.
  std::uint64_t repeated = 0;
  /// How many of these replies report no tokens read from the cache. Replies that `openings` does
  /// not list count, too.
  std::uint64_t unread = 0;
  std::int64_t unread_tokens = 0;
  /// Nothing: there are such tokens, but no price for them.
  std::optional<usd> unread_cost = usd{};
};

struct job_audit {
  std::map<std::string, model_audit> models;
  std::vector<audit_finding> worst;      ///< the highest excess cost first, then the most tokens
  std::vector<unread_opening> openings;  ///< the highest cost first, then the most tokens
  /// Number of sides and lines that were not counted, by reason.
  std::map<std::string, std::uint64_t> skipped;
};

/// Counts the tokens of every reply in the job's output, and of its prompt, again. Prompts are
/// found by id and digest, because the job may have changed since. Both files are read once. The
/// memory is 32 bytes for each request, plus the openings of long prompts. A run of the job may be
/// active at the same time. Throws fatal_error if a file cannot be read.
job_audit audit_job(const job_files& files, const job_options& lines, const relay_prices& prices,
                    std::size_t most_findings);

}  // namespace sluice
