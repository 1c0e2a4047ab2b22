#include "http/idle_connections.hpp"

#include <algorithm>
#include <utility>

namespace sluice {

void idle_connections::put(std::unique_ptr<connection> link) {
  const time_point now = time_.now();
  drop_after_sleep(now);
  link->limit.lift();
  link->filled = 0;
  const time_point until = std::min(now + longest, link->retire_at);
  all_.push_back({std::move(link), until});
  look_at(std::min(until, now + look_interval));
}

std::unique_ptr<connection> idle_connections::take() {
  const time_point now = time_.now();
  drop_after_sleep(now);
  std::unique_ptr<connection> found;
  while (!found && !all_.empty()) {
    idle last = std::move(all_.back());
    all_.pop_back();
    if (now < last.until && last.link->is_silent()) found = std::move(last.link);
  }
  if (all_.empty()) look_.cancel();
  return found;
}

void idle_connections::clear() {
  all_.clear();
  look_.cancel();
}

// The steady clock stands still while the machine sleeps.
void idle_connections::drop_after_sleep(time_point now) {
  const auto before = std::exchange(slept_, sleep_meter_(slept_, now));
  if (slept_ - before > longest_sleep) all_.clear();
}

// Closes connections that cannot be reused. Does not block: sockets are closed without lingering.
void idle_connections::look() {
  const time_point now = time_.now();
  std::erase_if(all_, [&](const idle& one) { return now >= one.until || !one.link->is_silent(); });
  time_point next = now + look_interval;
  for (const idle& one : all_) next = std::min(next, one.until);
  if (!all_.empty()) look_at(next);
}

void idle_connections::look_at(time_point when) {
  if (look_.is_set() && next_look_ <= when) return;
  next_look_ = when;
  look_.set(when, [this] { look(); });
}

}  // namespace sluice
