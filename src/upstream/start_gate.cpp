#include "upstream/start_gate.hpp"

#include <algorithm>
#include <utility>

namespace sluice {

namespace {

constexpr std::size_t most_at_once = std::size_t{1} << 16U;

std::uint64_t count(const start_gate::token_count& tokens) {
  return tokens ? tokens() : 0;
}

}  // namespace

start_gate::start_gate(clock& clock, const rate_limiter::options& limit, std::size_t concurrency)
    : start_gate(clock, {limit}, {lane_options{}}, concurrency) {}

start_gate::start_gate(clock& clock, const std::vector<rate_limiter::options>& windows,
                       const std::vector<lane_options>& lanes, std::size_t concurrency)
    : clock_(clock), windows_(windows.begin(), windows.end()), concurrency_(concurrency) {
  for (const auto& [window, weight] : lanes) {
    lanes_.push_back({.window = window, .stride = 1.0 / weight});
  }
}

start_gate::~start_gate() {
  others_.closed_ = true;  // so that its destructor does not use the gate
  if (alarm_ != 0) clock_.cancel(alarm_);
  if (catch_up_alarm_ != 0) clock_.cancel(catch_up_alarm_);
  if (pause_alarm_ != 0) clock_.cancel(pause_alarm_);
}

std::size_t start_gate::free_places(unsigned spare) const noexcept {
  const std::size_t together = free_of(in_flight_, concurrency_, spare);
  std::size_t of_lanes = 0;
  for (const lane_state& one : lanes_) {
    of_lanes += std::min(one.free_places(spare), together - of_lanes);
  }
  return of_lanes;
}

// The time when a lane has room for the first waiter.
start_gate::next_turn start_gate::next_in_line(time_point now) {
  const waiter* const one = first();
  const std::uint64_t tokens = one == nullptr ? 0 : count(one->tokens);
  const unsigned spare = spare_of_first();
  next_turn next;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    if (!lanes_[i].takes(spare)) continue;
    const auto wait = window_of(i).next_wait(now, tokens, spare);
    if (wait.until < next.wait.until) next = {wait, i};
  }
  return next;
}

// The time to check whether another process has freed slots earlier than next_start() expects.
time_point start_gate::look_again(time_point now) {
  time_point next = time_point::max();
  for (const lane_state& one : lanes_) {
    if (one.takes(0)) next = std::min(next, windows_[one.window].look_again(now));
  }
  return next;
}

std::optional<start_gate::permit> start_gate::start(group& of, std::optional<std::size_t> avoided,
                                                    std::uint64_t tokens) {
  const unsigned spare = spare_of(of);
  if (!has_place(spare)) return std::nullopt;
  const time_point now = clock_.now();
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    if (!lanes_[i].takes(spare)) continue;
    // With only one lane, try_start() below is the only check.
    if (lanes_.size() > 1 && window_of(i).next_start(now, tokens, spare) > now) continue;
    // A lane that could not start for a while does not catch up.
    lanes_[i].tag = std::max(lanes_[i].tag, virtual_time_);
    if (!best || *best == avoided || (i != avoided && lanes_[i].tag < lanes_[*best].tag)) {
      best = i;
    }
  }
  if (!best) return std::nullopt;
  const auto slot = window_of(*best).try_start(now, tokens, spare);
  if (!slot) {
    if (window_of(*best).is_behind()) catch_up_later();
    return std::nullopt;
  }
  lane_state& lane = lanes_[*best];
  virtual_time_ = lane.tag;
  lane.tag += lane.stride;
  const std::size_t beside = lane.in_flight++;
  ++in_flight_;
  ++of.in_flight_;
  if (lane.trial) ++lane.trials;
  return permit{*slot, *best, lane.trial, beside, lane.gap > duration{}, held_, &of};
}

start_gate::waiter::waiter(start_gate& at, group& owner, const token_count& estimate)
    : gate(at), of(owner), tokens(estimate), number_(gate.waiters_++) {
  ++of.waiting_;
}

start_gate::waiter::~waiter() {
  --of.waiting_;
  if (in_line_) gate.line_of(of).erase(place_);
  if (called_) --gate.called_;
  if (in_line_ || called_) gate.wake_next();  // the next one may have its turn
}

void start_gate::waiter::line_up(bool again) {
  line& own = gate.line_of(of);
  auto before = own.end();
  if (again) {
    before = std::find_if(own.begin(), own.end(),
                          [this](const waiter* other) { return other->number_ > number_; });
  }
  place_ = own.insert(before, this);
  in_line_ = true;
}

void start_gate::waiter::call() {
  gate.line_of(of).erase(place_);
  in_line_ = false;
  called_ = true;
  ++gate.called_;
  turn.wake_one();
}

std::optional<start_gate::permit> start_gate::try_enter(group& of,
                                                        std::optional<std::size_t> avoided,
                                                        const token_count& tokens) {
  if (of.closed_ || must_line_up(of)) return std::nullopt;
  return start(of, avoided, count(tokens));
}

time_point start_gate::next_start(const group& of, std::uint64_t tokens) {
  const time_point now = clock_.now();
  time_point next = time_point::max();
  for (const lane_state& lane : lanes_) {
    if (lane.open)
      next = std::min(next, windows_[lane.window].next_start(now, tokens, spare_of(of)));
  }
  return next;
}

boost::asio::awaitable<std::optional<start_gate::permit>> start_gate::enter(
    group& of, std::optional<std::size_t> avoided, token_count tokens) {
  if (of.closed_) co_return std::nullopt;
  if (const auto turn = try_enter(of, avoided, tokens)) co_return turn;
  waiter mine(*this, of, tokens);
  // A waiter that was called but cannot start (a pause began, another process was faster, no slot
  // is left) goes back to its place in the queue.
  for (bool again = false;; again = true) {
    mine.line_up(again);
    // A waiter that was called calls the next ones when it resumes.
    if (called_ == 0 && has_place(spare_of_first())) {
      const time_point now = clock_.now();
      const time_point next = next_start(now);
      held_ = next > now;
      arm(now, next);
    }
    co_await mine.turn.wait();
    std::optional<permit> turn;
    if (!of.closed_) turn = start(of, avoided, count(tokens));
    mine.resume();
    most_called_ = turn ? std::min(2 * most_called_, most_at_once) : 1;
    wake_next();
    if (turn || of.closed_) co_return turn;
  }
}

// Calls the first waiters if they can start now; else sets the alarm for the time when the first
// one can.
void start_gate::wake_next() {
  while (called_ < most_called_) {
    waiter* const one = first();
    if (one == nullptr || free_places(spare_of(one->of)) <= called_) {
      if (called_ == 0) held_ = false;
      return;  // leave() calls this again
    }
    const time_point now = clock_.now();  // read once: next_start() may return exactly this time
    const time_point next = next_start(now);
    if (next > now) {
      if (called_ > 0) return;  // the waiters that were called come first
      held_ = true;
      return arm(now, next);
    }
    one->call();
  }
}

void start_gate::arm(time_point now, time_point next) {
  look_for_long_pauses(now);
  // A check costs a few system calls, so do not check again if the alarm rings soon anyway.
  if (alarm_ != 0 && alarm_at_ <= std::min(next, now + rate_limiter::look_interval)) return;
  if (next > now) {
    const time_point again = look_again(now);
    next = std::min(again, next_start(now));
  }
  if (next == time_point::max()) return;  // sent(), answered() or leave() will wake the next one
  if (alarm_ != 0) {
    if (alarm_at_ <= next) return;
    clock_.cancel(alarm_);
  }
  alarm_at_ = next;
  alarm_ = clock_.call_at(next, [this] {
    alarm_ = 0;
    wake_next();
  });
}

// A timer makes the call, since the callback may close groups while one of their attempts is about
// to enter the queue.
void start_gate::look_for_long_pauses(time_point now) {
  if (!tell_of_pause_ || pause_alarm_ != 0 || first() == nullptr) return;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    if (!lanes_[i].takes(0)) continue;
    const auto until = window_of(i).others_pause(now);
    if (!until || *until - now <= longest_pause_) continue;
    pause_alarm_ = clock_.call_at(now, [this, i, end = *until] {
      pause_alarm_ = 0;
      if (lanes_[i].open) tell_of_pause_(i, end);
    });
    return;
  }
}

void start_gate::watch_pauses(duration longest, std::function<void(std::size_t, time_point)> tell) {
  longest_pause_ = longest;
  tell_of_pause_ = std::move(tell);
}

void start_gate::set_limits(std::size_t window, unsigned per_minute,
                            std::uint64_t tokens_per_minute) {
  windows_[window].set_limits(per_minute, tokens_per_minute, clock_.now());
  wake_next();
}

void start_gate::set_concurrency(std::size_t most) {
  concurrency_ = most;
  wake_next();
}

void start_gate::set_reserve(unsigned spare) {
  spare_ = spare;
  wake_next();
}

std::uint64_t start_gate::starts_of_others() {
  const time_point now = clock_.now();
  std::uint64_t sum = 0;
  for (rate_limiter& window : windows_) sum += window.starts_of_others(now);
  return sum;
}

// Passes pending events to windows that another process has locked, even if nothing waits here:
// until then, other processes count too much.
void start_gate::catch_up_later() {
  const time_point now = clock_.now();
  time_point next = time_point::max();
  for (const rate_limiter& window : windows_) next = std::min(next, window.behind_until(now));
  if (next == time_point::max() || catch_up_alarm_ != 0) return;
  if (is_idle()) return;  // a pending call would keep the event loop alive
  catch_up_alarm_ = clock_.call_at(next, [this] {
    catch_up_alarm_ = 0;
    for (rate_limiter& window : windows_) window.catch_up(clock_.now());
    wake_next();
    catch_up_later();
  });
}

void start_gate::sent(permit turn) {
  const time_point now = clock_.now();
  window_of(turn.lane).sent(turn.slot, now);
  meter_.count(now);  // count it here, since an attempt counts only after it was sent
  turn.of->meter_.count(now);
  if (joint_) joint_->count(now);
  changed(turn.lane);
}

void start_gate::answered(permit turn) {
  window_of(turn.lane).answered(turn.slot, clock_.now());
  changed(turn.lane);
}

void start_gate::used(permit turn, std::uint64_t tokens) {
  if (!window_of(turn.lane).counts_tokens()) return;
  window_of(turn.lane).correct(turn.slot, tokens, clock_.now());
  if (window_of(turn.lane).is_behind()) catch_up_later();
}

// To be called after each event that was passed to the lane's window.
void start_gate::changed(std::size_t lane) {
  if (window_of(lane).is_behind()) catch_up_later();
  wake_next();
}

void start_gate::leave(permit turn, bool sent_nothing) {
  rate_limiter& window = window_of(turn.lane);
  if (sent_nothing) {
    window.cancel(turn.slot, clock_.now());
  } else if (!window.was_sent(turn.slot)) {
    // the attempt may have ended before its last byte was sent
    window.sent(turn.slot, clock_.now());
  }
  window.done(turn.slot);
  --lanes_[turn.lane].in_flight;
  if (turn.trial) --lanes_[turn.lane].trials;
  --in_flight_;
  --turn.of->in_flight_;
  if (is_idle()) stop_alarms();
  changed(turn.lane);
}

void start_gate::pause(time_point until, std::size_t lane) {
  window_of(lane).pause(until, clock_.now());
  if (window_of(lane).is_behind()) catch_up_later();
}

time_point start_gate::paused_until(std::size_t lane) {
  return window_of(lane).paused_until(clock_.now());
}

void start_gate::space(duration gap, std::size_t lane) noexcept {
  lanes_[lane].gap = gap;
  for (const lane_state& other : lanes_) {
    if (other.window == lanes_[lane].window) gap = std::max(gap, other.gap);
  }
  window_of(lane).space(gap);
}

void start_gate::one_at_a_time(bool on, std::size_t lane) {
  lanes_[lane].trial = on;
  wake_next();
}

void start_gate::limit_in_flight(std::size_t most, std::size_t lane) {
  lanes_[lane].most = most;
  wake_next();
}

void start_gate::set_open(std::size_t lane, bool open) {
  lanes_[lane].open = open;
  wake_next();
}

void start_gate::open(group& of) {
  if (!std::exchange(of.closed_, false)) return;
  ++open_groups_;
  catch_up_later();
}

void start_gate::close(group& of) {
  if (std::exchange(of.closed_, true)) return;
  --open_groups_;
  line& own = line_of(of);
  for (auto next = own.begin(); next != own.end();) {
    waiter* one = *next++;
    if (&one->of == &of) one->call();
  }
  if (open_groups_ > 0) return wake_next();
  stop_alarms();
  if (in_flight_ > 0) catch_up_later();
}

void start_gate::stop_alarms() {
  // A pending call would keep the event loop alive.
  if (alarm_ != 0) clock_.cancel(std::exchange(alarm_, 0));
  if (catch_up_alarm_ != 0) clock_.cancel(std::exchange(catch_up_alarm_, 0));
  if (pause_alarm_ != 0) clock_.cancel(std::exchange(pause_alarm_, 0));
}

start_gate::status start_gate::now(group& of) {
  status report = now(of.waiting_ > 0);
  report.in_flight = of.in_flight_;
  report.waiting = of.waiting_;
  const time_point now = clock_.now();
  report.started_last_minute = of.meter_.last_minute(now);
  report.most_in_a_minute = joint_ ? joint_->most() : of.meter_.most();
  return report;
}

start_gate::status start_gate::now() {
  status report = now(first() != nullptr);
  report.in_flight = in_flight_;
  for (const line& each : lines_) report.waiting += each.size();
  const time_point now = clock_.now();
  report.started_last_minute = meter_.last_minute(now);
  report.most_in_a_minute = joint_ ? joint_->most() : meter_.most();
  return report;
}

start_gate::status start_gate::now(bool waiting) {
  const time_point now = clock_.now();
  status report;
  const unsigned spare = spare_of_first();
  report.full = !has_place(spare);
  report.lanes_full = report.full && !is_full(in_flight_, concurrency_, spare) &&
                      std::any_of(lanes_.begin(), lanes_.end(), [&](const lane_state& one) {
                        return one.open && one.full(spare);
                      });
  if (waiting && first() != nullptr) {
    const next_turn next = next_in_line(now);
    const bool held_up = std::any_of(windows_.begin(), windows_.end(),
                                     [](const rate_limiter& one) { return one.is_held_up(); });
    const time_point until = next.wait.until;
    if (!report.full && !held_up && until > now && until != time_point::max()) {
      report.next_start = until;
      report.cause = next.wait.why;
      report.lane = next.lane;
      report.by_others =
          report.cause == wait_cause::pause && window_of(next.lane).others_pause(now).has_value();
    }
  }
  return report;
}

}  // namespace sluice
