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
/// and well under 2 % are refused.
///
/// Some relays refuse a share of what comes whatever the rate: the background. After refusals that
/// the rate does not explain, since it had been lowered, it is lowered further for a while. A limit
/// of the rate refuses nothing there; a background goes on, and that a sequential probability ratio
/// test tells from few answers (Wald, 1945). From then on the background is put up with, and the
/// rate is lowered when clearly more is refused, as a cumulative sum of log-likelihood ratios tells
/// (Page, "Continuous Inspection Schemes", 1954).
///
/// Pure: takes `now`. Not thread safe.
class adaptive_rate {
 public:
  /// `limit`: starts a minute that are made at most; 0: any number.
  explicit adaptive_rate(unsigned limit) : limit_(limit) {}

  /// What an answer means: `busy`, unlike `too_fast`, may be one upstream's trouble and no matter
  /// of the rate; the first ones count where they come in clusters.
  enum class refusal : std::uint8_t { too_fast, busy };
  /// What follows from a refusal: nothing new, or nothing at all since it has another cause than
  /// the rate, or a lower rate.
  enum class effect : std::uint8_t { none, put_up_with, lowered };

  /// The attempt that got its turn at `started` was let in, or was not.
  void served(time_point started, time_point now);
  effect refused(refusal why, time_point started, time_point now);
  /// It was not, and the relay said how long to wait: what it lets in then shows its rate.
  effect told_to_wait(time_point started, time_point now);

  /// The least time between two starts; zero: the limit's own pace will do.
  duration gap() const noexcept;
  /// Whether the starts are held under the limit.
  bool limits() const noexcept { return rate_ > 0; }
  /// Starts a minute, where they are held under the limit.
  double per_minute() const noexcept { return rate_; }
  /// The share of starts that is refused whatever the rate, for all that is known.
  double background() const noexcept { return background_; }
  /// It has been served for a while at clearly less than the limit.
  bool settled(time_point now) const noexcept;

 private:
  // Served starts of the last one to two minutes, in two spans.
  struct busy_spans {
    time_point first{};  // start of the earlier span
    time_point later{};  // and of the later one
    time_point last{};   // the latest start that was served
    double earlier_served = 0;
    double later_served = 0;

    void note(time_point started);
    bool empty() const noexcept { return later_served == 0; }
    double served() const noexcept { return earlier_served + later_served; }
  };

  // Served in the last minute or so, in which a long wait counts little.
  class recent_pace {
   public:
    void note(time_point now);
    double fading() const noexcept { return served_; }  // as if nothing had been served before
    double per_minute() const noexcept;

   private:
    double served_ = 0;
    time_point first_{};
    time_point last_{};
  };

  void count(bool refused);
  bool suspicious() const noexcept;
  void begin_probe(time_point now);
  void probe(bool refused, time_point now);
  void end_probe(bool found, time_point now);
  void begin();
  void lower(time_point now);
  void restart_at(double rate, time_point now);
  void release();
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
  bool waiting_ = false;  // nothing that started since then has been let in
  unsigned steps_ = 0;    // down, without anything let in between
  busy_spans busy_;
  recent_pace pace_;

  // Cumulative sums over the answers.
  double far_ = 0;        // how clearly a third is refused rather than a few
  double busy_ones_ = 0;  // busy answers, less what was served
  double strain_ = 0;     // how clearly more is refused than the background

  double background_ = 0;  // share refused whatever the rate; 0: none is known
  bool growing_ = false;   // since it was found, until too much is refused

  // Of the probe for it, and of what leads to one.
  double top_ = 0;           // the rate of the last refusal that the rate explained; 0: none
  double answers_ = 0;       // since then
  unsigned suspicions_ = 0;  // refusals since then at clearly lower rates
  unsigned evidence_ = 2;    // so many, and it is probed for
  bool probing_ = false;
  unsigned probed_ = 0;   // answers of the probe
  double suspected_ = 0;  // the share it is to confirm
  double odds_ = 0;       // of that share, against none: log of the likelihood ratio
};

}  // namespace sluice
