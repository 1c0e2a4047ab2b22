#pragma once

#include <cstdint>

#include "sluice/clock.hpp"

namespace sluice {

/// Finds the rate of starts that a relay serves where that is less than the limit given, from what
/// it refuses.
///
/// A refusal lowers the rate by a share, once for all that was on its way when it came; what is
/// served raises it again. As in CUBIC (RFC 9438) the rate that was refused is remembered: it is
/// come near quickly, then carefully, and left behind ever faster when nothing is refused there any
/// more. So the relay's limit is touched once in some minutes, or in 200 starts where they are few,
/// and well under 2 % are refused. Refusals that go on at lower rates as they did at higher ones
/// have another cause: they are put up with.
///
/// Pure: takes `now`. Not thread safe.
class served_rate {
 public:
  /// `limit`: starts a minute that are made at most; 0: any number.
  explicit served_rate(unsigned limit) : limit_(limit) {}

  /// What an answer means: `busy`, unlike `too_fast`, may be one upstream's trouble and no matter
  /// of the rate; the first ones count where they come in clusters.
  enum class refusal : std::uint8_t { too_fast, busy };

  /// The attempt that got its turn at `started` was let in, or was not.
  void served(time_point started, time_point now);
  /// True: the rate was lowered for it.
  bool refused(refusal why, time_point started, time_point now);

  /// The least time between two starts; zero: the limit's own pace will do.
  duration gap() const noexcept;
  /// Whether the starts are held under the limit.
  bool limits() const noexcept { return rate_ > 0; }
  /// Starts a minute, where they are held under the limit.
  double per_minute() const noexcept { return rate_; }
  /// It has been served for a while at clearly less than the limit.
  bool settled(time_point now) const noexcept;

 private:
  bool probing() const noexcept;
  bool doubt(time_point now);
  void lower(time_point now);
  void restart_at(double rate, time_point now);
  void measure(time_point started, time_point now);
  void climb(time_point now);

  double limit_;
  double rate_ = 0;                       // 0: not held
  double base_ = 0;                       // the rate that the climb began with
  double wall_ = 0;                       // the rate that was refused last
  double ceiling_ = 0;                    // beyond this nothing is held
  time_point since_ = time_point::min();  // the rate was last lowered: earlier starts tell nothing
  time_point last_{};                     // served
  duration climbed_{};                    // time of the climb so far, idle time left out
  duration at_ceiling_{};
  unsigned good_ = 0;        // of the starts since then
  double recent_ = 0;        // share of refusals among the last few answers
  double lately_ = 0;        // among some more
  bool waiting_ = false;     // nothing that started since then has been let in
  time_point busy_since_{};  // what was served from here on shows what the relay gives in a while
  std::uint64_t busy_served_ = 0;
  unsigned steps_ = 0;        // down, without anything let in between
  bool near_ = false;         // many had been let in before the last refusal
  bool to_measure_ = false;   // what is let in after it
  unsigned unexplained_ = 0;  // refusals well below the wall, beyond those near it
  unsigned evidence_ = 4;     // so many, and another cause is looked for
  bool tolerates_ = false;    // refusals have another cause, for all that is known
};

}  // namespace sluice
