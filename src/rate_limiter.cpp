#include "rate_limiter.hpp"

#include <algorithm>

namespace sluice {
namespace {

using namespace std::chrono_literals;

// The window, and a little for a relay whose clock runs up to 300 ppm slower than ours.
constexpr duration window = 60s + 18ms;

constexpr duration meter_step = 10ms;
constexpr std::int64_t meter_steps = 60s / meter_step;

}  // namespace

rate_limiter::rate_limiter(const options& chosen) : options_(chosen) {
  if (options_.per_minute == 0) return;
  if (options_.pace == pacing::even) gap_ = pace_gap_ = duration{60s} / options_.per_minute;
  places_.resize(options_.per_minute);
  free_.reserve(options_.per_minute);
  for (std::uint32_t i = options_.per_minute; i > 0; --i) free_.push_back(i - 1);
}

void rate_limiter::release_due(time_point now) {
  while (!taken_.empty() && taken_.begin()->first <= now) {
    const std::uint32_t index = taken_.begin()->second;
    taken_.erase(taken_.begin());
    ++places_[index].generation;
    free_.push_back(index);
  }
}

std::optional<rate_limiter::slot> rate_limiter::try_start(time_point now) {
  if (now < paused_until_) return std::nullopt;
  const bool limited = options_.per_minute != 0;
  if (limited) release_due(now);
  if (limited && free_.empty()) return std::nullopt;
  if (gap_ > duration{}) {
    if (now < next_spaced_) return std::nullopt;
    // A start that is late by less than a gap keeps the beat, so that lateness does not add up.
    next_spaced_ = now - next_spaced_ < gap_ ? next_spaced_ + gap_ : now + gap_;
  }
  if (!limited) return slot{};
  const std::uint32_t index = free_.back();
  free_.pop_back();
  places_[index].release = time_point::max();
  return slot{index, places_[index].generation};
}

time_point rate_limiter::next_start(time_point now) const {
  time_point next = std::max(now, paused_until_);
  if (gap_ > duration{}) next = std::max(next, next_spaced_);
  if (options_.per_minute == 0) return next;
  if (!free_.empty()) return next;
  if (taken_.empty()) return time_point::max();
  return std::max(next, taken_.begin()->first);
}

void rate_limiter::free_at(slot taken, time_point when) {
  if (options_.per_minute == 0) return;
  auto& held = places_[taken.index];
  if (held.generation != taken.generation || when >= held.release) return;
  taken_.erase({held.release, taken.index});
  held.release = when;
  taken_.emplace(when, taken.index);
}

void rate_limiter::sent(slot taken, time_point now) {
  free_at(taken, now + options_.margin + window);
}

void rate_limiter::answered(slot taken, time_point now) {
  free_at(taken, now + window);
}

void rate_limiter::cancel(slot taken) {
  free_at(taken, time_point::min());
}

void rate_limiter::pause(time_point until) {
  paused_until_ = std::max(paused_until_, until);
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
