// The relay's limit of requests per minute, in the four ways that relays and gateways count. Not
// thread safe. The caller passes the time, which must not go back.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <variant>

namespace sluice::simulator {

using time_point = std::chrono::steady_clock::time_point;

enum class limit_mode {
  sliding,  ///< at most N admitted calls in any 60 s; refused calls do not count
  bucket,   ///< token bucket: N at once, refilled at N per minute, so up to 2N in the first minute
  fixed,    ///< at most N in each minute of the relay's clock
  leaky,    ///< one call every 60/N s, no burst
};

/// Empty for a name that is not a mode.
std::optional<limit_mode> parse_limit_mode(std::string_view name);

/// Keeps the times of the calls admitted in the last minute.
struct sliding_log {
  int limit;
  std::deque<time_point> admitted;
  bool admit(time_point now);
};

/// Admits `burst` calls at once and one more every `interval`. With a burst of 1 it is a leaky
/// bucket.
struct refilled_bucket {
  std::chrono::nanoseconds interval;
  int burst;
  /// The time when the bucket is full again if no further call is admitted.
  time_point full_at;
  bool admit(time_point now);
};

struct fixed_minute {
  int limit;
  std::chrono::minutes minute{-1};
  int admitted = 0;
  bool admit(time_point now);
};

/// A rate limit in one of the modes.
class request_window {
 public:
  /// A `per_minute` of 0 means no limit.
  request_window(limit_mode mode, int per_minute);

  /// Whether a call that arrives at `now` is admitted. An admitted call is recorded.
  bool admit(time_point now);

 private:
  std::variant<std::monostate, sliding_log, refilled_bucket, fixed_minute> window_;
};

/// Measures the maximum number of arrivals in any 60 s, including refused ones. Tests check the
/// client's rate limit with it.
class arrival_meter {
 public:
  void record(time_point now);
  std::size_t max_in_60s() const { return max_; }

 private:
  std::deque<time_point> last_minute_;
  std::size_t max_ = 0;
};

}  // namespace sluice::simulator
