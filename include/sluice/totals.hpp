#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "sluice/histogram.hpp"
#include "sluice/money.hpp"
#include "sluice/usage.hpp"

namespace sluice {

/// What one line of an output or errors file adds to the totals; the same from a fresh result and
/// from a line that an earlier run wrote.
struct line_facts {
  bool succeeded = false;
  std::string relay;  ///< empty: the only one
  std::string model;
  std::optional<token_usage> usage;
  bool estimated = false;  ///< the usage was counted here
  std::optional<usd> cost;
  std::optional<usd> reported_cost;
  std::map<std::string, std::uint64_t> finish_reasons;
  std::string error;       ///< of a failure: its code, or its HTTP status
  bool retryable = false;  ///< of a failure: a later run tries it again
  double latency_ms = 0;
  std::optional<double> ttft_ms;
};

enum class job_status : std::uint8_t { running, completed, stopped, interrupted };

/// The sums of one job: the content of its totals file. Tokens and cost are the sums over the
/// lines, and nothing else, so a job finished in ten pieces totals to the last digit what it would
/// in one. Not thread safe.
class job_totals {
 public:
  /// The successes of one model, or of one relay.
  struct share {
    std::uint64_t requests = 0;
    token_usage tokens;
    std::optional<usd> cost;

    void add(const line_facts& line);
  };

  void add(const line_facts& line);
  /// A failure that is tried again, and has its new line: its old one no longer counts.
  void take_back_failure(const std::string& error, bool retryable);

  /// The content of totals.json.
  std::string to_json(std::string_view job, job_status status) const;

  /// What each relay of a pool served; empty where there is no pool.
  const std::map<std::string, share>& relays() const noexcept { return relays_; }

  /// None when more results are stored than requests were read (a smaller --limit than before).
  std::uint64_t pending() const noexcept {
    const std::uint64_t done = succeeded + failed;
    return requests > done ? requests - done : 0;
  }

  std::uint64_t requests = 0;  ///< lines of the job, bad ones included
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::uint64_t retryable_failures = 0;  ///< of the failed: a later run tries them again
  token_usage tokens;
  std::uint64_t estimated_requests = 0;  ///< successes whose tokens were counted here
  usd cost;
  std::optional<usd> reported_cost;
  std::uint64_t unpriced_requests = 0;
  std::map<std::string, std::uint64_t> errors;

  // Of the job's whole life, earlier runs included.
  std::uint64_t attempts = 0;
  std::uint64_t retries = 0;
  std::uint64_t maybe_billed_attempts = 0;
  std::uint64_t max_requests_in_60s = 0;
  double wall_s = 0;
  /// Of a budget, beside `cost`: the most that attempts of unknown outcome can have cost, and what
  /// results did that had to make room for others.
  usd kept;

 private:
  std::map<std::string, std::uint64_t> finish_reasons_;
  std::map<std::string, share> models_;
  std::map<std::string, share> relays_;  // of a pool
  histogram latency_;
  histogram ttft_;
};

}  // namespace sluice
