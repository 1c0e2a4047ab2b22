#include "loadtest/find_limit/limit_finder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace sluice::bench {
namespace {

constexpr double highest_rate = 50'000;  // higher rates cannot be measured
// tolerance for sums of seconds, so that no wait is repeated because of rounding
constexpr double time_grain = 1e-6;
// After this time, a minute is over even at a relay that counts in whole seconds.
constexpr double minute_over = 61.5;
constexpr double first_look = 0.3;
constexpr double look_growth = 3;
constexpr double longest_burst = 100;
constexpr double longest_search = 20 * 60;
constexpr double longest_hint = 10 * 60;
constexpr unsigned most_looks = 9;
constexpr unsigned most_experiments = 60;
constexpr unsigned burst_stop = 3;
constexpr double burst_pace = 20;  // starts per second, and one more for each 8 allowed calls
constexpr double burst_growth = 8;
constexpr double fastest_pace = 150;
// Calls allowed after a refusal. This number of them means that a bucket is being refilled.
constexpr unsigned most_drops = 15;
constexpr double longest_clear_burst = 50;
constexpr double lone_gap = 0.25;
constexpr unsigned let_in_before_empty = 15;
constexpr std::array<double, 4> pauses{25, 8, 15, 35};  // between the two halves of a round
constexpr std::string_view too_slow = "its answers are too slow to come to its limit at once";
constexpr unsigned most_rounds = 8;
constexpr double small_burst = 6;  // a bucket of at most this size is measured with streams
constexpr unsigned most_streams = 10;
constexpr double longest_stream = 120;
constexpr double stream_precision = 1.012;
// With this number of refills, an error of one is well under 2 %.
constexpr double enough_refills = 80;

bool narrow(const limit_range& rate, double share) {
  return (rate.high - rate.low) / 2 <= std::max(1.0, share * rate.middle());
}

std::string number(double n) {
  return n == std::floor(n) || n >= 100 ? fmt::format("{:.0f}", n) : fmt::format("{:.1f}", n);
}

}  // namespace

std::string_view to_string(limit_kind kind) noexcept {
  switch (kind) {
    case limit_kind::sliding:
      return "sliding";
    case limit_kind::bucket:
      return "bucket";
    case limit_kind::fixed:
      return "fixed";
    case limit_kind::leaky:
      return "leaky";
    case limit_kind::none_found:
      return "none_found";
    case limit_kind::unclear:
      return "unclear";
  }
  return "unclear";
}

limit_finder::limit_finder(const options& chosen) : options_(chosen) {
  options_.concurrency = std::max(1U, options_.concurrency);
  experiment burst;
  burst.count = options_.max_requests;
  burst.stop_after = burst_stop;
  run(burst);
}

double limit_finder::seconds(time_point t) const {
  return std::chrono::duration<double>(t - *origin_).count();
}

time_point limit_finder::moment(double t) const {
  return *origin_ + std::chrono::ceil<duration>(std::chrono::duration<double>(t));
}

limit_finder::step limit_finder::next(time_point now) {
  if (!origin_) origin_ = now;
  const double t = seconds(now);
  while (phase_ != phase::over) {
    if (planned_) {
      const step then = proceed(t);
      if (then.what != action::done) return then;
    }
    plan(t);
  }
  if (!in_flight_.empty()) return {action::wait, time_point::max()};
  return {action::done, {}};
}

/// `done`: the experiment has ended, and nothing is in flight.
limit_finder::step limit_finder::proceed(double now) {
  const step after_answer{action::wait, time_point::max()};
  const bool drips = now_.refused > 0 && let_in_after_refusal() > most_drops;
  if (now_.begun == 0 && !spent()) now_.at = std::max(now_.at, room_under_ceiling());
  if (now_.begun >= now_.count || now_.refused >= now_.stop_after || drips || spent() ||
      (now_.begun > 0 && at_ceiling(now)) ||
      (now_.begun > 0 && now_.gap == 0 && now - now_.first_start > longest_burst))
    now_.closed = true;
  if (now_.closed) {
    if (!in_flight_.empty()) return after_answer;
    planned_ = false;
    return {action::done, {}};
  }
  double at = std::max(now_.at, hinted_until_);
  if (now_.begun > 0) at = std::max(at, now_.last_start + gap());
  if (now < at - time_grain) return {action::wait, moment(at)};
  if (in_flight_.size() >= may_be_in_flight()) return after_answer;
  return {action::start, {}};
}

/// Starts with two calls. Each allowed call allows one more, up to the bound in limit_finder.hpp.
/// Near the expected refusal, and after it, fewer are allowed.
unsigned limit_finder::may_be_in_flight() const {
  if (now_.gap > 0) return std::min(options_.concurrency, 16U);
  unsigned allowed = std::min({options_.concurrency, 2 + now_.admitted, 16 + now_.admitted / 16});
  if (now_.expected > 0) allowed = std::min(allowed, std::max(1U, away_from_expected()));
  return allowed;
}

unsigned limit_finder::away_from_expected() const {
  return now_.admitted < now_.expected ? now_.expected - now_.admitted
                                       : now_.admitted - now_.expected;
}

/// The starts of a burst are paced, faster the longer it lasts. So a refusal is answered before
/// many more calls have started, and after it no more calls start than are answered. Near the
/// expected refusal, calls are sent one at a time, so that no other call can explain the refusal.
double limit_finder::gap() const {
  if (now_.gap > 0) return now_.gap;
  if (now_.expected > 0 && away_from_expected() < 2) return lone_gap;
  const double paced = 1 / std::min(burst_pace + now_.admitted / burst_growth, fastest_pace);
  return now_.refused > 0 ? std::max(paced, std::min(slowest_refusal_, 1.0)) : paced;
}

/// Calls that were allowed after the first refusal, or started after it and not answered yet.
unsigned limit_finder::let_in_after_refusal() const {
  return now_.begun - now_.before_refusal - now_.refused;
}

bool limit_finder::at_ceiling(double now) const {
  if (calls_.size() < options_.ceiling) return false;
  return now - calls_[calls_.size() - options_.ceiling].start < 60;
}

/// The time at which enough of the ceiling is free that the experiment is not stopped by it.
double limit_finder::room_under_ceiling() const {
  const unsigned wanted = std::min(now_.count, std::max(1U, options_.ceiling / 4));
  const std::size_t others = options_.ceiling > wanted ? options_.ceiling - wanted : 0;
  if (calls_.size() <= others) return 0;
  return calls_[calls_.size() - 1 - others].start + 60;
}

bool limit_finder::spent() const {
  return calls_.size() >= options_.max_requests;
}

void limit_finder::started(call_id id, time_point now) {
  if (!origin_) origin_ = now;
  const double t = seconds(now);
  if (now_.begun == 0) now_.first_start = t;
  now_.last_start = t;
  ++now_.begun;
  in_flight_[id] = calls_.size();
  calls_.push_back({t, t, call_outcome::in_flight});
}

void limit_finder::answered(call_id id, time_point now, call_outcome how) {
  const auto found = in_flight_.find(id);
  if (found == in_flight_.end()) return;
  limit_call& call = calls_[found->second];
  call.head = seconds(now);
  call.how = how;
  in_flight_.erase(found);
}

void limit_finder::accepted(call_id id, time_point now) {
  answered(id, now, call_outcome::accepted);
  ++now_.admitted;
  now_.last_head = last_admitted_ = seconds(now);
}

void limit_finder::refused(call_id id, time_point now, std::optional<duration> retry_after) {
  const auto found = in_flight_.find(id);
  if (found == in_flight_.end()) return;
  const double t = seconds(now);
  slowest_refusal_ = std::max(slowest_refusal_, t - calls_[found->second].start);
  if (now_.refused == 0 || calls_[found->second].start < now_.refusal_start) {
    now_.refusal_start = calls_[found->second].start;
    now_.before_refusal = now_.begun - static_cast<unsigned>(calls_.size() - found->second);
  }
  answered(id, now, call_outcome::refused);
  ++now_.refused;
  ++refused_;
  last_refusal_ = t;
  if (!retry_after || *retry_after <= duration::zero()) return;
  now_.closed = true;
  const double wait = std::chrono::duration<double>(*retry_after).count();
  hinted_until_ = std::max(hinted_until_, t + std::min(wait, longest_hint));
  if (wait > longest_hint)
    end(fmt::format("it asked for a pause of {:.0f} minutes", std::ceil(wait / 60)));
}

void limit_finder::failed(call_id id, time_point now) {
  answered(id, now, call_outcome::failed);
  ++failed_;
}

void limit_finder::run(const experiment& next) {
  now_ = next;
  planned_ = true;
  ++experiments_;
}

void limit_finder::end(std::string why) {
  why_ = std::move(why);
  phase_ = phase::over;
}

void limit_finder::plan(double now) {
  const bool full = now_.refused > 0 && now_.count > 1;
  if (full) ++full_bursts_;
  // A burst that ended because its requests were used up also counts, if it was large.
  const bool shown =
      full ? now_.admitted > 0 : now_.count > burst_ && now_.admitted > burst_ / 4 + 2;
  if (phase_ == phase::rounds && shown) ++confirmations_;
  note_emptied();
  evidence_.learn(calls_);
  if (failed_ >= 10 && failed_ > 0.3 * static_cast<double>(calls_.size()))
    return end(fmt::format("{} of {} requests failed for other reasons", failed_, calls_.size()));
  if (phase_ == phase::burst) return after_burst(now);
  if (experiments_ >= most_experiments || now > longest_search || spent() ||
      refused_ >= max_refusals)
    return end("what may be spent on the search was spent");
  if (phase_ == phase::reopening) return after_probe(now);
  after_round(now);
}

/// Notes the rate at which a bucket was emptied. If calls are refused because they came close
/// together by chance, the refusals are scattered. If many calls are allowed and then almost none,
/// a bucket was emptied. The margin allows for uneven starts within the burst.
void limit_finder::note_emptied() {
  if (now_.before_refusal < let_in_before_empty) return;
  if (now_.refused < burst_stop && hinted_until_ < last_refusal_) return;
  const unsigned drops = let_in_after_refusal();
  const bool dry = drops <= now_.refused ||
                   (drops <= 2 * now_.refused && now_.before_refusal >= 2 * let_in_before_empty);
  const double lasted = now_.refusal_start - now_.first_start;
  if (dry && lasted > 0) evidence_.emptied_at(1.05 * 60 * now_.before_refusal / lasted);
}

void limit_finder::after_burst(double now) {
  if (now_.refused == 0) {
    const bool tried = spent() || at_ceiling(now_.last_start);
    return end(tried ? std::string() : std::string(too_slow));
  }
  if (now_.admitted == 0) {
    if (++tries_ > 1) return end("every request was refused");
    experiment again;
    again.at = now + minute_over;
    again.count = options_.max_requests;
    again.stop_after = burst_stop;
    return run(again);
  }
  if (now_.refusal_start - now_.first_start > longest_clear_burst)
    return end(std::string(too_slow));
  burst_ = now_.admitted;
  burst_end_ = now_.last_head;
  phase_ = phase::reopening;
  experiment look;
  look.at = last_refusal_ + first_look;
  run(look);
}

void limit_finder::after_probe(double now) {
  if (now_.admitted > 0) {
    opened_ = now;
    phase_ = phase::rounds;
    return after_round(now);
  }
  if (++probes_ >= most_looks) return end("it stayed closed for more than a minute");
  experiment look;
  const double grown = last_refusal_ + first_look * std::pow(look_growth, probes_);
  const double aged = burst_end_ + minute_over;
  look.at = now < aged ? std::min(grown, aged) : last_refusal_ + minute_over;
  if (now_.refused == 0) look.at = now + 1;  // it failed for another reason
  run(look);
}

/// Whether there is enough evidence. A single refill or opening may be chance, for example because
/// calls of another client left the window.
bool limit_finder::confirmed() const {
  const auto bucket = evidence_.bucket();
  if (bucket && bucket->burst.high >= small_burst) return confirmations_ >= 2;
  if (bucket) return full_bursts_ >= 2 && confirmations_ >= 1;
  const auto limit = evidence_.sliding() ? evidence_.sliding() : evidence_.fixed();
  return confirmations_ >= 1 && limit && limit->all.low > 1;
}

bool limit_finder::settled() const {
  const auto sliding = evidence_.sliding();
  const auto fixed = evidence_.fixed();
  const auto bucket = evidence_.bucket();
  if (!confirmed()) return false;
  if (sliding && !fixed && !bucket) return narrow(sliding->all, 0.02);
  if (fixed && !sliding && !bucket) return narrow(fixed->all, 0.02);
  return bucket && !sliding && !fixed && narrow(bucket->rate.all, 0.015) &&
         (bucket->burst.high < 2 || bucket->burst.low >= 2);
}

void limit_finder::after_round(double now) {
  const auto sliding = evidence_.sliding();
  const auto fixed = evidence_.fixed();
  const auto bucket = evidence_.bucket();
  if (!sliding && !fixed && !bucket)
    return end("what it let through and refused fits no one limit");
  if (streaming_) note_stream();
  if (settled()) return end({});
  if (rounds_ > most_rounds) return end("what may be spent on the search was spent");
  const bool both = sliding && fixed;
  experiment next;
  next.count = options_.max_requests;
  next.stop_after = burst_stop;
  switch (part_) {
    case round_part::half:
      half_first_start_ = now_.first_start;
      half_last_head_ = now_.last_head;
      part_ = round_part::rest;
      next.at = half_first_start_ + pauses[rounds_ % pauses.size()];
      next.expected = burst_ > now_.admitted ? burst_ - now_.admitted : 1;
      return run(next);
    case round_part::rest: {
      const double look = half_first_start_ + 60 - 1.3 - std::max(0.2, 1.5 * slowest_refusal_);
      if (both && now < look && hinted_until_ <= look) {
        part_ = round_part::before_minute;
        next.at = look;
        next.count = 1;
        return run(next);
      }
      [[fallthrough]];
    }
    case round_part::before_minute:
      if (both) {
        part_ = round_part::after_minute;
        next.at = half_last_head_ + minute_over;
        next.expected = std::max(1U, burst_ / 2);
        return run(next);
      }
      break;
    case round_part::fresh:
    case round_part::after_minute:
      break;
  }
  plan_round(now);
}

void limit_finder::plan_round(double now) {
  const auto bucket = evidence_.bucket();
  const bool fresh_done = full_bursts_ > 1;
  part_ = round_part::fresh;
  if (evidence_.sliding()) return plan_halves(now);
  if (evidence_.fixed() && !fresh_done) {
    // A fixed minute that has opened again allows the rest of a whole burst; a bucket allows almost
    // nothing.
    experiment next;
    next.at = now;
    next.count = options_.max_requests;
    next.stop_after = burst_stop;
    next.expected = std::max(1U, burst_ - 1);
    return run(next);
  }
  if (!bucket) return plan_halves(now);
  const bool tiny = bucket->burst.high < 2;
  if (tiny || (bucket->burst.high < small_burst && confirmations_ > 0))
    return plan_stream(now, *bucket);
  plan_refill(now, *bucket);
}

void limit_finder::plan_halves(double now) {
  ++rounds_;
  part_ = round_part::half;
  experiment half;
  half.at = std::max(now, last_admitted_ + minute_over);
  half.count = std::max(1U, burst_ / 2);
  run(half);
}

/// Lets an empty bucket refill for a known time, but not completely, and counts its content. From
/// the first refusal to the last, the number of allowed calls equals the refill, within one.
void limit_finder::plan_refill(double now, const limit_evidence::bucket_ranges& bucket) {
  const limit_range rate{bucket.rate.all.low / 60, bucket.rate.all.high / 60};
  const double brim = 0.8 * bucket.burst.low / rate.high;
  const double wanted = std::max(enough_refills / rate.low, 100 * slowest_refusal_);
  const double affordable =
      0.9 * static_cast<double>(options_.max_requests - calls_.size()) / rate.high;
  const double pause = std::min({brim, wanted, affordable, 120.0});
  if (hinted_until_ > last_refusal_ + std::max(brim, 0.1)) return plan_halves(now);
  ++rounds_;
  experiment refill;
  refill.at = std::max(now, last_refusal_ + pause);
  refill.count = options_.max_requests;
  refill.expected =
      static_cast<unsigned>(std::max(1.0, (refill.at - last_refusal_) * bucket.rate.likely / 60));
  run(refill);
}

/// A very small bucket is measured with evenly spaced streams of calls. Each stream starts with a
/// full bucket, and the rates of the streams approach the bucket's rate.
void limit_finder::plan_stream(double now, const limit_evidence::bucket_ranges& bucket) {
  const limit_range& rate = bucket.rate.all;
  const double low = std::max(rate.low, passed_rate_);
  const double high = refused_rate_ > 0 ? std::min(rate.high, refused_rate_) : rate.high;
  if (streams_ >= most_streams || high < low * stream_precision) {
    if (evidence_.fixed()) return plan_halves(now);
    return end({});
  }
  ++streams_;
  streaming_ = true;
  experiment stream;
  stream.at = std::max(now, now_.last_start + std::min(65.0, 60 * bucket.burst.high / rate.low));
  stream.gap = 60 / std::sqrt(low * high);
  const double longest = 10 + 4 * bucket.burst.high;
  stream.count = static_cast<unsigned>(
      std::clamp(longest_stream / stream.gap, bucket.burst.high + 2, longest));
  run(stream);
}

void limit_finder::note_stream() {
  streaming_ = false;
  if (now_.begun < 2 || now_.last_start <= now_.first_start) return;
  const double rate = 60.0 * (now_.begun - 1) / (now_.last_start - now_.first_start);
  if (now_.refused >= now_.stop_after || now_.begun < now_.count)
    refused_rate_ = refused_rate_ > 0 ? std::min(refused_rate_, rate) : rate;
  else
    passed_rate_ = std::max(passed_rate_, rate);
}

limit_finding limit_finder::finding() const {
  const int kinds = int{evidence_.sliding().has_value()} + int{evidence_.fixed().has_value()} +
                    int{evidence_.bucket().has_value()};
  limit_finding found = kinds == 1 && confirmed() ? one_kind() : several_kinds();
  found.requests = static_cast<unsigned>(calls_.size());
  found.refused = refused_;
  return found;
}

limit_finding limit_finder::one_kind() const {
  limit_finding found;
  const auto bounds = [&](const limit_estimate& rate) {
    found.at_least = rate.all.low;
    if (rate.all.high < highest_rate) found.at_most = rate.all.high;
    if (narrow(rate.all, 0.1)) found.rpm = rate.likely;
  };
  const auto said = [&] {
    const bool sharp = found.at_most && narrow({*found.at_least, *found.at_most}, 0.02);
    if (found.rpm) return (sharp ? "" : "about ") + number(*found.rpm);
    return found.at_most ? fmt::format("{} to {}", number(*found.at_least), number(*found.at_most))
                         : fmt::format("{} or more", number(*found.at_least));
  };
  if (const auto sliding = evidence_.sliding()) {
    found.kind = limit_kind::sliding;
    bounds(*sliding);
    if (found.rpm) found.burst = static_cast<unsigned>(*found.rpm);
    found.evidence = fmt::format(
        "It lets {} requests through in any 60 seconds, and another only when one of them is a "
        "minute old.",
        said());
    return found;
  }
  if (const auto fixed = evidence_.fixed()) {
    found.kind = limit_kind::fixed;
    bounds(*fixed);
    if (found.rpm) found.burst = static_cast<unsigned>(*found.rpm);
    found.evidence = fmt::format(
        "It lets {} requests through in each minute of its clock, and starts again from zero when "
        "the next minute begins.",
        said());
    return found;
  }
  const auto bucket = *evidence_.bucket();
  bounds(bucket.rate);
  if (passed_rate_ > 0 && refused_rate_ > 0)
    found.rpm = std::clamp(std::sqrt(passed_rate_ * refused_rate_), bucket.rate.all.low,
                           bucket.rate.all.high);
  if (bucket.burst.high < 2) {
    found.kind = limit_kind::leaky;
    found.burst = 1;
    found.evidence = fmt::format(
        "It lets {} requests a minute through at an even pace, and refuses any that come closer "
        "together.",
        said());
    return found;
  }
  if (bucket.burst.low < 2) {
    found.rpm.reset();
    found.evidence = fmt::format(
        "How it counts is not clear: it opens again little by little, but how many it lets "
        "through at once was not seen clearly.");
    return found;
  }
  found.kind = limit_kind::bucket;
  found.burst = static_cast<unsigned>(std::ceil(bucket.burst.low - 1e-6));
  found.evidence = fmt::format(
      "It lets {} requests through at once after a rest, and then {} a minute, one by one.",
      *found.burst, said());
  return found;
}

limit_finding limit_finder::several_kinds() const {
  limit_finding found;
  const double most = most_in_a_minute(admitted_calls(calls_, false));
  if (refused_ == 0 && most > 0) {
    found.burst = static_cast<unsigned>(most);
    found.at_least = std::floor(most / 2);
    found.kind = why_.empty() ? limit_kind::none_found : limit_kind::unclear;
    found.evidence = fmt::format(
        "{} requests got through in a minute and none was refused, {}; relays that let a second "
        "minute's share through at once may have a limit of half as many.",
        number(most), why_.empty() ? "the most that this search came to" : why_);
    return found;
  }
  std::optional<limit_range> rates;
  const auto add = [&](const limit_range& one) {
    if (rates)
      rates->widen(one);
    else
      rates = one;
  };
  if (const auto sliding = evidence_.sliding()) add(sliding->all);
  if (const auto fixed = evidence_.fixed()) add(fixed->all);
  if (const auto bucket = evidence_.bucket()) add(bucket->rate.all);
  const std::string reason = why_.empty() ? "the search was left early" : why_;
  if (!rates || most == 0) {
    found.evidence = fmt::format(
        "How it counts is not clear: {}; another client may use the same key, and {} requests got "
        "through in a minute.",
        reason, number(most));
    return found;
  }
  found.at_least = rates->low;
  if (rates->high < highest_rate) found.at_most = rates->high;
  if (narrow(*rates, 0.02)) found.rpm = rates->middle();
  found.evidence = fmt::format(
      "How it counts is not clear: {}; {} requests got through in a minute.", reason, number(most));
  return found;
}

}  // namespace sluice::bench
