#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "sluice/error.hpp"

namespace sluice {

/// Tells requests that fail for themselves from a job or a key that fails as a whole, by failures
/// that read the same for one request after the other. Two rules:
///
/// - job: permanent failures of a job of which no request has ever succeeded. A mistyped model or
///   parameter looks like this.
/// - relay: refusals in words that no table knows (403, 412, a 5xx after all attempts) from a relay
///   after successes. A spent account looks like this, and so does a block of bad rows in sorted
///   data. So the last few are taken from elsewhere in the job.
///
/// A success ends the rows that it speaks against. Only final failures are given to it, each of
/// another request. Pure; not thread safe; one object a run.
class repeated_failures {
 public:
  static constexpr unsigned enough_of_job = 20;
  static constexpr unsigned enough_of_relay = 30;
  static constexpr unsigned from_elsewhere = 5;  ///< of those of the relay's rule, the last

  enum class rule : std::uint8_t { none, job, relay };
  /// The row that a failure belongs to. Rows of the job's rule are kept for each job, those of the
  /// relay's rule for each relay.
  struct row {
    rule kept_by = rule::none;
    std::size_t index = 0;  ///< of the job or the relay
    bool operator==(const row&) const = default;
    friend bool operator<(const row& a, const row& b) noexcept {
      return std::tie(a.kept_by, a.index) < std::tie(b.kept_by, b.index);
    }
  };
  struct verdict {
    row in;               ///< of no rule: the failure is the request's own
    bool first = false;   ///< it begins a row: what an earlier one held is settled
    unsigned count = 0;   ///< of the row, with it
    bool enough = false;  ///< as many as the rule asks for
  };

  /// `job_succeeded`: a request of the job has succeeded, in this run or an earlier one;
  /// `relay_served`: the relay has served a request in this run, or the job in an earlier one.
  verdict failed(std::size_t job, bool job_succeeded, std::size_t relay, bool relay_served,
                 const failure& why);
  /// The row is over: a success speaks against it, or what it held is settled.
  void forget(const row& ended) { rows_.erase(ended); }

 private:
  struct state {
    std::string words;
    unsigned count = 0;
  };
  std::map<row, state> rows_;
};

/// What a failure says but for what differs from request to request: numbers, ids, and what stands
/// in quotes or brackets behind "request id". Equal texts mean the same failure. Pure.
std::string words_without_ids(const failure& why);

}  // namespace sluice
