// Concludes from a log of calls what a relay's limit can be: which ways of counting explain both
// the allowed and the refused calls, and with which numbers. Pure; not thread safe.
//
// A relay counts a call at some moment between its start and its response head. The exact moment is
// unknown. So a way of counting is excluded only if it contradicts every possible set of arrivals
// in these intervals. For A(t), the number of calls that have arrived by time t, only D(t) ≤ A(t) ≤
// S(t) is known, where D(t) counts the heads and S(t) the starts up to t (the arrival curves of Le
// Boudec and Thiran, "Network Calculus", 2001). Long or uneven delays make the bounds wide, never
// wrong. What was excluded once stays excluded: each call of learn() narrows the last result.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace sluice::bench {

enum class call_outcome : std::uint8_t {
  in_flight,
  accepted,
  refused,  ///< refused because of the limit
  failed,   ///< failed for another reason; the relay may count all such calls or none
};

/// A call as the client saw it. Times are in seconds from a common origin.
struct limit_call {
  double start = 0;
  double head = 0;
  call_outcome how = call_outcome::in_flight;
};

struct limit_range {
  double low = 0;
  double high = 0;

  double middle() const noexcept { return (low + high) / 2; }
  void widen(const limit_range& other) noexcept {
    low = std::min(low, other.low);
    high = std::max(high, other.high);
  }
};

/// All possible values, and the middle value for the usual kind of relay, which counts calls that
/// fail later and does not count calls that it refuses.
struct limit_estimate {
  limit_range all;
  double likely = 0;
};

/// The bounds of the calls' arrival times, both sorted.
struct arrival_curves {
  std::vector<double> starts;
  std::vector<double> heads;

  double started_by(double t) const;  ///< S(t)
  double arrived_by(double t) const;  ///< D(t)
};

class limit_evidence {
 public:
  limit_evidence();

  /// Learns from all calls so far. No call may be in flight.
  void learn(const std::vector<limit_call>& calls);
  /// Calls at this rate per minute emptied the bucket, so it is not refilled faster.
  void emptied_at(double rate);

  /// At most N calls in any minute; nullopt: excluded. Refused calls may count or not.
  std::optional<limit_estimate> sliding() const;
  /// At most N calls in each minute of a clock; nullopt: excluded.
  std::optional<limit_estimate> fixed() const;
  /// `burst` calls at once, refilled at `rate` per minute. A leaky bucket has a burst of 1.
  struct bucket_ranges {
    limit_estimate rate;
    limit_range burst;
  };
  std::optional<bucket_ranges> bucket() const;

 private:
  struct refusals;
  struct log_space {  // a sliding log
    bool refused_count = false;
    bool failed_count = false;
    limit_range limit;
  };
  struct minute_space {  // a fixed minute that begins somewhere in [phase, phase + step)
    bool failed_count = false;
    double phase = 0;
    double step = 0;
    limit_range limit;
  };
  struct bucket_space {
    bool failed_count = false;
    double burst = 0;  // 0: any burst of 16 or more
    limit_range rate;
    limit_range bursts;
  };

  static bool narrow(log_space& space, const arrival_curves& seen, const refusals& refused);
  static bool narrow(minute_space& space, const arrival_curves& seen, const refusals& refused);
  static bool narrow(bucket_space& space, const arrival_curves& seen, const refusals& refused);
  static bool narrow_one(bucket_space& space, const arrival_curves& seen, const refusals& refused);
  static bool narrow_many(bucket_space& space, const arrival_curves& seen, const refusals& refused);

  static bool alike(const log_space& a, const log_space& b);
  static bool alike(const minute_space& a, const minute_space& b);
  bool look_closer_at_minutes(bool failed_count);
  template <class Space>
  std::optional<limit_estimate> limits_of(const std::vector<Space>& spaces) const;
  bool asked(bool failed_count) const noexcept { return failed_count || failures_; }

  // some calls failed; otherwise it does not matter whether failed calls count
  bool failures_ = false;
  std::vector<log_space> logs_;
  std::vector<minute_space> minutes_;
  std::vector<bucket_space> buckets_;
};

/// The largest number of calls that certainly arrived within one minute.
double most_in_a_minute(const arrival_curves& seen);

/// The calls of the log that were allowed.
arrival_curves admitted_calls(const std::vector<limit_call>& calls, bool with_failed);

}  // namespace sluice::bench
