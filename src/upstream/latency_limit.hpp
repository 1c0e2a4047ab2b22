#pragma once

#include <cstddef>

#include "sluice/clock.hpp"

namespace sluice {

/// Limits the attempts in flight at a relay, so that each is answered within the target time: half
/// of its timeout. Pure; not thread safe.
///
/// If a relay queues requests, each waits in proportion to the number in flight when it started
/// (Little's law). So in one round trip the limit may grow by the factor (target time / answer
/// time). It at most doubles, as in TCP slow start, and grows more slowly as answer times come near
/// the target. Late answers lower it in proportion, once for all attempts in flight at that time.
/// The factor is the gradient of Netflix's concurrency-limits
/// (https://github.com/Netflix/concurrency-limits), with a target instead of the fastest answer.
class latency_limit {
 public:
  static constexpr std::size_t first = 16;

  /// `most`: upper bound; 0: none.
  explicit latency_limit(std::size_t most);

  /// Sets another upper bound.
  void set_most(std::size_t most) noexcept;

  std::size_t now() const noexcept { return static_cast<std::size_t>(limit_); }
  /// Late answers have lowered the limit, and it has not grown back yet.
  bool lowered() const noexcept { return before_ > 0; }

  /// The head of a successful reply arrived now. The attempt started at `started`; its timeout was
  /// `timeout`. `in_flight`: number of attempts in flight, including this one.
  void answered(time_point started, time_point now, duration timeout, std::size_t in_flight);
  /// The attempt timed out.
  void timed_out(time_point started, time_point now, std::size_t in_flight);

 private:
  void late(double to, time_point started, time_point now);

  double most_;
  double limit_;
  double before_ = 0;                     // the limit before it was lowered; 0: not lowered
  time_point since_ = time_point::min();  // when it was last lowered; earlier starts are ignored
  double recent_ = 0;                     // share of late answers among the last few
};

}  // namespace sluice
