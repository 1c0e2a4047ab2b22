#include "start_gate.hpp"

#include <utility>

namespace sluice {

start_gate::start_gate(clock& clock, const rate_limiter::options& limit, std::size_t concurrency)
    : clock_(clock), limiter_(limit), concurrency_(concurrency) {}

start_gate::~start_gate() {
  if (alarm_ != 0) clock_.cancel(alarm_);
}

bool start_gate::has_place() const noexcept {
  if (trial_) return in_flight_ == 0;
  return concurrency_ == 0 || in_flight_ < concurrency_;
}

std::optional<start_gate::permit> start_gate::try_enter() {
  if (!has_place()) return std::nullopt;
  const time_point now = clock_.now();
  const auto slot = limiter_.try_start(now);
  if (!slot) return std::nullopt;
  ++in_flight_;
  return permit{*slot};
}

boost::asio::awaitable<std::optional<start_gate::permit>> start_gate::enter() {
  if (closed_) co_return std::nullopt;
  if (line_.size() == 0 && called_ == 0) {
    if (const auto turn = try_enter()) co_return turn;
  }
  for (;;) {
    // One who was called and finds the way barred again (a pause began) goes to the end of the
    // line; the others who wait are barred as well.
    if (has_place()) arm();
    co_await line_.wait();
    --called_;
    if (closed_) co_return std::nullopt;
    const auto turn = try_enter();
    wake_next();
    if (turn) co_return turn;
  }
}

// Calls the first in line if it could start now; else sets the alarm for when it could.
void start_gate::wake_next() {
  if (line_.size() == 0 || called_ > 0) return;
  if (!has_place()) return;             // leave() calls again
  const time_point now = clock_.now();  // asked once: a moment later, "now" would be in the future
  if (limiter_.next_start(now) <= now) {
    ++called_;
    line_.wake_one();
  } else {
    arm();
  }
}

void start_gate::arm() {
  const time_point next = limiter_.next_start(clock_.now());
  if (next == time_point::max()) return;  // sent(), answered() or leave() will tell
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

void start_gate::sent(permit held) {
  const time_point now = clock_.now();
  limiter_.sent(held.slot, now);
  meter_.count(now);  // an attempt that reached nobody is none
  wake_next();
}

void start_gate::answered(permit held) {
  limiter_.answered(held.slot, clock_.now());
  wake_next();
}

void start_gate::leave(permit held, bool sent_nothing) {
  if (sent_nothing) {
    limiter_.cancel(held.slot);
  } else {
    limiter_.sent(held.slot, clock_.now());  // it may have ended before its last byte was sent
  }
  --in_flight_;
  wake_next();
}

void start_gate::pause(time_point until) {
  limiter_.pause(until);
}

void start_gate::one_at_a_time(bool on) {
  trial_ = on;
  wake_next();
}

void start_gate::close() {
  closed_ = true;
  if (alarm_ != 0)
    clock_.cancel(std::exchange(alarm_, 0));  // an event loop ends when no call is left
  called_ += line_.size();
  line_.wake_all();
}

start_gate::status start_gate::now() {
  const time_point now = clock_.now();
  status told;
  told.in_flight = in_flight_;
  told.waiting = line_.size();
  told.started_last_minute = meter_.last_minute(now);
  told.most_in_a_minute = meter_.most();
  told.full = !has_place();
  if (line_.size() > 0) {
    const time_point next = limiter_.next_start(now);
    if (!told.full && next > now) told.next_start = next;
  }
  return told;
}

}  // namespace sluice
