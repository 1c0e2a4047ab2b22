#include "upstream/relay_health.hpp"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

using namespace std::chrono_literals;

// A relay that refuses again so soon after the pause it asked for serves less than it gets.
constexpr duration soon = 3min;
// A request that was refused so often may be refused for itself, whatever the rate.
constexpr unsigned refused_for_itself = 3;

// Proxies refuse with 503 what comes too fast; a relay without an upstream for the model does too,
// and says so.
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

void relay_health::end_throttling(time_point started) {
  end(throttled_, started);
  if (!throttled_.on) throttled_alone_ = false;
}

// Whether the rate is lowered for it. A pause may be all that a relay wants; it knows best how
// long.
adaptive_rate::effect relay_health::note_refusal(bool hinted, time_point started, time_point now) {
  const bool again = throttled_.on || now < hinted_until_ + soon;
  return hinted && !again ? rate_.told_to_wait(started, now)
                          : rate_.refused(adaptive_rate::refusal::too_fast, started, now);
}

void relay_health::answered(time_point started, time_point now) {
  end_throttling(started);
  end(unreachable_, started);
  rate_.served(started, now);
}

void relay_health::succeeded(time_point started) {
  confirmed_ = true;
  served_ = true;
  key_refused_at_.reset();
  failures_in_row_ = 0;
  trouble_since_.reset();
  end_throttling(started);
  for (spell* trouble : {&unreachable_, &failing_}) end(*trouble, started);
}

// The first refusal may be a blink of the relay: what was on its way with it says nothing more.
relay_health::verdict relay_health::key_refused(const failure& why, time_point started,
                                                time_point now) {
  verdict told;
  told.charge = false;
  if (!key_refused_at_) {
    key_refused_at_ = now;
    told.pause_until = now + options_.backoff_base;
  } else if (started >= *key_refused_at_) {
    told.stop = stop_reason::key_ended;
    told.reason = why.message;
  }
  return told;
}

relay_health::verdict relay_health::failed(const failure& why, time_point started, time_point now,
                                           unsigned refused_before, bool full,
                                           std::string_view model) {
  verdict told;
  const auto stop = [&](stop_reason reason) {
    told.charge = false;
    told.stop = reason;
    told.reason = why.message;
    return told;
  };

  const bool misplaced = why.kind == failure_class::wrong_address;
  const bool of_proxy = why.kind == failure_class::bad_proxy;
  if ((misplaced || why.foreign) && !confirmed_) {
    last_suspicion_ = why.message;
    if (!model.empty()) suspicious_models_.emplace(model);
    const bool agreed = model.empty() || why.foreign || suspicious_models_.size() > 1;
    if (++suspicious_ >= suspicious_answers) {
      if (agreed) return only_suspects_left();
      return told;  // it may be the model's: the request fails for itself
    }
    told.charge = false;
    // A page that says 200 or 5xx may be a proxy's passing trouble: the request is tried again.
    told.suspect = why.kind != failure_class::passing;
    return told;
  }
  if (why.code == errc::http_error && !misplaced && !of_proxy && !why.foreign) confirmed_ = true;
  std::optional<time_point> hint;
  // A hint for a tier or a model is for the requests that ask for it.
  if (why.retry_after && !why.tier_full && !why.model_out) {
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
      end_throttling(started);
      end(unreachable_, started);
      if (!trial()) trouble_since_.reset();
      return told;
    case failure_class::key_ended:
      return key_refused(why, started, now);
    case failure_class::bad_certificate:
      if (!served_) return stop(stop_reason::bad_certificate);
      [[fallthrough]];  // the settings have proved right: it is the relay's trouble
    case failure_class::bad_proxy:
      if (!served_) return stop(stop_reason::bad_proxy);
      [[fallthrough]];
    case failure_class::unreachable:
      told.charge = false;
      prolong(unreachable_, started, now);
      told.pause_until = unreachable_.until;
      break;
    case failure_class::throttled:
      // After a refusal the beat of the starts begins anew: with less than two gaps in between, the
      // next but one would come too soon, to keep up with the old beat.
      told.charge = false;
      if (full && !hint) break;
      if (refused_before < refused_for_itself) {
        const bool spread = rate_.limits();
        if (note_refusal(hint.has_value(), started, now) == adaptive_rate::effect::put_up_with) {
          told.pause_until = hint;
          break;
        }
        throttled_alone_ |= !spread && !(throttled_.on && started < throttled_.since);
      }
      // One alone among starts that are spread is how their rate is found. No crowd follows it.
      if (prolong(throttled_, started, now) && throttled_.steps > 1) throttled_alone_ = true;
      if (hint) hinted_until_ = std::max(hinted_until_, *hint);
      // Refused again although the hint was heeded: it promises too much.
      told.pause_until = throttled_.steps > 1 ? std::max(hint.value_or(now), throttled_.until)
                                              : hint.value_or(throttled_.until);
      told.pause_until = std::max(*told.pause_until, now + 2 * rate_.gap());
      break;
    case failure_class::passing:
      told.charge = !failing_.on;
      end(unreachable_, started);
      end_throttling(started);
      // Says nothing of requests for another tier or model.
      if (why.tier_full || why.model_out) return told;
      if (!full && is_overload(why) &&
          rate_.refused(adaptive_rate::refusal::busy, started, now) ==
              adaptive_rate::effect::lowered) {
        told.pause_until = now + 2 * rate_.gap();
      }
      if (++failures_in_row_ >= options_.failures_before_trial) {
        prolong(failing_, started, now);
      }
      if (hint || failing_.on) {
        told.pause_until = std::max({told.pause_until.value_or(now), hint.value_or(now),
                                     failing_.on ? failing_.until : now});
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
  throttled_alone_ = false;
  trouble_since_.reset();
  failures_in_row_ = 0;
  key_refused_at_.reset();
}

void relay_health::asked_anew() {
  rested();
  suspicious_ = 0;
  suspicious_models_.clear();
}

bool relay_health::suspects_agree() const noexcept {
  return suspicious_models_.size() != 1;
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
