#include "upstream/rate_limiter.hpp"

#include <algorithm>

namespace sluice {
namespace {

using namespace std::chrono_literals;

// How often to look for dead processes, and whether the window's file was moved.
constexpr duration release_interval = 1s;

constexpr duration meter_step = 10ms;
constexpr std::int64_t meter_steps = 60s / meter_step;

}  // namespace

rate_limiter::rate_limiter(const options& settings)
    : options_(settings),
      caps_{settings.per_minute, settings.tokens_per_minute},
      own_store_(settings.store == nullptr ? std::make_unique<limit_store>() : nullptr),
      store_(settings.store == nullptr ? *own_store_ : *settings.store) {
  if (options_.per_minute != 0 && options_.pace == pacing::even) {
    gap_ = pace_gap_ = duration{60s} / options_.per_minute;
  }
}

void rate_limiter::set_limits(unsigned per_minute, std::uint64_t tokens_per_minute,
                              time_point now) {
  options_.per_minute = per_minute;
  options_.tokens_per_minute = tokens_per_minute;
  caps_ = {per_minute, tokens_per_minute};
  const bool even = per_minute != 0 && options_.pace == pacing::even;
  pace_gap_ = even ? duration{60s} / per_minute : duration{};
  space(spaced_);
  next_spaced_ = std::min(next_spaced_, now + gap_);
  if (options_.shared != nullptr) options_.shared->set_limits(per_minute, tokens_per_minute);
}

// Calls `use` with the window. False: another process has the lock.
template <typename Use>
bool rate_limiter::use_store(time_point now, Use use) {
  const limit_store::hold window(store_, now);
  if (!window) return false;
  if (generation_ != store_.generation()) carry_over(window);
  for (; !pending_.empty(); pending_.pop_front()) apply(pending_.front(), window);
  use(window);
  return true;
}

// The store's table was replaced. The new table counts as full until all earlier starts have left
// the relay's window. Starts that are not sent yet are counted again.
void rate_limiter::carry_over(const limit_store::hold& window) {
  generation_ = store_.generation();
  done_.clear();
  for (place& one : places_) {
    if (one.start.step == limit_window::slot::unsent) {
      window->count_unsent(store_.owner(), one.start);
    } else {
      one.start.step = limit_window::slot::returned;
    }
  }
}

limit_window::caps rate_limiter::caps_with(unsigned spare) const noexcept {
  limit_window::caps left = caps_;
  if (left.requests != 0) left.requests -= std::min(spare, left.requests - 1);
  return left;
}

std::optional<rate_limiter::slot> rate_limiter::try_start(time_point now, std::uint64_t tokens,
                                                          unsigned spare) {
  if (now < rest_until_ || (gap_ > duration{} && now < next_spaced_)) return std::nullopt;
  shared_limit* const shared = options_.shared;
  if (shared != nullptr && shared->next(now) > now) return std::nullopt;
  limit_window::slot start;
  start.tokens = tokens;
  bool took = false;
  use_store(now, [&](const limit_store::hold& window) {
    took = window->take(store_.owner(), start, caps_with(spare), window.now());
  });
  if (!took) return std::nullopt;
  const slot handle = put(start);
  if (shared != nullptr) {
    const auto ticket = shared->take(now, tokens);
    if (!ticket) {
      // Another process may have the lock by now, so this is an event like any other.
      report({event::kind::cancelled, handle, now}, now);
      let_go(handle);
      return std::nullopt;
    }
    places_[handle.index].ticket = *ticket;
  }
  if (gap_ > duration{}) {
    // With even pacing, a start that is late by less than a gap does not move the following starts,
    // so that delays do not add up. With wider gaps they move, since the relay may refuse starts
    // that are closer together.
    const bool keeps_grid = gap_ == pace_gap_ && now - next_spaced_ < gap_;
    next_spaced_ = keeps_grid ? next_spaced_ + gap_ : now + gap_;
  }
  return handle;
}

rate_limiter::slot rate_limiter::put(const limit_window::slot& start) {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(places_.size()));
    places_.emplace_back();
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  places_[index].start = start;
  places_[index].ticket = 0;
  return {index, places_[index].generation};
}

time_point rate_limiter::next_start(time_point now, std::uint64_t tokens, unsigned spare) {
  return next_wait(now, tokens, spare).until;
}

rate_limiter::wait rate_limiter::next_wait(time_point now, std::uint64_t tokens, unsigned spare) {
  wait found{wait_cause::limit, time_point::max()};
  const auto prolong = [&found](wait_cause why, time_point until) {
    if (until > found.until) found = {why, until};
  };
  const bool seen = use_store(now, [&](const limit_store::hold& window) {
    last_pause_ = window.time_of(window->paused_until());
    const auto fit = window->next_fit(tokens, caps_with(spare), window.now());
    if (fit == limit_window::never) return;
    found = {wait_cause::none, now};
    prolong(fit == window->unknown_until() ? wait_cause::unknown : wait_cause::limit,
            window.time_of(fit));
    prolong(wait_cause::pause, last_pause_);
    if (gap_ > duration{}) prolong(wait_cause::pacing, next_spaced_);
    prolong(wait_cause::unreachable, rest_until_);
    if (options_.shared == nullptr) return;
    prolong(wait_cause::limit, options_.shared->next(now));
    prolong(wait_cause::pause, options_.shared->paused_until());
  });
  return seen ? found : wait{wait_cause::limit, retry_at(now)};
}

bool rate_limiter::others_paused_last() const noexcept {
  // The clocks of the window and of this process are compared again each time, so the result
  // differs slightly.
  constexpr duration slack = 1s;
  return last_pause_ > own_pause_ + slack;
}

std::optional<time_point> rate_limiter::others_pause(time_point now) const noexcept {
  if (last_pause_ <= now || !others_paused_last()) return std::nullopt;
  return last_pause_;
}

std::optional<time_point> rate_limiter::others_last_pause(time_point now) {
  const time_point last = paused_until(now);
  return others_paused_last() ? std::optional(last) : std::nullopt;
}

std::uint64_t rate_limiter::starts_of_others(time_point now) {
  std::uint64_t others = 0;
  use_store(now, [&](const limit_store::hold& window) {
    std::erase_if(done_, [&](const auto& start) { return !window->counts(start); });
    const auto in_hand = std::count_if(places_.begin(), places_.end(),
                                       [&](const place& one) { return window->counts(one.start); });
    const std::uint64_t mine =
        done_.size() + static_cast<std::uint64_t>(in_hand) + window->unsent(store_.owner());
    others = window->requests() - std::min(window->requests(), mine);
  });
  return others;
}

time_point rate_limiter::look_again(time_point now) {
  if (store_.is_private()) return time_point::max();
  const bool has_company = store_.has_company();
  // Without other living processes, this is the only call that looks for dead ones.
  if (!has_company || now >= next_release_) {
    const bool seen = use_store(now, [&](const limit_store::hold& window) {
      next_release_ = now + release_interval;
      store_.release_dead_owners(window.now());
    });
    if (!seen) return retry_at(now);
  }
  return now + (has_company ? look_interval : release_interval);
}

rate_limiter::place* rate_limiter::find(slot handle) noexcept {
  place& found = places_[handle.index];
  return found.generation == handle.generation ? &found : nullptr;
}

bool rate_limiter::may_send(slot handle, time_point now) {
  const place* one = find(handle);
  return options_.shared == nullptr || one == nullptr || options_.shared->holds(one->ticket, now);
}

void rate_limiter::sent(slot handle, time_point now) {
  const place* one = find(handle);
  if (one != nullptr && options_.shared != nullptr) options_.shared->sent(one->ticket, now);
  if (one == nullptr || one->start.step != limit_window::slot::unsent) return;
  report({event::kind::sent, handle, now}, now);
}

void rate_limiter::answered(slot handle, time_point now) {
  const place* one = find(handle);
  if (one != nullptr && options_.shared != nullptr) options_.shared->answered(one->ticket, now);
  if (one != nullptr) report({event::kind::answered, handle, now}, now);
}

void rate_limiter::cancel(slot handle, time_point now) {
  const place* one = find(handle);
  if (one != nullptr && options_.shared != nullptr) options_.shared->cancel(one->ticket, now);
  if (one != nullptr) report({event::kind::cancelled, handle, now}, now);
}

void rate_limiter::correct(slot handle, std::uint64_t tokens, time_point now) {
  const place* one = find(handle);
  if (one != nullptr && options_.shared != nullptr) {
    options_.shared->correct(one->ticket, tokens, now);
  }
  if (one != nullptr && caps_.tokens != 0) {
    report({event::kind::corrected, handle, now, tokens}, now);
  }
}

void rate_limiter::done(slot handle) {
  if (const place* one = find(handle); one != nullptr && options_.shared != nullptr) {
    options_.shared->done(one->ticket);
  }
  let_go(handle);
}

void rate_limiter::let_go(slot handle) {
  if (!pending_.empty()) {
    pending_.push_back({event::kind::done, handle});
  } else if (place* one = find(handle)) {
    release(*one, handle);
  }
}

void rate_limiter::release(place& one, slot handle) {
  if (one.start.step >= 0 && caps_.requests != 0) {
    // Starts leave the window in almost the order in which they are done.
    while (!done_.empty() && done_.front().step + limit_window::longest_stay < one.start.step) {
      done_.pop_front();
    }
    done_.push_back(one.start);
  }
  ++one.generation;
  one.start.step = limit_window::slot::returned;
  free_.push_back(handle.index);
}

void rate_limiter::pause(time_point until, time_point now) {
  last_pause_ = std::max(last_pause_, until);
  own_pause_ = std::max(own_pause_, until);
  if (options_.shared != nullptr) options_.shared->pause(until, now);
  report({event::kind::paused, {}, until}, now);
}

time_point rate_limiter::paused_until(time_point now) {
  use_store(now, [&](const limit_store::hold& window) {
    last_pause_ = window.time_of(window->paused_until());
  });
  return last_pause_;
}

void rate_limiter::report(const event& change, time_point now) {
  const bool done = use_store(now, [&](const limit_store::hold& window) { apply(change, window); });
  if (!done) pending_.push_back(change);
}

// Uses the time of the event, even if it reaches the store later.
void rate_limiter::apply(const event& change, const limit_store::hold& window) {
  const auto at = window.moment_of(change.at);
  if (change.what == event::kind::paused) return window->pause(at);
  place* one = find(change.handle);
  if (one == nullptr) return;
  switch (change.what) {
    case event::kind::sent:
      return window->sent(store_.owner(), one->start, at, options_.margin);
    case event::kind::answered:
      return window->answered(store_.owner(), one->start, at);
    case event::kind::cancelled:
      return window->cancel(store_.owner(), one->start);
    case event::kind::corrected:
      return window->correct(store_.owner(), one->start, change.tokens);
    case event::kind::done:
      return release(*one, change.handle);
    case event::kind::paused:
      return;
  }
}

time_point rate_limiter::behind_until(time_point now) const noexcept {
  return pending_.empty() ? time_point::max() : retry_at(now);
}

void rate_limiter::catch_up(time_point now) {
  if (!pending_.empty()) use_store(now, [](const limit_store::hold&) {});
}

// When to try again while another process has the lock of the store.
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
