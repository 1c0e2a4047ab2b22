#include "relay_health.hpp"

#include <algorithm>
#include <utility>

namespace sluice {

duration relay_health::backoff(unsigned steps) const {
  duration wait = options_.backoff_base;
  for (unsigned i = 1; i < steps && wait < options_.backoff_cap; ++i) wait *= 2;
  return std::min(wait, options_.backoff_cap);
}

void relay_health::prolong(spell& trouble, time_point started, time_point now) const {
  if (trouble.on && started < trouble.since) return;
  trouble.on = true;
  trouble.since = now;
  trouble.until = now + backoff(++trouble.steps);
}

void relay_health::succeeded(time_point started) {
  ++successes_;
  confirmed_ = true;
  key_refusals_ = 0;
  failures_in_row_ = 0;
  trouble_since_.reset();
  for (spell* trouble : {&throttled_, &unreachable_}) {
    if (started >= trouble->since) *trouble = {};
  }
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
    told.suspect =
        misplaced;  // a page may be a proxy's passing trouble: the request is tried again
    return told;
  }
  if (why.code == errc::http_error && why.kind != failure_class::wrong_address) confirmed_ = true;
  if (why.retry_after && *why.retry_after > options_.max_wait) {
    return stop(stop_reason::come_back_later);
  }
  std::optional<time_point> hint;
  if (why.retry_after) hint = now + std::chrono::duration_cast<duration>(*why.retry_after);

  switch (why.kind) {
    case failure_class::permanent:
    case failure_class::wrong_address:
      return told;
    case failure_class::bad_certificate:
      return stop(stop_reason::bad_certificate);
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
      prolong(throttled_, started, now);
      told.pause_until = hint.value_or(throttled_.until);
      break;
    case failure_class::passing:
      told.charge = !trial();
      told.pause_until = hint;
      unreachable_ = {};
      if (++failures_in_row_ >= failures_before_trial && !hint) {
        told.pause_until = now + backoff(failures_in_row_ - failures_before_trial + 1);
      }
      break;
  }
  if (!trial()) return told;  // some failures among many requests are no trouble of the relay's
  if (!trouble_since_) trouble_since_ = now;
  if (now - *trouble_since_ >= options_.give_up_after) return stop(stop_reason::relay_down);
  return told;
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
