#include "rate_limiter.hpp"

#include <algorithm>

namespace sluice {
namespace {

using namespace std::chrono_literals;

// So often it is asked which processes have died.
constexpr duration burial_interval = 1s;

constexpr duration meter_step = 10ms;
constexpr std::int64_t meter_steps = 60s / meter_step;

}  // namespace

rate_limiter::rate_limiter(const options& chosen)
    : options_(chosen),
      caps_{chosen.per_minute, chosen.tokens_per_minute},
      own_store_(chosen.store == nullptr ? std::make_unique<limit_store>() : nullptr),
      store_(chosen.store == nullptr ? *own_store_ : *chosen.store) {
  if (options_.per_minute != 0 && options_.pace == pacing::even) {
    gap_ = pace_gap_ = duration{60s} / options_.per_minute;
  }
}

std::optional<rate_limiter::slot> rate_limiter::try_start(time_point now, std::uint64_t tokens) {
  if (gap_ > duration{} && now < next_spaced_) return std::nullopt;
  limit_window::slot taken;
  taken.tokens = tokens;
  {
    const limit_store::hold window(store_, now);
    if (!window->take(store_.owner(), taken, caps_, window.now())) return std::nullopt;
  }
  if (gap_ > duration{}) {
    // By the pace, a start that is late by less than a gap keeps the beat, so that lateness does
    // not add up. A relay that asked for wider gaps may refuse what comes nearer.
    const bool keeps_beat = gap_ == pace_gap_ && now - next_spaced_ < gap_;
    next_spaced_ = keeps_beat ? next_spaced_ + gap_ : now + gap_;
  }
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(places_.size()));
    places_.emplace_back();
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  places_[index].held = taken;
  return slot{index, places_[index].generation};
}

time_point rate_limiter::next_start(time_point now, std::uint64_t tokens) const {
  const limit_store::hold window(store_, now);
  const auto fit = window->next_fit(tokens, caps_, window.now());
  if (fit == limit_window::never) return time_point::max();
  time_point next = std::max(now, window.time_of(std::max(fit, window->paused_until())));
  if (gap_ > duration{}) next = std::max(next, next_spaced_);
  return next;
}

time_point rate_limiter::look_again(time_point now) {
  if (!store_.is_shared()) return time_point::max();
  const bool has_company = store_.has_company();
  // Alone, nothing else would have this one look for the dead again.
  if (!has_company || now >= next_burial_) {
    next_burial_ = now + burial_interval;
    const limit_store::hold window(store_, now);
    store_.bury_the_dead(window.now());
  }
  return has_company ? now + look_interval : time_point::max();
}

rate_limiter::place* rate_limiter::find(slot taken) noexcept {
  place& found = places_[taken.index];
  return found.generation == taken.generation ? &found : nullptr;
}

void rate_limiter::sent(slot taken, time_point now) {
  if (place* one = find(taken); one != nullptr && one->held.step == limit_window::slot::unsent) {
    const limit_store::hold window(store_, now);
    window->sent(store_.owner(), one->held, window.now(), options_.margin);
  }
}

void rate_limiter::answered(slot taken, time_point now) {
  if (place* one = find(taken)) {
    const limit_store::hold window(store_, now);
    window->answered(store_.owner(), one->held, window.now());
  }
}

void rate_limiter::cancel(slot taken, time_point now) {
  if (place* one = find(taken)) {
    const limit_store::hold window(store_, now);
    window->cancel(store_.owner(), one->held);
  }
}

void rate_limiter::correct(slot taken, std::uint64_t tokens, time_point now) {
  if (place* one = find(taken); one != nullptr && caps_.tokens != 0) {
    const limit_store::hold window(store_, now);
    window->correct(store_.owner(), one->held, tokens);
  }
}

void rate_limiter::done(slot taken) {
  if (place* one = find(taken)) {
    ++one->generation;
    free_.push_back(taken.index);
  }
}

void rate_limiter::pause(time_point until, time_point now) {
  const limit_store::hold window(store_, now);
  window->pause(window.moment_of(until));
}

time_point rate_limiter::paused_until(time_point now) const {
  const limit_store::hold window(store_, now);
  return window.time_of(window->paused_until());
}

start_meter::start_meter() : steps_(meter_steps, 0) {}

void start_meter::advance(time_point now) {
  const std::int64_t step = now.time_since_epoch() / meter_step;
  if (current_ < 0 || step - current_ >= meter_steps) {
    std::fill(steps_.begin(), steps_.end(), 0U);
    sum_ = 0;
    current_ = step;
    return;
  }
  while (current_ < step) {
    ++current_;
    auto& oldest = steps_[static_cast<std::size_t>(current_ % meter_steps)];
    sum_ -= oldest;
    oldest = 0;
  }
}

void start_meter::count(time_point now) {
  advance(now);
  ++steps_[static_cast<std::size_t>(current_ % meter_steps)];
  most_ = std::max(most_, ++sum_);
}

std::uint64_t start_meter::last_minute(time_point now) {
  advance(now);
  return sum_;
}

}  // namespace sluice
