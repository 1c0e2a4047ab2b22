#include "upstream/limit_window.hpp"

#include <algorithm>
#include <atomic>

namespace sluice {
namespace {

using moment = limit_window::moment;

constexpr std::array<char, 8> magic{'s', 'l', 'u', 'i', 'c', 'e', 'L', 'W'};
constexpr std::uint32_t version = 2;
constexpr std::int64_t skew = 64;  // about 1 s: processes read the clock before they get the lock
constexpr moment longest_pause = std::chrono::hours{7 * 24};

// Keeps the order of memory writes before and after it. If a process is killed, all its writes up
// to some point are done, in the order of the machine code, so a compiler fence is enough.
void in_this_order() noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

// Subtracts, but not below zero: the start may have been counted in a table that was replaced
// since.
template <typename Count>
void lessen(Count& count, std::uint64_t by) noexcept {
  count -= static_cast<Count>(std::min<std::uint64_t>(count, by));
}

bool fits(std::uint64_t requests, std::uint64_t tokens, std::uint64_t needed,
          const limit_window::caps& allowed) noexcept {
  if (allowed.requests != 0 && requests >= allowed.requests) return false;
  // A start that is larger than the cap is allowed if nothing else is counted; otherwise it could
  // never start.
  return allowed.tokens == 0 || tokens == 0 ||
         (tokens <= allowed.tokens && needed <= allowed.tokens - tokens);
}

}  // namespace

struct limit_window::change {
  explicit change(limit_window& changed) noexcept : window(changed) {
    window.dirty_ = 1;
    in_this_order();
  }
  change(const change&) = delete;
  change& operator=(const change&) = delete;
  ~change() {
    in_this_order();
    window.dirty_ = 0;
  }
  limit_window& window;
};

void limit_window::reset(const boot_id& boot, moment now, moment unknown_until) {
  magic_ = {};  // invalid until the last write
  in_this_order();
  owners_.fill({});
  step_requests_.fill(0);
  step_tokens_.fill(0);
  requests_ = tokens_ = 0;
  dirty_ = 0;
  paused_until_ = moment{};
  unknown_until_ = unknown_until;
  floor_ = first_ = last_ = step_at(now) + 1;
  boot_ = boot;
  version_ = version;
  in_this_order();
  magic_ = magic;
}

void limit_window::assume_full_until(moment until) noexcept {
  unknown_until_ = std::max(unknown_until_, until);
}

limit_window::sums limit_window::counted() const {
  sums all;
  for (const auto& owner : owners_) {
    all.requests += owner.requests;
    all.tokens += owner.tokens;
  }
  for (const auto count : step_requests_) all.requests += count;
  for (const auto count : step_tokens_) all.tokens += count;
  return all;
}

bool limit_window::is_of(const boot_id& boot) const noexcept {
  return magic_ == magic && version_ == version && boot_ == boot;
}

bool limit_window::is_of_version_1() const noexcept {
  return magic_ == magic && version_ == 1;
}

void limit_window::adopt_version_1() noexcept {
  version_ = version;
}

bool limit_window::is_ahead(const boot_id& boot, moment now) const noexcept {
  return is_of(boot) && floor_ > step_at(now) + skew;
}

bool limit_window::is_sound(const boot_id& boot, moment now) const {
  if (!is_of(boot)) return false;
  const std::int64_t current = step_at(now);
  if (floor_ < 0 || floor_ > current + skew) return false;
  if (paused_until_ < moment{} || paused_until_ > now + longest_pause) return false;
  if (unknown_until_ < moment{} || unknown_until_ > now + 2 * (length + most_margin)) return false;
  for (const auto& owner : owners_) {
    if (owner.margin < moment{} || owner.margin > most_margin) return false;
  }
  // No start can be released later than one window plus the longest margin from now.
  for (std::int64_t step = std::max(floor_, step_at(now + length + most_margin) + skew);
       step < floor_ + steps; ++step) {
    if (step_requests_[place(step)] != 0 || step_tokens_[place(step)] != 0) return false;
  }
  if (dirty_ != 0) return true;  // settle() will recompute sums and bounds
  if (first_ < 0 || first_ > floor_ + steps || last_ < 0 || last_ >= floor_ + steps) return false;
  const sums all = counted();
  return all.requests == requests_ && all.tokens == tokens_;
}

void limit_window::recount() {
  const sums all = counted();
  requests_ = all.requests;
  tokens_ = all.tokens;
  const auto holds = [this](std::int64_t step) {
    return step_requests_[place(step)] != 0 || step_tokens_[place(step)] != 0;
  };
  last_ = floor_ + steps - 1;
  for (first_ = floor_; first_ < last_ && !holds(first_);) ++first_;
  while (last_ > first_ && !holds(last_)) --last_;
  in_this_order();
  dirty_ = 0;
}

void limit_window::settle(moment now) {
  if (dirty_ != 0) recount();
  const std::int64_t current = step_at(now);
  if (floor_ > current) return;
  const change guard(*this);
  const std::int64_t end = std::min(current, last_);
  for (std::int64_t step = std::max(floor_, first_); step <= end; ++step) {
    lessen(requests_, step_requests_[place(step)]);
    lessen(tokens_, step_tokens_[place(step)]);
    step_requests_[place(step)] = 0;
    step_tokens_[place(step)] = 0;
  }
  floor_ = current + 1;
  first_ = std::max(first_, floor_);
  last_ = std::max(last_, floor_);
}

void limit_window::add_owner(std::size_t owner, moment margin) {
  owners_[owner].margin = margin;
}

void limit_window::expire_owner(std::size_t owner, moment now) {
  owner_entry& dead = owners_[owner];
  const moment margin = std::clamp(dead.margin, moment{}, most_margin);
  const change guard(*this);
  put(step_for(now + margin + length), dead.requests, dead.tokens);
  in_this_order();
  dead.requests = 0;
  dead.tokens = 0;
}

std::int64_t limit_window::step_for(moment release) const noexcept {
  const std::int64_t step = step_at(release + step_length - moment{1});
  return std::clamp(step, floor_, floor_ + steps - 1);
}

void limit_window::put(std::int64_t step, std::uint64_t requests, std::uint64_t tokens) {
  first_ = std::min(first_, step);
  last_ = std::max(last_, step);
  step_requests_[place(step)] += static_cast<std::uint32_t>(requests);
  step_tokens_[place(step)] += tokens;
}

void limit_window::remove(std::int64_t step, std::uint64_t tokens) {
  lessen(step_requests_[place(step)], 1);
  lessen(step_tokens_[place(step)], tokens);
}

// Moves a start from the owner's unsent starts into the ring.
void limit_window::move_out(std::size_t owner, slot& start, std::int64_t step) {
  const change guard(*this);
  put(step, 1, start.tokens);
  in_this_order();
  lessen(owners_[owner].requests, 1);
  lessen(owners_[owner].tokens, start.tokens);
  start.step = step;
}

bool limit_window::take(std::size_t owner, slot& start, const caps& allowed, moment now) {
  if (now < paused_until_ || next_fit(start.tokens, allowed, now) > now) return false;
  start.step = slot::unsent;
  count_unsent(owner, start);
  return true;
}

void limit_window::count_unsent(std::size_t owner, const slot& start) {
  const change guard(*this);
  owners_[owner].requests += 1;
  owners_[owner].tokens += start.tokens;
  requests_ += 1;
  tokens_ += start.tokens;
}

void limit_window::sent(std::size_t owner, slot& start, moment now, moment margin) {
  if (start.step == slot::unsent) move_out(owner, start, step_for(now + margin + length));
}

void limit_window::answered(std::size_t owner, slot& start, moment now) {
  const std::int64_t step = step_for(now + length);
  if (start.step == slot::unsent) return move_out(owner, start, step);
  if (!in_ring(start) || step >= start.step) return;
  const change guard(*this);
  put(step, 1, start.tokens);
  in_this_order();
  remove(start.step, start.tokens);
  start.step = step;
}

void limit_window::cancel(std::size_t owner, slot& start) {
  if (start.step == slot::unsent || in_ring(start)) {
    const change guard(*this);
    if (start.step == slot::unsent) {
      lessen(owners_[owner].requests, 1);
      lessen(owners_[owner].tokens, start.tokens);
    } else {
      remove(start.step, start.tokens);
    }
    lessen(requests_, 1);
    lessen(tokens_, start.tokens);
  }
  start.step = slot::returned;
}

void limit_window::correct(std::size_t owner, slot& start, std::uint64_t tokens) {
  if (start.step == slot::unsent || in_ring(start)) {
    const change guard(*this);
    auto& count =
        start.step == slot::unsent ? owners_[owner].tokens : step_tokens_[place(start.step)];
    count += tokens;
    tokens_ += tokens;
    in_this_order();
    lessen(count, start.tokens);
    lessen(tokens_, start.tokens);
  }
  start.tokens = tokens;
}

moment limit_window::next_fit(std::uint64_t tokens, const caps& allowed, moment now) {
  if (allowed.requests == 0 && allowed.tokens == 0) return now;
  if (now < unknown_until_) return unknown_until_;
  std::uint64_t requests_left = requests_;
  std::uint64_t tokens_left = tokens_;
  if (fits(requests_left, tokens_left, tokens, allowed)) return now;
  bool found = false;
  for (std::int64_t step = std::max(first_, floor_); step <= last_; ++step) {
    const auto released = step_requests_[place(step)];
    if (released == 0) continue;
    if (!found) first_ = step;  // the next search begins here
    found = true;
    lessen(requests_left, released);
    lessen(tokens_left, step_tokens_[place(step)]);
    if (fits(requests_left, tokens_left, tokens, allowed)) return step * step_length;
  }
  return never;
}

void limit_window::pause(moment until) {
  paused_until_ = std::max(paused_until_, until);
}

}  // namespace sluice
