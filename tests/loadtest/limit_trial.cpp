#include "limit_trial.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <optional>
#include <queue>

#include "simulation/dice.hpp"
#include "simulator/request_window.hpp"

namespace sluice::bench::test {
namespace {

using simulation::dice;

duration between(dice& chance, duration low, duration high) {
  return duration(chance.between(low.count(), high.count()));
}

/// A log of all requests that arrived, refused or not.
struct counting_log {
  unsigned limit;
  std::deque<time_point> came;
  bool admit(time_point now) {
    while (!came.empty() && now - came.front() >= 60s) came.pop_front();
    came.push_back(now);
    return came.size() <= limit;
  }
};

/// Decides which requests the relay accepts, without the network.
class relay {
 public:
  relay(const relay_kind& kind, dice chance) : kind_(kind), chance_(chance) {
    const auto interval = std::chrono::nanoseconds(static_cast<std::int64_t>(60e9 / kind.rpm));
    if (kind.kind == limit_kind::bucket && kind.burst > 0)
      bucket_ = simulator::refilled_bucket{interval, static_cast<int>(kind.burst), {}};
    else if (kind.refused_count)
      log_ = counting_log{static_cast<unsigned>(kind.rpm), {}};
    else
      window_.emplace(mode(), kind.kind == limit_kind::none_found ? 0 : static_cast<int>(kind.rpm));
  }

  bool admit(time_point now) {
    while (kind_.other_a_minute > 0 && other_ <= now) {
      if (other_ != time_point{}) count(other_);
      const double gap = -std::log((static_cast<double>(chance_.below(1'000'000)) + 1) / 1'000'001);
      const auto wait = std::chrono::duration<double>(gap * 60 / kind_.other_a_minute);
      other_ = (other_ == time_point{} ? now - 120s : other_) +
               std::chrono::duration_cast<duration>(wait);
    }
    const bool in = count(now);
    if (in) admitted_.push_back(now);
    return in;
  }

  /// The time until the relay accepts one more request, in whole seconds, rounded up. An honest
  /// relay sends this as its hint.
  duration wait(time_point now) const {
    double left = 0;
    switch (kind_.kind) {
      case limit_kind::sliding:
        left = 60 - std::chrono::duration<double>(
                        now - admitted_[admitted_.size() - static_cast<std::size_t>(kind_.rpm)])
                        .count();
        break;
      case limit_kind::fixed:
        left = 60 - std::fmod(std::chrono::duration<double>(now.time_since_epoch()).count(), 60);
        break;
      default:
        left = 60 / kind_.rpm;
    }
    return std::chrono::seconds(static_cast<std::int64_t>(std::ceil(left)));
  }

 private:
  simulator::limit_mode mode() const {
    switch (kind_.kind) {
      case limit_kind::bucket:
        return simulator::limit_mode::bucket;
      case limit_kind::fixed:
        return simulator::limit_mode::fixed;
      case limit_kind::leaky:
        return simulator::limit_mode::leaky;
      default:
        return simulator::limit_mode::sliding;
    }
  }
  bool count(time_point now) {
    if (bucket_) return bucket_->admit(now);
    if (log_) return log_->admit(now);
    return window_->admit(now);
  }

  relay_kind kind_;
  dice chance_;
  std::optional<simulator::request_window> window_;
  std::optional<simulator::refilled_bucket> bucket_;
  std::optional<counting_log> log_;
  std::deque<time_point> admitted_;
  time_point other_{};
};

struct event {
  time_point at;
  std::uint64_t id;
  bool head;
  bool operator>(const event& other) const {
    return at != other.at ? at > other.at : id > other.id;
  }
};

struct answer {
  call_outcome how = call_outcome::accepted;
  std::optional<duration> retry_after;
};

}  // namespace

trial_result try_find(const relay_kind& kind, std::uint64_t seed) {
  dice chance(seed);
  relay judge(kind, chance.fork());
  limit_finder finder({kind.max_requests, kind.ceiling, kind.concurrency});
  const time_point begin{1000s + between(chance, 0s, 60s)};
  time_point now = begin;
  time_point not_before{};
  std::priority_queue<event, std::vector<event>, std::greater<>> events;
  std::map<std::uint64_t, answer> answers;
  std::uint64_t ids = 0;
  trial_result result;
  simulator::arrival_meter starts;

  const auto arrive = [&](const event& one) {
    answer& given = answers[one.id];
    duration reply{};
    if (judge.admit(now)) {
      if (chance.percent(kind.failing_percent)) given.how = call_outcome::failed;
      reply = between(chance, kind.wire.answer_low, kind.wire.answer_high);
    } else {
      given.how = call_outcome::refused;
      if (kind.hints == hint::honest) given.retry_after = judge.wait(now);
      if (kind.hints == hint::always_60) given.retry_after = 60s;
      if (kind.hints == hint::always_1) given.retry_after = 1s;
      reply = between(chance, kind.wire.refusal_low, kind.wire.refusal_high);
    }
    events.push({now + reply, one.id, true});
  };
  const auto head = [&](const event& one) {
    const answer& given = answers[one.id];
    if (given.how == call_outcome::accepted) finder.accepted(one.id, now);
    if (given.how == call_outcome::failed) finder.failed(one.id, now);
    if (given.how == call_outcome::refused) {
      finder.refused(one.id, now, given.retry_after);
      if (given.retry_after) not_before = std::max(not_before, now + *given.retry_after);
    }
  };

  for (;;) {
    const auto then = finder.next(now);
    if (then.what == limit_finder::action::done) break;
    if (then.what == limit_finder::action::start) {
      finder.started(++ids, now);
      starts.record(now);
      if (now < not_before) result.waited = false;
      events.push(
          {now + between(chance, kind.wire.to_relay_low, kind.wire.to_relay_high), ids, false});
      continue;
    }
    const time_point due = events.empty() ? time_point::max() : events.top().at;
    if (due == time_point::max() && then.until == time_point::max())
      break;  // the search would wait forever
    if (then.until < due) {
      now = then.until;
      continue;
    }
    now = due;
    const event one = events.top();
    events.pop();
    if (one.head)
      head(one);
    else
      arrive(one);
  }
  result.found = finder.finding();
  result.minutes = std::chrono::duration<double>(now - begin).count() / 60;
  result.most_in_60s = static_cast<unsigned>(starts.max_in_60s());
  return result;
}

std::vector<relay_kind> relay_kinds() {
  std::vector<relay_kind> kinds;
  const delays constant;
  const delays jitter{5ms, 60ms, 50ms, 400ms, 5ms, 60ms};
  const delays model{5ms, 50ms, 500ms, 4s, 20ms, 150ms};
  const delays congestion{10ms, 3s, 200ms, 1s, 50ms, 200ms};
  const delays slow{20ms, 1s, 2s, 10s, 50ms, 1s};
  const auto names = {std::pair{limit_kind::sliding, "sliding"},
                      {limit_kind::bucket, "bucket"},
                      {limit_kind::fixed, "fixed"},
                      {limit_kind::leaky, "leaky"}};
  const auto add = [&](limit_kind kind, const char* name, double rpm,
                       const char* what) -> relay_kind& {
    relay_kind one;
    one.name = std::string(name) + " " + std::to_string(static_cast<int>(rpm)) + what;
    one.kind = kind;
    one.rpm = rpm;
    one.wire = constant;
    kinds.push_back(one);
    return kinds.back();
  };
  for (const auto& [kind, name] : names) {
    // A leaky bucket accepts calls one by one. Uneven delays then hide how much too early a call
    // came.
    const bool leaky = kind == limit_kind::leaky;
    for (const double rpm : {3, 10, 60, 200, 500}) {
      add(kind, name, rpm, "");
      auto& uneven = add(kind, name, rpm, ", jitter");
      uneven.wire = jitter;
      uneven.rate_can_be = !leaky || rpm <= 10;
    }
    auto& large = add(kind, name, 3000, "");
    large.max_requests = large.ceiling = 9000;
    large.can_be_told = large.rate_can_be = !leaky;
    for (const double rpm : {10, 200}) {
      auto& usual = add(kind, name, rpm, ", heads 0.5-4 s");
      usual.wire = model;
      usual.rate_can_be = !leaky || rpm <= 10;
      auto& slowly = add(kind, name, rpm, ", heads 2-10 s");
      slowly.wire = slow;
      slowly.can_be_told = rpm <= 10 && kind != limit_kind::bucket;
      slowly.rate_can_be = slowly.can_be_told && !leaky;
      add(kind, name, rpm, ", Retry-After").hints = hint::honest;
      add(kind, name, rpm, ", Retry-After always 60").hints = hint::always_60;
      add(kind, name, rpm, ", Retry-After always 1").hints = hint::always_1;
      add(kind, name, rpm, ", 5 % fail").failing_percent = 5;
    }
    const auto may_be_unclear = [&add, of = kind, named = name](double rpm,
                                                                const char* what) -> relay_kind& {
      auto& one = add(of, named, rpm, what);
      one.can_be_told = one.rate_can_be = false;
      return one;
    };
    may_be_unclear(200, ", 300 requests").max_requests = 300;
    may_be_unclear(200, ", ceiling 250").ceiling = 250;
    may_be_unclear(60, ", one in flight").concurrency = 1;
    may_be_unclear(200, ", another client 50/min").other_a_minute = 50;
    may_be_unclear(60, ", 0-3 s on the way").wire = congestion;
  }
  for (const double rpm : {3, 10, 60, 200})
    add(limit_kind::sliding, "sliding", rpm, ", refused count").refused_count = true;
  add(limit_kind::bucket, "bucket", 60, ", burst 10").burst = 10;
  add(limit_kind::bucket, "bucket", 60, ", burst 3").burst = 3;
  add(limit_kind::bucket, "bucket", 20, ", burst 100").burst = 100;
  add(limit_kind::bucket, "bucket", 200, ", burst 40").burst = 40;
  add(limit_kind::bucket, "bucket", 200, ", burst 40, jitter").burst = 40;
  kinds.back().wire = jitter;
  const auto unlimited = [&](const char* what) -> relay_kind& {
    auto& one = add(limit_kind::none_found, "no limit", 1, "");
    one.name = std::string("no limit") + what;
    one.rate_can_be = false;
    return one;
  };
  unlimited(", ceiling 600").ceiling = 600;
  unlimited(", 5 % fail").failing_percent = 5;
  auto& unhurried = unlimited(", heads 2-10 s");
  unhurried.wire = slow;
  unhurried.can_be_told = false;
  return kinds;
}

judgement judge(const relay_kind& relay, const limit_finding& found) {
  if (found.kind == limit_kind::unclear) return judgement::unclear;
  if (found.kind == relay.kind) return judgement::right;
  // If the limit is above the rates that were tried, not finding it is correct. (A bucket accepts
  // twice its rate in its first minute, and so does a fixed minute together with the next one.)
  const double in_a_minute = relay.kind == limit_kind::sliding ? relay.rpm : 2 * relay.rpm;
  if (found.kind == limit_kind::none_found && found.at_least <= in_a_minute)
    return judgement::unclear;
  return judgement::wrong;
}

bool close(const relay_kind& relay, const limit_finding& found) {
  return found.rpm && std::abs(*found.rpm - relay.rpm) <= std::max(1.0, 0.02 * relay.rpm);
}

bool bounded(const relay_kind& relay, const limit_finding& found) {
  if (relay.kind == limit_kind::none_found) return !found.at_most;
  return found.at_least.value_or(0) <= relay.rpm * 1.001 &&
         found.at_most.value_or(1e9) >= relay.rpm * 0.999;
}

}  // namespace sluice::bench::test
