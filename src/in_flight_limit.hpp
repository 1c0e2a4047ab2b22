#pragma once

#include <cstddef>

#include "sluice/clock.hpp"

namespace sluice {

/// How many attempts a relay can have in flight and still answer each in good time.
///
/// It begins with a few and doubles in a round trip, as TCP's slow start does, until answers take
/// longer than half of their timeout: whoever is twice as many then waits twice as long, and is
/// still served. From there on it grows by one a round trip, and shrinks by what answers are late.
///
/// Pure; not thread safe.
class in_flight_limit {
 public:
  static constexpr std::size_t first = 16;

  /// `most`: never more than so many; 0: any number.
  explicit in_flight_limit(std::size_t most);

  std::size_t now() const noexcept { return static_cast<std::size_t>(limit_); }
  /// Late answers have made it smaller, and it is not yet back where it was.
  bool lowered() const noexcept { return before_ > 0; }

  /// The head of a good reply to what had its turn at `started` came now, where it might have taken
  /// up to `timeout`; `in_flight` with it.
  void answered(time_point started, time_point now, duration timeout, std::size_t in_flight);
  /// It did not come in time; `in_flight` with it.
  void timed_out(time_point started, time_point now, std::size_t in_flight);

 private:
  void lower(double to, time_point now);

  double most_;
  double limit_;
  double before_ = 0;  // it was first made smaller
  bool doubling_ = true;
  time_point since_ = time_point::min();  // the last time: earlier starts tell nothing
  double recent_ = 0;                     // share of timeouts among the last few
};

}  // namespace sluice
