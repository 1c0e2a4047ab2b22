#include "upstream/rate_limiter.hpp"

#include <algorithm>

namespace sluice {
namespace {

using namespace std::chrono_literals;

// So often it is asked which processes have died, and whether the window's file is where it was.
constexpr duration release_interval = 1s;

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

// Calls `use` with the window, if it can be had now.
template <typename Use>
bool rate_limiter::use_store(time_point now, Use use) {
  const limit_store::hold window(store_, now);
  if (!window) return false;
  if (generation_ != store_.generation()) carry_over(window);
  for (; !untold_.empty(); untold_.pop_front()) apply(untold_.front(), window);
  use(window);
  return true;
}

// Another table has taken the place of the one that the places are counted in. It counts as full
// until what was sent before is out of the relay's window; what is not sent yet is counted anew.
void rate_limiter::carry_over(const limit_store::hold& window) {
  generation_ = store_.generation();
  for (place& one : places_) {
    if (one.held.step == limit_window::slot::unsent) {
      window->adopt(store_.owner(), one.held);
    } else {
      one.held.step = limit_window::slot::returned;
    }
  }
}

std::optional<rate_limiter::slot> rate_limiter::try_start(time_point now, std::uint64_t tokens) {
  if (gap_ > duration{} && now < next_spaced_) return std::nullopt;
  limit_window::slot taken;
  taken.tokens = tokens;
  bool took = false;
  use_store(now, [&](const limit_store::hold& window) {
    took = window->take(store_.owner(), taken, caps_, window.now());
  });
  if (!took) return std::nullopt;
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

time_point rate_limiter::next_start(time_point now, std::uint64_t tokens) {
  time_point next = time_point::max();
  const bool seen = use_store(now, [&](const limit_store::hold& window) {
    const auto fit = window->next_fit(tokens, caps_, window.now());
    if (fit == limit_window::never) return;
    next = std::max(now, window.time_of(std::max(fit, window->paused_until())));
    if (gap_ > duration{}) next = std::max(next, next_spaced_);
  });
  return seen ? next : retry_at(now);
}

time_point rate_limiter::look_again(time_point now) {
  if (store_.is_private()) return time_point::max();
  const bool has_company = store_.has_company();
  // Alone, nothing else would have this one look for the dead again.
  if (!has_company || now >= next_release_) {
    const bool seen = use_store(now, [&](const limit_store::hold& window) {
      next_release_ = now + release_interval;
      store_.release_dead_owners(window.now());
    });
    if (!seen) return retry_at(now);
  }
  return now + (has_company ? look_interval : release_interval);
}

rate_limiter::place* rate_limiter::find(slot taken) noexcept {
  place& found = places_[taken.index];
  return found.generation == taken.generation ? &found : nullptr;
}

void rate_limiter::sent(slot taken, time_point now) {
  const place* one = find(taken);
  if (one == nullptr || one->held.step != limit_window::slot::unsent) return;
  tell({news::kind::sent, taken, now}, now);
}

void rate_limiter::answered(slot taken, time_point now) {
  if (find(taken) != nullptr) tell({news::kind::answered, taken, now}, now);
}

void rate_limiter::cancel(slot taken, time_point now) {
  if (find(taken) != nullptr) tell({news::kind::cancelled, taken, now}, now);
}

void rate_limiter::correct(slot taken, std::uint64_t tokens, time_point now) {
  if (find(taken) != nullptr && caps_.tokens != 0) {
    tell({news::kind::corrected, taken, now, tokens}, now);
  }
}

void rate_limiter::done(slot taken) {
  if (!untold_.empty()) {
    untold_.push_back({news::kind::done, taken});
  } else if (place* one = find(taken)) {
    release(*one, taken);
  }
}

void rate_limiter::release(place& one, slot taken) {
  ++one.generation;
  one.held.step = limit_window::slot::returned;
  free_.push_back(taken.index);
}

void rate_limiter::pause(time_point until, time_point now) {
  last_pause_ = std::max(last_pause_, until);
  tell({news::kind::paused, {}, until}, now);
}

time_point rate_limiter::paused_until(time_point now) {
  use_store(now, [&](const limit_store::hold& window) {
    last_pause_ = window.time_of(window->paused_until());
  });
  return last_pause_;
}

void rate_limiter::tell(const news& told, time_point now) {
  const bool heard = use_store(now, [&](const limit_store::hold& window) { apply(told, window); });
  if (!heard) untold_.push_back(told);
}

// By the time at which it happened, whenever the store hears of it.
void rate_limiter::apply(const news& told, const limit_store::hold& window) {
  const auto at = window.moment_of(told.at);
  if (told.what == news::kind::paused) return window->pause(at);
  place* one = find(told.taken);
  if (one == nullptr) return;
  switch (told.what) {
    case news::kind::sent:
      return window->sent(store_.owner(), one->held, at, options_.margin);
    case news::kind::answered:
      return window->answered(store_.owner(), one->held, at);
    case news::kind::cancelled:
      return window->cancel(store_.owner(), one->held);
    case news::kind::corrected:
      return window->correct(store_.owner(), one->held, told.tokens);
    case news::kind::done:
      return release(*one, told.taken);
    case news::kind::paused:
      return;
  }
}

time_point rate_limiter::behind_until(time_point now) const noexcept {
  return untold_.empty() ? time_point::max() : retry_at(now);
}

void rate_limiter::catch_up(time_point now) {
  if (!untold_.empty()) use_store(now, [](const limit_store::hold&) {});
}

// While another process keeps the store.
time_point rate_limiter::retry_at(time_point now) const noexcept {
  constexpr duration soon = 1ms;
  return std::max(now + soon, store_.held_up_until().value_or(now));
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
