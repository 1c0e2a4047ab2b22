// What a log of calls says of a relay's limit: which ways to count can have let through what was
// let through and refused what was refused, and with which numbers. Pure; not thread safe.
//
// A relay counts a call somewhere between its start and its head; when, nobody here can know. So a
// way to count is given up only when no arrivals in those intervals agree with it: of A(t), the
// calls that have arrived by t, it is known that D(t) ≤ A(t) ≤ S(t), the heads and the starts by t
// (the arrival curves of Le Boudec and Thiran, "Network Calculus", 2001). Long or uneven delays
// make the bounds wide, never wrong. What was found impossible stays so: each look narrows the last
// one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace sluice::bench {

enum class call_outcome : std::uint8_t {
  in_flight,
  accepted,
  refused,  ///< by the limit
  failed,   ///< otherwise; the relay may have counted it or not, but all alike
};

/// A call as the client saw it, in seconds from any one moment.
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

/// All that is possible, and the middle of it for a relay as most are: one that counts calls which
/// fail later, and doesn't count those that it refuses.
struct limit_estimate {
  limit_range all;
  double likely = 0;
};

/// The calls by the moments that bound their arrivals, both sorted.
struct arrival_curves {
  std::vector<double> starts;
  std::vector<double> heads;

  double started_by(double t) const;  ///< S(t)
  double arrived_by(double t) const;  ///< D(t)
};

class limit_evidence {
 public:
  limit_evidence();

  /// Looks at all calls so far; none is in flight.
  void learn(const std::vector<limit_call>& calls);
  /// Calls at that rate a minute emptied it: no bucket is refilled faster.
  void emptied_at(double rate);

  /// At most N in any minute; nothing when that cannot be. Refused calls may count there or not.
  std::optional<limit_estimate> sliding() const;
  /// At most N in each minute of a clock.
  std::optional<limit_estimate> fixed() const;
  /// `burst` at once, refilled at `rate` a minute. A leaky bucket has a burst of 1.
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
    double burst = 0;  // 0: any of 16 or more
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

  bool failures_ = false;  // have been: without, it is all one whether they count
  std::vector<log_space> logs_;
  std::vector<minute_space> minutes_;
  std::vector<bucket_space> buckets_;
};

/// The most calls that certainly arrived within one minute.
double most_in_a_minute(const arrival_curves& seen);

/// Those of the log that were let through.
arrival_curves admitted_calls(const std::vector<limit_call>& calls, bool with_failed);

}  // namespace sluice::bench
