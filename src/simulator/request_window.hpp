// The relay's requests-per-minute limit, in the four ways that relays and gateways count. Pure: the
// caller passes the time, which never goes back.
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
  sliding,  ///< at most N admitted in any 60 s; refused calls are not recorded
  bucket,   ///< N at once, refilled at N a minute: up to 2N in the first minute
  fixed,    ///< at most N in each minute of the relay's clock
  leaky,    ///< one every 60/N s, no burst
};

/// Empty for a name that is not a mode.
std::optional<limit_mode> parse_limit_mode(std::string_view name);

/// A log of the admitted arrivals of the last minute.
struct sliding_log {
  int limit;
  std::deque<time_point> admitted;
  bool admit(time_point now);
};

/// Admits `burst` at once and one more every `interval`; a leaky bucket is one with a burst of 1.
struct refilled_bucket {
  std::chrono::nanoseconds interval;
  int burst;
  /// When the bucket is full again, with nothing more admitted.
  time_point full_at;
  bool admit(time_point now);
};

struct fixed_minute {
  int limit;
  std::chrono::minutes minute{-1};
  int admitted = 0;
  bool admit(time_point now);
};

class request_window {
 public:
  /// `per_minute` 0: no limit.
  request_window(limit_mode mode, int per_minute);

  /// Whether a call that arrives at `now` is let through; it is recorded when it is.
  bool admit(time_point now);

 private:
  std::variant<std::monostate, sliding_log, refilled_bucket, fixed_minute> window_;
};

/// The most arrivals in any 60 s, refused ones included: what a client's promise is judged by.
class arrival_meter {
 public:
  void record(time_point now);
  std::size_t max_in_60s() const { return max_; }

 private:
  std::deque<time_point> last_minute_;
  std::size_t max_ = 0;
};

}  // namespace sluice::simulator
