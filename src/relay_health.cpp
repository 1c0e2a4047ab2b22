#include "relay_health.hpp"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr duration unlimited_gap = 50ms;  // where no limit of ours gives a measure
constexpr duration widest_gap = 10s;
constexpr duration spread_for = 5min;  // without another refusal
constexpr int closing_steps = 32;      // successes until a gap is closed by about two thirds
constexpr int forgetting_steps =
    2048;                           // likewise, of what was refused too often: by a tenth in 200
constexpr double share_memory = 8;  // answers that the share of refusals goes by, about
constexpr double too_often = 0.34;  // four of eight

// Proxies refuse with 503 what comes too fast; a relay without an upstream for the model does too,
// and says so.
bool is_overload(const failure& why) {
  return why.http_status == 503 && why.max_retries < 0;
}

}  // namespace

duration relay_health::backoff(unsigned steps) const {
  duration wait = options_.backoff_base;
  for (unsigned i = 1; i < steps && wait < options_.backoff_cap; ++i) wait *= 2;
  return std::min(wait, options_.backoff_cap);
}

// False: the attempt was on its way when the trouble was last met, and says nothing new.
bool relay_health::prolong(spell& trouble, time_point started, time_point now) const {
  if (trouble.on && started < trouble.since) return false;
  trouble.on = true;
  trouble.since = now;
  trouble.until = now + backoff(++trouble.steps);
  return true;
}

void relay_health::end(spell& trouble, time_point started) {
  if (started >= trouble.since) trouble = {};
}

void relay_health::spread(time_point started, time_point now) {
  const duration least = options_.even_gap > duration{} ? options_.even_gap : unlimited_gap;
  last_spread_ = now;
  duration wanted = least;
  if (gap_ >= least && started >= gap_since_) {
    refused_share_ += (1 - refused_share_) / share_memory;
    if (throttled_.steps > 1) {
      wanted = std::min(gap_ * 2, widest_gap);
    } else if (refused_share_ >= too_often) {
      // Not by chance, then: a leaky bucket, say, that refuses every other start. It is not tried
      // again for a while.
      wanted = narrowest_ = std::min(gap_ + gap_ / 10, 2 * least);
    }
  }
  if (wanted <= gap_) return;
  gap_ = wanted;
  gap_since_ = now;
  refused_share_ = 0;
}

void relay_health::close_up(time_point started, time_point now) {
  if (started >= gap_since_) refused_share_ -= refused_share_ / share_memory;
  if (now - last_spread_ >= spread_for) gap_ = narrowest_ = {};
  narrowest_ -= narrowest_ / forgetting_steps;
  const duration narrowest = std::max(narrowest_, options_.even_gap);
  if (gap_ > narrowest) gap_ = std::max(gap_ - gap_ / closing_steps, narrowest);
}

void relay_health::answered(time_point started, time_point now) {
  end(throttled_, started);
  end(unreachable_, started);
  close_up(started, now);
}

void relay_health::succeeded(time_point started) {
  ++successes_;
  confirmed_ = true;
  key_refusals_ = 0;
  failures_in_row_ = 0;
  trouble_since_.reset();
  for (spell* trouble : {&throttled_, &unreachable_, &failing_}) end(*trouble, started);
}

relay_health::verdict relay_health::failed(const failure& why, time_point started, time_point now) {
  verdict told;
  const auto stop = [&](stop_reason reason) {
    told.charge = false;
    told.stop = reason;
    told.reason = why.message;
    return told;
  };

  const bool misplaced = why.kind == failure_class::wrong_address;
  if ((misplaced || why.foreign) && !confirmed_) {
    last_suspicion_ = why.message;
    if (++suspicious_ >= suspicious_answers) return only_suspects_left();
    told.charge = false;
    // A page that says 200 or 5xx may be a proxy's passing trouble: the request is tried again.
    told.suspect = why.kind != failure_class::passing;
    return told;
  }
  if (why.code == errc::http_error && !misplaced && !why.foreign) confirmed_ = true;
  std::optional<time_point> hint;
  if (why.retry_after) {
    const auto wait = std::chrono::duration_cast<duration>(*why.retry_after);
    if (wait > options_.max_wait) {
      told.wait = wait;
      return stop(stop_reason::come_back_later);
    }
    hint = now + wait;
  }

  switch (why.kind) {
    case failure_class::permanent:
    case failure_class::wrong_address:  // an answer to this request: it was let in
      end(throttled_, started);
      end(unreachable_, started);
      if (!trial()) trouble_since_.reset();
      return told;
    case failure_class::bad_certificate:
      return stop(stop_reason::bad_certificate);
    case failure_class::bad_proxy:
      return stop(stop_reason::bad_proxy);
    case failure_class::key_ended:
      told.charge = successes_ > 0;
      return ++key_refusals_ >= refusals_of_key ? stop(stop_reason::key_ended) : told;
    case failure_class::unreachable:
      told.charge = false;
      prolong(unreachable_, started, now);
      told.pause_until = unreachable_.until;
      break;
    case failure_class::throttled:
      told.charge = false;
      if (prolong(throttled_, started, now) && (!hint || throttled_.steps > 1))
        spread(started, now);
      // Refused again although the hint was heeded: it promises too much.
      told.pause_until = throttled_.steps > 1 ? std::max(hint.value_or(now), throttled_.until)
                                              : hint.value_or(throttled_.until);
      break;
    case failure_class::passing:
      told.charge = !failing_.on;
      end(unreachable_, started);
      end(throttled_, started);
      if (is_overload(why)) spread(started, now);
      // A model without an upstream is the trouble of the requests that ask for it.
      if (why.max_retries < 0 && ++failures_in_row_ >= options_.failures_before_trial) {
        prolong(failing_, started, now);
      }
      if (hint || failing_.on) {
        told.pause_until = std::max(hint.value_or(now), failing_.on ? failing_.until : now);
      }
      break;
  }
  if (!trial()) return told;  // some failures among many requests are no trouble of the relay's
  if (!trouble_since_) trouble_since_ = now;
  if (now - *trouble_since_ >= options_.give_up_after) return stop(stop_reason::relay_down);
  return told;
}

void relay_health::rested() {
  for (spell* trouble : {&throttled_, &unreachable_, &failing_}) *trouble = {};
  trouble_since_.reset();
  failures_in_row_ = 0;
  key_refusals_ = 0;
}

relay_health::verdict relay_health::only_suspects_left() const {
  verdict told;
  told.charge = false;
  told.suspect = true;
  told.stop = stop_reason::wrong_address;
  told.reason = last_suspicion_;
  return told;
}

}  // namespace sluice
