#include "served_rate.hpp"

#include <algorithm>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr double unlimited_rate = 1200;  // where no limit of ours gives a measure
constexpr double slowest_rate = 6;

// Many served and then one refused: the limit is near. Else it is far away.
constexpr unsigned many = 10;
constexpr unsigned some = 3;        // where it was the only one refused of late
constexpr unsigned most_steps = 3;  // until one is let in: a relay may have other troubles
constexpr double tiny_step = 0.98;
constexpr double small_step = 0.95;
constexpr double large_step = 0.7;

// From a small step below the wall the climb takes so long to come back to it; where starts are
// few, as long as so many of them take.
constexpr duration climb_time = 270s;
constexpr double climb_starts = 200;
constexpr double lead =
    0.09;  // beyond the wall, after two ninths of that time; it grows as a square
constexpr duration stay_at_ceiling = 2min;

constexpr double few_answers = 8;
constexpr double more_answers = 64;
constexpr double two_of_eight = 0.17;
constexpr double three_of_eight = 0.28;
constexpr double many_busy = 0.1;

constexpr double near_wall = 0.99;
constexpr double near_busy = 0.97;
constexpr double other_cause = 1.25;  // a rate so much higher shows it: the share stays the same
constexpr double few_refused = 0.045;
constexpr double many_refused = 0.08;
constexpr unsigned most_evidence = 256;

// A wait so long shows what the relay serves in a while, and is a measure.
constexpr duration long_wait = 10s;
constexpr duration busy_time = 60s;
constexpr double unused_slack = 1.5;
constexpr double measure_slack = 1.2;  // it was not asked for more all the time

double minutes(duration time) {
  return std::chrono::duration<double, std::ratio<60>>(time).count();
}

}  // namespace

duration served_rate::gap() const noexcept {
  if (!limits()) return {};
  return std::chrono::duration_cast<duration>(
      std::chrono::duration<double, std::ratio<60>>(1 / rate_));
}

bool served_rate::settled(time_point now) const noexcept {
  constexpr double clearly_less = 0.97;
  return limits() && !waiting_ && now - since_ >= 1min &&
         (limit_ == 0 || rate_ < clearly_less * limit_);
}

void served_rate::restart_at(double rate, time_point now) {
  rate_ = base_ = std::max(rate, slowest_rate);
  last_ = now;
  climbed_ = at_ceiling_ = {};
  good_ = 0;
}

bool served_rate::refused(refusal why, time_point started, time_point now) {
  recent_ += (1 - recent_) / few_answers;
  lately_ += (1 - lately_) / more_answers;
  if (started < since_) return false;
  if (why == refusal::busy && lately_ < many_busy &&
      recent_ < (probing() ? two_of_eight : three_of_eight)) {
    if (limits() && !probing()) doubt(now);
    return false;
  }
  if (tolerates_) {
    if (lately_ <= many_refused) return false;
    // They were the rate's after all.
    tolerates_ = false;
    evidence_ = std::min(4 * evidence_, most_evidence);
  }
  lower(now);
  return true;
}

// So near the rate that was refused before, the next refusal is likely to be the rate's, too.
bool served_rate::probing() const noexcept {
  return limits() && rate_ >= near_busy * wall_;
}

// It was refused well below the wall. True: so often that the rate is not what matters.
bool served_rate::doubt(time_point now) {
  if (++unexplained_ < evidence_ || lately_ > few_refused) return false;
  tolerates_ = true;
  unexplained_ = 0;
  wall_ = std::min(ceiling_, other_cause * rate_);
  restart_at(wall_, now);
  return true;
}

void served_rate::lower(time_point now) {
  const bool first = !limits();
  if (first) {
    const double seen = busy_served_ == 0 ? 0
                                          : static_cast<double>(busy_served_) /
                                                minutes(std::max<duration>(now - busy_since_, 1s));
    ceiling_ = limit_ > 0 ? limit_ : std::max(unlimited_rate, seen);
    rate_ = wall_ = ceiling_;
  }
  // A rate that was never used proves nothing.
  if (busy_served_ > 0 && now - busy_since_ >= busy_time / 2) {
    const double used = static_cast<double>(busy_served_) / minutes(now - busy_since_);
    rate_ = std::min(rate_, unused_slack * used);
    wall_ = std::min(wall_, rate_ / small_step);
  }
  const bool same = waiting_;  // nothing was let in since the last refusal
  steps_ = same ? steps_ + 1 : 1;
  if (steps_ > most_steps) return;
  if (!same) near_ = good_ >= many || (good_ >= some && !first && recent_ < two_of_eight);
  if (same && near_) {
    since_ = now;
    wall_ *= tiny_step;
    return restart_at(rate_ * small_step, now);
  }
  if (!near_ || rate_ >= near_wall * wall_) {
    if (unexplained_ > 0) --unexplained_;
  } else if (doubt(now)) {
    return;
  }
  since_ = now;
  waiting_ = true;
  to_measure_ = first || !near_;
  wall_ = rate_;
  restart_at(rate_ * (near_ ? small_step : large_step), now);
}

// The relay lets starts in again after a long wait: what it served until now is what it serves.
void served_rate::measure(time_point started, time_point now) {
  if (!to_measure_ || busy_served_ == 0 || started - since_ < long_wait) return;
  const double seen = static_cast<double>(busy_served_) / minutes(started - busy_since_);
  if (seen >= rate_) return;
  wall_ = std::max(measure_slack * seen, slowest_rate);
  restart_at(small_step * seen, now);
}

void served_rate::served(time_point started, time_point now) {
  recent_ -= recent_ / few_answers;
  lately_ -= lately_ / more_answers;
  if (waiting_ && started >= since_) {
    measure(started, now);
    waiting_ = false;
    busy_served_ = 0;
  }
  if (busy_served_ == 0 || (!waiting_ && started - busy_since_ > busy_time)) {
    busy_since_ = started;
    busy_served_ = 0;
  }
  ++busy_served_;
  if (started < since_) return;
  ++good_;
  if (limits()) climb(now);
}

void served_rate::climb(time_point now) {
  const duration passed = std::min<duration>(now - last_, 2 * gap() + 1s);  // idle time is no proof
  last_ = now;
  climbed_ += passed;
  const duration to_wall = std::max(
      climb_time, std::chrono::duration_cast<duration>(
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
  if (at_ceiling_ < stay_at_ceiling) return;
  rate_ = 0;
  good_ = 0;
}

}  // namespace sluice
