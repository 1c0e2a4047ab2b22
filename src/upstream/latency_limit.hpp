#pragma once

#include <cstddef>

#include "sluice/clock.hpp"

namespace sluice {

/// How many attempts a relay can have in flight and still answer each in good time, which is half
/// of their timeout.
///
/// Where attempts queue, each waits in proportion to how many were in flight when it started
/// (Little's law). So the limit may grow in a round trip by the factor by which answers are quicker
/// than good time: it doubles, as in TCP's slow start, while they take less than half of it, and
/// grows ever more slowly as they come near it. Late answers lower it in proportion, once for all
/// that were in flight then. The factor is the gradient of Netflix's concurrency-limits
/// (https://github.com/Netflix/concurrency-limits) with a goal in place of the fastest answer.
///
/// Pure; not thread safe.
class latency_limit {
 public:
  static constexpr std::size_t first = 16;

  /// `most`: never more; 0: no limit.
  explicit latency_limit(std::size_t most);

  std::size_t now() const noexcept { return static_cast<std::size_t>(limit_); }
  /// Late answers have made it smaller, and it is not yet back where it was.
  bool lowered() const noexcept { return before_ > 0; }

  /// The head of a good reply to the attempt that started at `started`, as one of `in_flight`, came
  /// now, where it might have taken up to `timeout`.
  void answered(time_point started, time_point now, duration timeout, std::size_t in_flight);
  /// It did not come in time.
  void timed_out(time_point started, time_point now, std::size_t in_flight);

 private:
  void late(double to, time_point started, time_point now);

  double most_;
  double limit_;
  double before_ = 0;                     // it was first made smaller
  time_point since_ = time_point::min();  // the last time: earlier starts tell nothing
  double recent_ = 0;                     // share of late answers among the last few
};

}  // namespace sluice
