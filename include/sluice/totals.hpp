#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/histogram.hpp"
#include "sluice/money.hpp"
#include "sluice/result.hpp"
#include "sluice/usage.hpp"

namespace sluice {

/// What one line of an output or errors file adds to the totals. It is the same for a new result
/// and for a line that an earlier run wrote.
struct line_facts {
  bool succeeded = false;
  bool copied = false;  ///< from the result of an equal request: it has no times of its own
  std::string relay;    ///< empty: there is only one
  std::string model;
  std::optional<token_usage> usage;
  bool estimated = false;  ///< the usage was counted here
  std::optional<usd> cost;
  std::optional<usd> reported_cost;
  /// What the provider's cache saved, minus what its writes cost; nothing: unknown.
  std::optional<usd> cache_saved = usd{};
  std::map<std::string, std::uint64_t> finish_reasons;
  std::string error;       ///< if it failed: the error code, or the HTTP status
  bool retryable = false;  ///< a failure that a later run tries again
  double latency_ms = 0;
  std::optional<double> ttft_ms;
  /// Replies of the request that were rejected. Their usage and cost are not included in `usage`
  /// and `cost`.
  std::vector<rejected_reply> rejected;

  /// The cost of all replies, including the rejected ones; nothing: there is no cost, or the cost
  /// of one reply is unknown.
  std::optional<usd> whole_cost() const;
  /// The sum of the costs that are known.
  usd known_cost() const;
};

enum class job_status : std::uint8_t { running, completed, stopped, interrupted };
/// The name of the status in the totals.
std::string_view to_string(job_status status) noexcept;

/// The sums of one job: the content of its totals file. Not thread safe. Tokens and cost are the
/// sums over the lines and nothing else, so a job that took ten runs has exactly the same totals as
/// a job that took one. While the job runs, rejected replies of requests without a line count, too.
class job_totals {
 public:
  /// The successes of one model, or of one relay.
  struct share {
    std::uint64_t requests = 0;
    token_usage tokens;
    std::optional<usd> cost;

    void add(const line_facts& line);
  };
  /// Replies that were billed but rejected.
  struct rejections {
    std::uint64_t replies = 0;
    std::uint64_t unpriced_replies = 0;  ///< their cost is unknown
    token_usage tokens;
    usd cost;
  };

  /// Adds a line, but not its rejected replies.
  void add(const line_facts& line);
  /// A reply to a request for this model was rejected. Its tokens and cost count at once, before
  /// the request has a line.
  void add_rejected(const std::string& model, const rejected_reply& rejected);
  void take_back_rejected(const std::string& model, const rejected_reply& rejected);
  /// A failed request has a new line: its old line no longer counts.
  void take_back_failure(const std::string& error, bool retryable);

  /// The content of totals.json.
  std::string to_json(std::string_view job, job_status status) const;

  /// The successes of each model.
  const std::map<std::string, share>& models() const noexcept { return models_; }
  /// What each relay of a pool served; empty without a pool.
  const std::map<std::string, share>& relays() const noexcept { return relays_; }

  /// The share of the prompts' tokens that was read from the provider's cache, from 0 to 1; nothing
  /// without a prompt.
  std::optional<double> cache_read_share() const noexcept;

  /// Zero if there are more results than requests (a smaller --limit than before).
  std::uint64_t pending() const noexcept {
    const std::uint64_t done = succeeded + failed;
    return requests > done ? requests - done : 0;
  }

  std::uint64_t requests = 0;  ///< lines of the job, including bad ones
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::uint64_t retryable_failures = 0;  ///< part of `failed`: a later run tries them again
  token_usage tokens;
  std::uint64_t estimated_requests = 0;  ///< successes whose tokens were counted here
  bool simulated = false;                ///< a simulated relay has answered
  usd cost;
  std::optional<usd> reported_cost;
  /// Nothing if it is unknown for a reply that used the cache.
  std::optional<usd> cache_saved = usd{};
  std::uint64_t unpriced_requests = 0;
  rejections rejected;  ///< their tokens and cost are part of `tokens` and `cost`
  std::map<std::string, std::uint64_t> errors;

  // These include earlier runs.
  std::uint64_t attempts = 0;
  std::uint64_t retries = 0;
  std::uint64_t maybe_billed_attempts = 0;
  std::uint64_t max_requests_in_60s = 0;
  double wall_s = 0;
  /// The rate limit of the last run that sent something; 0: it had none. Nothing: unknown.
  std::optional<std::uint64_t> rpm;
  /// With a budget, spent in addition to `cost`: the reservations of attempts with an unknown
  /// outcome, and the cost of results that were replaced.
  usd kept;

 private:
  std::map<std::string, std::uint64_t> finish_reasons_;
  std::map<std::string, share> models_;
  std::map<std::string, share> relays_;  // of a pool
  histogram latency_;
  histogram ttft_;
};

}  // namespace sluice
