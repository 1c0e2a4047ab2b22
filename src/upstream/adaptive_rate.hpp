#pragma once

#include <array>
#include <cstdint>

#include "sluice/clock.hpp"

namespace sluice {

/// Finds the rate that a relay really serves, if it is below the configured limit, from the relay's
/// refusals. Pure: takes `now`. Not thread safe.
///
/// A refusal lowers the rate by a factor, once for all attempts that were in flight; served
/// attempts raise it again. As in CUBIC (RFC 9438), the rate that was refused (the wall) is
/// remembered: the rate approaches it quickly, then slowly, and if nothing is refused there, grows
/// beyond it faster and faster. So the relay's limit is reached only once in several minutes (or in
/// 200 starts, if there are few), and far less than 2 % of the attempts are refused.
///
/// Some relays refuse a share of all attempts at any rate: the background. If refusals come at a
/// rate that was already lowered, it is lowered further for a while, as a probe. A rate limit
/// refuses nothing there; a background does not change. A sequential probability ratio test (Wald,
/// 1945) decides this from few answers. After that, the background is tolerated, and the rate is
/// lowered only if clearly more is refused. This is detected by a cumulative sum of log-likelihood
/// ratios (Page, "Continuous Inspection Schemes", 1954).
class adaptive_rate {
 public:
  /// `limit`: the configured limit, in starts per minute; 0: no limit.
  explicit adaptive_rate(unsigned limit) : limit_(limit) {}
  /// Sets another configured limit.
  void set_limit(unsigned limit);

  /// `too_fast` (429) concerns the rate. `busy` (503) may also be a problem of one upstream, so it
  /// counts only if several come close together.
  enum class refusal : std::uint8_t { too_fast, busy };
  /// The effect of a refusal. none: the rate was already lowered for it; tolerated: the rate is not
  /// its cause; lowered: the rate is lowered.
  enum class effect : std::uint8_t { none, tolerated, lowered };

  /// The attempt that started at `started` was served (or refused). `held`: before its start, the
  /// first attempt in the queue waited for the limit, the pacing or a pause. What is served between
  /// starts that nothing held shows how many requests there were, not the rate of the relay.
  void served(time_point started, time_point now, bool held = true);
  effect refused(refusal why, time_point started, time_point now);
  /// The attempt was refused, and the relay said how long to wait. What the relay serves after that
  /// wait shows its rate.
  effect refused_with_hint(time_point started, time_point now);

  /// The minimum time between two starts; zero: none.
  duration gap() const noexcept;
  /// Whether the rate is kept below the configured limit.
  bool limits() const noexcept { return rate_ > 0; }
  /// Starts per minute; 0 unless limits().
  double per_minute() const noexcept { return rate_; }
  /// Estimated share of attempts that is refused at any rate.
  double background() const noexcept { return background_; }
  /// Whether for a while the rate has been clearly below the limit and has held starts back, and
  /// its attempts were served.
  bool settled(time_point now) const noexcept;

 private:
  // Served starts of the last one to two minutes of the current rush, in two consecutive spans. In
  // a rush, all starts were held.
  struct busy_spans {
    time_point first{};  // begin of the earlier span
    time_point later{};  // begin of the later span
    time_point last{};   // the latest served start
    double earlier_served = 0;
    double later_served = 0;

    void note(time_point started, bool held);
    bool empty() const noexcept { return later_served == 0; }
    double served() const noexcept { return earlier_served + later_served; }
    // Starts per minute until `end`; 0: too few to tell.
    double per_minute(time_point end) const noexcept;
  };

  // Served starts of the last minutes, counted by the second.
  class start_log {
   public:
    void note(time_point started);
    // Starts per minute in a burst that ended at `end` with refusals, when the relay served again
    // only at `again`. 0: there was no burst.
    double burst(time_point end, time_point again) const noexcept;
    double last_minute(time_point now) const noexcept;

   private:
    static constexpr std::int64_t seconds = 256;
    double count(std::int64_t second) const noexcept;

    std::array<std::uint32_t, seconds> counts_{};
    std::int64_t last_ = -1;  // the latest second
  };

  // Rate of served starts in about the last minute. A long wait counts only as a short one.
  class recent_pace {
   public:
    void note(time_point now);
    double fading() const noexcept { return served_; }  // assumes that nothing was served before
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
  void measure(time_point started, time_point now, bool held);
  void climb(time_point now);

  double limit_;
  // Rates are in starts per minute.
  double rate_ = 0;     // 0: not limited here
  double base_ = 0;     // the rate at the start of the climb
  double wall_ = 0;     // the rate that was refused last
  double ceiling_ = 0;  // when the rate reaches this, it is no longer limited
  // When the rate was last lowered; answers to earlier starts are ignored.
  time_point since_ = time_point::min();
  time_point refused_at_{};  // the first refusal since an attempt was served
  time_point last_{};        // the last served answer
  duration climbed_{};       // duration of the climb, without idle time
  duration at_ceiling_{};
  bool waiting_ = false;  // no attempt that started after `since_` has been served
  unsigned steps_ = 0;    // times the rate was lowered without a served attempt in between
  busy_spans busy_;
  start_log starts_;
  recent_pace pace_;

  // Cumulative sums over the answers.
  double far_ = 0;        // evidence that 30 % is refused rather than 5 %
  double busy_ones_ = 0;  // `busy` answers, minus a part of the served ones
  double strain_ = 0;     // evidence that more is refused than the background

  double background_ = 0;  // share that is refused at any rate; 0: none known
  bool growing_ = false;   // a background was found; the rate grows until too much is refused

  // State of the probe for a background.
  double top_ = 0;           // rate of the last refusal that is explained by the rate; 0: none
  double answers_ = 0;       // answers since then
  unsigned suspicions_ = 0;  // refusals since then at clearly lower rates
  unsigned evidence_ = 2;    // number of suspicions that starts a probe
  bool probing_ = false;
  unsigned probed_ = 0;   // number of answers in the probe
  double suspected_ = 0;  // the share to be confirmed
  double odds_ = 0;       // log of the likelihood ratio of this share against none
};

}  // namespace sluice
