#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "sluice/error.hpp"

namespace sluice {

/// Detects from many failures in a row with the same message that a whole job or key fails, and not
/// single requests. Pure; not thread safe; one object for each run. There are two rules:
///
/// - job: permanent failures in a job without a single success. Typical cause: a mistyped model or
///   parameter.
/// - relay: after successes, the relay refuses with a message that is not in the table of known
///   errors (403, 412, or a 5xx after all attempts). Typical cause: an account without money. A
///   block of bad rows in sorted data looks the same, so the last few requests are taken from
///   another part of the job.
///
/// A success ends the rows that it contradicts. Only final failures are passed to this class, each
/// of a different request.
class repeated_failures {
 public:
  static constexpr unsigned enough_of_job = 20;
  static constexpr unsigned enough_of_relay = 30;
  /// Relay rule: number of requests at the end of the row that come from another part of the job.
  static constexpr unsigned from_elsewhere = 5;

  enum class rule : std::uint8_t { none, job, relay };
  /// Identifies the row of a failure: the job rule has one row for each job, the relay rule one for
  /// each relay.
  struct row {
    rule kept_by = rule::none;
    std::size_t index = 0;  ///< of the job or relay
    bool operator==(const row&) const = default;
    friend bool operator<(const row& a, const row& b) noexcept {
      return std::tie(a.kept_by, a.index) < std::tie(b.kept_by, b.index);
    }
  };
  struct verdict {
    row in;               ///< rule::none: only this request fails
    bool first = false;   ///< a new row begins; the requests of the earlier row can be released
    unsigned count = 0;   ///< failures in the row, including this one
    bool enough = false;  ///< the row has reached the number of its rule
  };

  /// `job_succeeded`: a request of the job has succeeded, in this run or an earlier one;
  /// `relay_served`: the relay has served a request in this run, or one of the job in an earlier
  /// run.
  verdict failed(std::size_t job, bool job_succeeded, std::size_t relay, bool relay_served,
                 const failure& why);
  /// The row is over: a success contradicts it, or its requests are settled.
  void forget(const row& ended) { rows_.erase(ended); }

 private:
  struct state {
    std::string words;
    unsigned count = 0;
  };
  std::map<row, state> rows_;
};

/// The message of a failure without the parts that differ between requests: words with digits, and
/// very long words (ids). Equal texts mean the same failure. Pure.
std::string words_without_ids(const failure& why);

}  // namespace sluice
