#include "upstream/adaptive_rate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sluice {
namespace {

using namespace std::chrono_literals;

// All rates are in starts per minute.
constexpr double unlimited_rate = 1200;  // first ceiling if no limit is configured
constexpr double slowest_rate = 6;

// If few attempts are refused, the relay's limit is near: a small step down. Otherwise it is far
// away: a large step, but not far below what was served in the last minute, exactly counted or as a
// fading mean.
// `most_steps`: steps without a served attempt in between; then the cause may be another one.
constexpr unsigned most_steps = 3;
constexpr double tiny_step = 0.98;
constexpr double small_step = 0.95;
constexpr double large_step = 0.7;
constexpr double least_of_pace = 0.6;
constexpr double least_of_minute = 0.95;

// Time to climb from the lowered rate back to the wall; if starts are rare, the time that
// `climb_starts` of them take.
constexpr duration climb_time = 270s;
constexpr double climb_starts = 200;
// Growth beyond the wall after two ninths of the climb time; it grows as the square of the time.
constexpr double lead = 0.09;
constexpr duration stay_at_ceiling = 2min;
// A refusal this close to the wall is about the rate, since a long climb before it had none.
constexpr double near_wall = 0.99;

// Decides between 30 % and 5 % refused: three in a row, or four of twelve.
constexpr double few_refused = 0.05;
constexpr double many_refused = 0.3;
constexpr double far_away = 5;
constexpr double far_away_with_background = 6;
constexpr double most_far = 8;

// Three `busy` answers among few others are too many; near the wall two.
constexpr double busy_weight = 1.1;
constexpr double busy_relief = 0.11;
constexpr double many_busy = 3;
constexpr double many_busy_near_wall = 2;
constexpr double near_busy = 0.97;

// A smaller background cannot be distinguished from none and does no harm; a larger one would waste
// too much to be tolerated. A refusal is suspicious if the rate is clearly below both the rate that
// was refused first and the rate that was served recently.
constexpr double least_background = 0.005;
constexpr double most_background = 0.12;
constexpr double clearly_below = 0.93;
constexpr double pace_slack = 1.3;

// A probe lowers the rate to where a rate limit would refuse almost nothing. A probe for a small
// share takes long, so it lowers the rate less. At odds of 50 to 1 (e^4) the probe is decided.
constexpr double small_share = 0.02;
constexpr double probe_step = 0.7;
constexpr double probe_step_for_small = 0.85;
constexpr double hardly_any = 0.001;
constexpr double clear_odds = 4;
constexpr unsigned longest_probe = 250;  // answers
constexpr unsigned most_evidence = 128;

// With a background: 5 % above it is too much. The threshold of the sum is reached by chance once
// in a few thousand answers. In a burst, refusals arrive before served answers, so the threshold is
// higher.
constexpr double strained = 0.05;
constexpr double too_many = 5;
constexpr double too_many_in_burst = 12;
constexpr double remembered = 400;  // answers
constexpr double well_below = 0.9;
constexpr double growth = 0.01;  // for each answer, after the background was found

// After a wait this long, what was served before it is a measurement of the relay's rate, if the
// attempt that ended the wait was held, and the starts before it were held or came in a burst.
constexpr duration long_wait = 10s;
constexpr duration busy_time = 60s;
constexpr double least_served = 10;  // fewer starts prove nothing
// The longest burst. It brings much more in a minute than was served in the minute before it.
constexpr std::int64_t longest_burst = 30;  // seconds
constexpr std::int64_t before_burst = 60;
constexpr double much_more = 2;
constexpr double unused_slack = 1.5;
constexpr double measure_slack = 1.2;  // the relay may serve more than was sent

double minutes(duration time) {
  return std::chrono::duration<double, std::ratio<60>>(time).count();
}

std::int64_t second_of(time_point when) {
  return when.time_since_epoch() / 1s;
}

}  // namespace

duration adaptive_rate::gap() const noexcept {
  if (!limits()) return {};
  return std::chrono::duration_cast<duration>(
      std::chrono::duration<double, std::ratio<60>>(1 / rate_));
}

bool adaptive_rate::settled(time_point now) const noexcept {
  constexpr double clearly_less = 0.97;
  return limits() && !waiting_ && now - since_ >= 1min && busy_.last - busy_.first >= busy_time &&
         (limit_ == 0 || rate_ < clearly_less * limit_);
}

void adaptive_rate::busy_spans::note(time_point started, bool held) {
  if (!held) {
    if (started > last) *this = {};  // the rush is over
    return;
  }
  if (empty()) {
    first = later = last = started;
  } else if (started - later > busy_time) {
    first = later;
    earlier_served = later_served;
    later = started;
    later_served = 0;
  }
  ++later_served;
  last = std::max(last, started);
}

double adaptive_rate::busy_spans::per_minute(time_point end) const noexcept {
  return served() < least_served ? 0 : served() / minutes(end - first);
}

void adaptive_rate::start_log::note(time_point started) {
  const std::int64_t second = second_of(started);
  if (second <= last_ - seconds) return;
  for (last_ = std::max(last_, second - seconds); last_ < second;) {
    counts_[static_cast<std::size_t>(++last_ % seconds)] = 0;
  }
  ++counts_[static_cast<std::size_t>(second % seconds)];
}

double adaptive_rate::start_log::count(std::int64_t second) const noexcept {
  const bool known = second >= 0 && second <= last_ && second > last_ - seconds;
  return known ? counts_[static_cast<std::size_t>(second % seconds)] : 0;
}

double adaptive_rate::start_log::burst(time_point end, time_point again) const noexcept {
  const std::int64_t first = second_of(end) - longest_burst;
  double earlier = 0;
  double most_earlier = 0;
  for (std::int64_t second = first - before_burst; second < first; ++second) {
    earlier += count(second);
    most_earlier = std::max(most_earlier, count(second));
  }
  std::int64_t begin = first;
  while (begin <= last_ && count(begin) <= most_earlier) ++begin;
  double served = 0;
  for (std::int64_t second = begin; second <= last_; ++second) served += count(second);
  const duration passed = again.time_since_epoch() - std::chrono::seconds{begin};
  if (served < least_served || passed <= 0s) return 0;
  const double found = served / minutes(passed);
  return found >= much_more * earlier ? found : 0;
}

double adaptive_rate::start_log::last_minute(time_point now) const noexcept {
  double served = 0;
  for (std::int64_t i = 0; i < 60; ++i) served += count(second_of(now) - i);
  return served;
}

void adaptive_rate::recent_pace::note(time_point now) {
  if (served_ == 0) {
    served_ = 1;
    first_ = last_ = now;
    return;
  }
  served_ = 1 + served_ * std::exp(-minutes(std::min<duration>(now - last_, long_wait)));
  last_ = now;
}

double adaptive_rate::recent_pace::per_minute() const noexcept {
  constexpr double shortest = 0.05;
  return served_ / (1 - std::exp(-std::max(minutes(last_ - first_), shortest)));
}

void adaptive_rate::restart_at(double rate, time_point now) {
  rate_ = base_ = std::max(rate, slowest_rate);
  last_ = now;
  climbed_ = at_ceiling_ = {};
}

void adaptive_rate::release() {
  rate_ = 0;
  growing_ = false;
}

void adaptive_rate::count(bool refused) {
  ++answers_;
  const double few = std::max(few_refused, background_ + few_refused / 2);
  far_ = refused ? std::min(far_ + std::log(many_refused / few), most_far)
                 : std::max(far_ - std::log((1 - few) / (1 - many_refused)), 0.0);
  if (!refused) busy_ones_ = std::max(busy_ones_ - busy_relief, 0.0);
  if (background_ == 0) return;
  if (!refused) {
    strain_ -= std::log((1 - background_) / (1 - background_ - strained));
    strain_ = std::max(strain_, 0.0);
  }
  if (limits() && rate_ >= well_below * top_) return;
  background_ += ((refused ? 1 : 0) - background_) / std::min(answers_, remembered);
  background_ = std::min({background_, most_background, 1.5 * suspected_ + 0.01});
  if (background_ < least_background) background_ = 0;
}

// The rate is below the rate that was refused before, and below the rate that was served recently.
bool adaptive_rate::suspicious() const noexcept {
  return limits() && !waiting_ && rate_ < near_wall * wall_ &&
         rate_ < clearly_below * std::min(top_, pace_slack * pace_.per_minute());
}

void adaptive_rate::begin_probe(time_point now) {
  suspected_ = std::clamp((suspicions_ + 1) / answers_, 2 * least_background, most_background);
  probing_ = true;
  probed_ = 0;
  odds_ = 0;
  since_ = now;
  wall_ = rate_;
  restart_at(rate_ * (suspected_ < small_share ? probe_step_for_small : probe_step), now);
}

// Counts one answer of a probe. If there is a background, no refusal here is caused by the rate.
void adaptive_rate::probe(bool refused, time_point now) {
  odds_ +=
      refused ? std::log(suspected_ / hardly_any) : std::log((1 - suspected_) / (1 - hardly_any));
  const bool last = ++probed_ >= longest_probe;
  if (odds_ <= -clear_odds || (last && odds_ <= 0)) {
    end_probe(false, now);
  } else if (!refused && far_ < far_away / 2 && (odds_ >= clear_odds || last)) {
    end_probe(true, now);
  }
}

void adaptive_rate::end_probe(bool found, time_point now) {
  probing_ = false;
  suspicions_ = 0;
  if (!found) {
    evidence_ = std::min(2 * evidence_, most_evidence);
    top_ = wall_;
    return restart_at(std::max(rate_, wall_ * small_step), now);
  }
  // The rate was lowered for no reason, so the relay's limit must be found again.
  background_ = suspected_;
  strain_ = 0;
  growing_ = true;
  wall_ = std::min(ceiling_, top_);
  top_ = std::numeric_limits<double>::infinity();
  restart_at(wall_, now);
  if (rate_ >= near_wall * ceiling_) release();
}

adaptive_rate::effect adaptive_rate::refused(refusal why, time_point started, time_point now) {
  count(true);
  if (started < since_) return effect::none;
  if (probing_ && far_ < far_away) {
    probe(true, now);
    return effect::tolerated;
  }
  if (background_ > 0) {
    strain_ += std::log((background_ + strained) / background_);
    if (strain_ < (limits() ? too_many : too_many_in_burst)) return effect::tolerated;
    strain_ = 0;
  } else if (far_ < far_away && suspicious() && ++suspicions_ >= evidence_) {
    begin_probe(now);
    return effect::tolerated;
  } else if (why == refusal::busy) {
    busy_ones_ += busy_weight;
    const bool near = limits() && rate_ >= near_busy * wall_;
    if (busy_ones_ < (near ? many_busy_near_wall : many_busy)) return effect::tolerated;
    busy_ones_ = 0;
  }
  lower(now);
  return effect::lowered;
}

adaptive_rate::effect adaptive_rate::refused_with_hint(time_point started, time_point now) {
  if (limits() || background_ > 0) return refused(refusal::too_fast, started, now);
  count(true);
  if (started < since_) return effect::none;
  since_ = now;
  if (!waiting_) refused_at_ = now;
  waiting_ = true;
  steps_ = 1;
  return effect::none;
}

void adaptive_rate::set_limit(unsigned limit) {
  limit_ = limit;
  if (!limits()) return;
  ceiling_ = limit_ > 0 ? limit_ : std::max<double>(unlimited_rate, ceiling_);
  if (rate_ >= ceiling_) release();
}

void adaptive_rate::begin() {
  ceiling_ = limit_ > 0 ? limit_ : std::max(unlimited_rate, pace_.per_minute());
  rate_ = wall_ = top_ = ceiling_;
}

void adaptive_rate::lower(time_point now) {
  const bool first = !limits();
  const bool far = far_ >= (background_ > 0 ? far_away_with_background : far_away) ||
                   (first && pace_.fading() == 0);
  if (first) begin();
  // A rate that was never reached proves nothing, so begin at the rate that was used while attempts
  // were held. If none were, only the requests were few, and the relay may serve more.
  const double used = busy_.last - busy_.first >= busy_time / 2 ? busy_.per_minute(busy_.last) : 0;
  if (used > 0) {
    rate_ = std::min(rate_, unused_slack * used);
    wall_ = std::min(wall_, rate_ / small_step);
  }
  const bool same = waiting_;  // nothing was served since the last refusal
  steps_ = same ? steps_ + 1 : 1;
  if (!same) refused_at_ = now;
  if (steps_ > most_steps) return;
  since_ = now;
  if (same && !far) {
    wall_ *= tiny_step;
    return restart_at(rate_ * small_step, now);
  }
  waiting_ = true;
  // If the rate explains this refusal, the refusals before it are no sign of a background.
  if (far || top_ == 0 || background_ > 0 || rate_ >= near_wall * wall_) {
    top_ = far ? 0 : rate_;
    suspicions_ = 0;
    if (background_ == 0) answers_ = 0;
  }
  wall_ = rate_;
  double step = small_step;
  if (far) {
    step = probing_ ? 1 : large_step;  // the probe was already a large step
    const double just_served =
        std::max(least_of_pace * pace_.fading(), least_of_minute * starts_.last_minute(now));
    step = std::max(step, std::min(small_step, just_served / rate_));
  }
  probing_ = growing_ = false;
  restart_at(step * rate_, now);
}

// The relay serves again after a long wait: what it served before the wait is its rate.
void adaptive_rate::measure(time_point started, time_point now, bool held) {
  if (!held || started - since_ < long_wait) return;
  const double seen = std::max(busy_.per_minute(started), starts_.burst(refused_at_, started));
  if (seen == 0) return;
  if (limits() ? seen >= rate_ : limit_ > 0 && seen >= limit_) return;
  if (!limits()) begin();
  wall_ = std::max(measure_slack * seen, slowest_rate);
  top_ = 0;
  suspicions_ = 0;
  probing_ = growing_ = false;
  restart_at(small_step * seen, now);
}

void adaptive_rate::served(time_point started, time_point now, bool held) {
  count(false);
  pace_.note(now);
  if (waiting_ && started >= since_) {
    measure(started, now, held);
    waiting_ = false;
    busy_ = {};
  }
  starts_.note(started);
  if (busy_.empty() || started >= busy_.first) busy_.note(started, held);
  if (started < since_ || !limits()) return;
  if (probing_) return probe(false, now);
  if (growing_) {
    rate_ *= 1 + growth;
    if (rate_ >= ceiling_) release();
    return;
  }
  climb(now);
}

void adaptive_rate::climb(time_point now) {
  const duration passed = std::min<duration>(now - last_, 2 * gap() + 1s);  // ignores idle time
  last_ = now;
  climbed_ += passed;
  const duration to_wall =
      std::max(background_ > 0 ? duration{} : climb_time,
               std::chrono::duration_cast<duration>(
                   std::chrono::duration<double, std::ratio<60>>(climb_starts / wall_)));
  const double part = minutes(climbed_) / minutes(to_wall);
  if (part < 1) {
    const double left = 1 - part;
    rate_ = wall_ - (wall_ - base_) * left * left * left;
  } else {
    const double beyond = 4.5 * (part - 1);
    rate_ = wall_ * (1 + lead * beyond * beyond);
  }
  if (rate_ < ceiling_) return;
  rate_ = ceiling_;
  at_ceiling_ += passed;
  if (background_ > 0 || at_ceiling_ >= stay_at_ceiling) release();
}

}  // namespace sluice
