#include "upstream/relay_health.hpp"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

using namespace std::chrono_literals;

// If a relay refuses again this soon after the pause it asked for, the rate is too high.
constexpr duration soon = 3min;
// If the same request was refused this often, the reason may be the request and not the rate.
constexpr unsigned refused_for_itself = 3;

// Some proxies refuse with 503 if requests come too fast. A relay without an upstream for the model
// also sends 503, but its message says so.
bool is_overload(const failure& why) {
  return why.http_status == 503 && !why.model_out && !why.tier_full;
}

}  // namespace

duration relay_health::backoff(unsigned steps) const {
  duration wait = options_.backoff_base;
  for (unsigned i = 1; i < steps && wait < options_.backoff_cap; ++i) wait *= 2;
  return std::min(wait, options_.backoff_cap);
}

bool relay_health::is_refusal(const failure& why) {
  return why.kind == failure_class::throttled || is_overload(why);
}

// False: the attempt was already in flight at the last step, so it gives no new information.
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

void relay_health::end_throttling(time_point started) {
  end(throttled_, started);
  if (!throttled_.on) throttled_alone_ = false;
}

void relay_health::trouble_time::ask(time_point begin, time_point end) {
  asked += std::max(duration{}, end - std::max(begin, asked_until));
  asked_until = std::max(asked_until, end);
}

// The waits that the relay asks for are no trouble, but only up to `max_wait` in all: a relay that
// asks again and again is down in the end.
bool relay_health::gives_up(std::optional<time_point> hint, time_point now) {
  if (!trouble_) trouble_ = trouble_time{now, now, duration{}, time_point{}};
  const duration asked = std::min(trouble_->asked, options_.max_wait);
  const bool ends = now - trouble_->since - asked >= options_.give_up_after;
  trouble_->last = now;
  if (hint) trouble_->ask(now, *hint);
  return ends;
}

void relay_health::paused_by_others(time_point until) {
  if (trouble_ && until - trouble_->last > options_.backoff_cap) {
    trouble_->ask(trouble_->last, until);
  }
}

// Passes a refusal to the adaptive rate. After a first refusal with a hint, the pause that the
// relay asks for may be enough.
adaptive_rate::effect relay_health::note_refusal(bool hinted, time_point started, time_point now) {
  const bool again = throttled_.on || now < hinted_until_ + soon;
  return hinted && !again ? rate_.refused_with_hint(started, now)
                          : rate_.refused(adaptive_rate::refusal::too_fast, started, now);
}

void relay_health::answered(time_point started, time_point now, bool held) {
  end_throttling(started);
  end(unreachable_, started);
  rate_.served(started, now, held);
}

void relay_health::succeeded(time_point started) {
  confirmed_ = true;
  served_ = true;
  key_refused_at_.reset();
  failures_in_row_ = 0;
  trouble_.reset();
  end_throttling(started);
  for (spell* trouble : {&unreachable_, &failing_}) end(*trouble, started);
}

// The first refusal may be a short error of the relay, so a second one must confirm it. Attempts
// that were in flight at the time of the first one do not confirm it.
relay_health::verdict relay_health::key_refused(const failure& why, time_point started,
                                                time_point now) {
  verdict outcome;
  outcome.charge = false;
  if (!key_refused_at_) {
    key_refused_at_ = now;
    outcome.pause_until = now + options_.backoff_base;
  } else if (started >= *key_refused_at_) {
    outcome.stop = why.ends_with;
    outcome.reason = why.message;
  }
  return outcome;
}

relay_health::verdict relay_health::failed(const failure& why, time_point started, time_point now,
                                           unsigned refused_before, bool full,
                                           std::string_view model) {
  verdict outcome;
  const auto stop = [&](stop_reason reason) {
    outcome.charge = false;
    outcome.stop = reason;
    outcome.reason = why.message;
    return outcome;
  };

  const bool misplaced = why.kind == failure_class::wrong_address;
  const bool of_proxy = why.kind == failure_class::bad_proxy;
  // There is no such server. In other cases an answer makes the address suspicious.
  if (misplaced && why.code == errc::connection_failed && !confirmed_) {
    outcome.charge = false;
    last_suspicion_ = why.message;
    blocked_ = false;
    return only_suspects_left();
  }
  if ((misplaced || why.foreign) && !confirmed_) {
    last_suspicion_ = why.message;
    blocked_ = why.ends_with == stop_reason::blocked;
    if (!model.empty()) suspicious_models_.emplace(model);
    const bool agreed = model.empty() || why.foreign || suspicious_models_.size() > 1;
    if (++suspicious_ >= suspicious_answers) {
      if (agreed) return only_suspects_left();
      return outcome;  // the model may be the reason, so only this request fails
    }
    outcome.charge = false;
    // A web page with status 200 or 5xx may be a temporary error of a proxy: retry the request.
    outcome.suspect = why.kind != failure_class::passing;
    return outcome;
  }
  if (why.code == errc::http_error && !misplaced && !of_proxy && !why.foreign) confirmed_ = true;
  std::optional<time_point> hint;
  // A hint about a tier or a model applies only to requests for it.
  if (why.retry_after && !why.tier_full && !why.model_out) {
    const auto wait = std::chrono::duration_cast<duration>(*why.retry_after);
    if (wait > options_.max_wait) {
      outcome.wait = wait;
      return stop(stop_reason::come_back_later);
    }
    hint = now + wait;
  }

  switch (why.kind) {
    case failure_class::permanent:
    // the answer concerns only this request: the relay accepts requests
    case failure_class::wrong_address:
      end_throttling(started);
      end(unreachable_, started);
      if (!trial()) trouble_.reset();
      return outcome;
    case failure_class::key_ended:
      return key_refused(why, started, now);
    case failure_class::bad_certificate:
      if (!served_) return stop(stop_reason::bad_certificate);
      [[fallthrough]];  // the settings worked before, so the relay has the problem
    case failure_class::bad_proxy:
      if (!served_) return stop(stop_reason::bad_proxy);
      [[fallthrough]];
    case failure_class::unreachable:
      outcome.charge = false;
      prolong(unreachable_, started, now);
      outcome.pause_until = unreachable_.until;
      break;
    case failure_class::throttled:
      // The pause below is at least two gaps. With a shorter pause, the second start after it would
      // follow too closely, because even pacing catches up on delays.
      outcome.charge = false;
      if (full && !hint) break;
      if (refused_before < refused_for_itself) {
        const bool spread = rate_.limits();
        if (note_refusal(hint.has_value(), started, now) == adaptive_rate::effect::tolerated) {
          outcome.pause_until = hint;
          break;
        }
        throttled_alone_ |= !spread && !(throttled_.on && started < throttled_.since);
      }
      // While starts are spread, a single refusal is normal: this is how the rate is found. Only a
      // second refusal limits the relay to one attempt at a time.
      if (prolong(throttled_, started, now) && throttled_.steps > 1) throttled_alone_ = true;
      if (hint) hinted_until_ = std::max(hinted_until_, *hint);
      // The relay refused again after the wait that it asked for, so the hint is too short.
      outcome.pause_until = throttled_.steps > 1 ? std::max(hint.value_or(now), throttled_.until)
                                                 : hint.value_or(throttled_.until);
      outcome.pause_until = std::max(*outcome.pause_until, now + 2 * rate_.gap());
      break;
    case failure_class::passing:
      outcome.charge = !failing_.on;
      end(unreachable_, started);
      end_throttling(started);
      // Other tiers and models may still work.
      if (why.tier_full || why.model_out) return outcome;
      if (!full && is_overload(why) &&
          rate_.refused(adaptive_rate::refusal::busy, started, now) ==
              adaptive_rate::effect::lowered) {
        outcome.pause_until = now + 2 * rate_.gap();
      }
      if (++failures_in_row_ >= options_.failures_before_trial) {
        prolong(failing_, started, now);
      }
      if (hint || failing_.on) {
        outcome.pause_until = std::max({outcome.pause_until.value_or(now), hint.value_or(now),
                                        failing_.on ? failing_.until : now});
      }
      break;
  }
  if (!trial()) return outcome;  // single failures among many requests are not the relay's problem
  if (!gives_up(hint, now)) return outcome;
  const bool never = why.kind == failure_class::unreachable && !confirmed_ && suspicious_ == 0;
  return stop(never ? stop_reason::unreachable : stop_reason::relay_down);
}

void relay_health::rested() {
  for (spell* trouble : {&throttled_, &unreachable_, &failing_}) *trouble = {};
  throttled_alone_ = false;
  trouble_.reset();
  failures_in_row_ = 0;
  key_refused_at_.reset();
}

void relay_health::reset_for_new_run() {
  rested();
  suspicious_ = 0;
  suspicious_models_.clear();
}

bool relay_health::suspects_agree() const noexcept {
  return suspicious_models_.size() != 1;
}

relay_health::verdict relay_health::only_suspects_left() const {
  verdict outcome;
  outcome.charge = false;
  outcome.suspect = true;
  outcome.stop = blocked_ ? stop_reason::blocked : stop_reason::wrong_address;
  outcome.reason = last_suspicion_;
  return outcome;
}

}  // namespace sluice
