#include "upstream/adaptive_concurrency.hpp"

#include <algorithm>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_places = 1024;  // larger numbers in flight count as this one
constexpr unsigned fade_after = 128;       // after this number of answers, all counts are halved

// The wall is the number in flight above which almost everything is refused and below which almost
// nothing is, with enough answers on both sides.
constexpr double enough_refused = 4;
constexpr double enough_below = 16;
constexpr double served_above = 0.25;   // largest ratio of served to refused above the wall
constexpr double refused_below = 0.05;  // largest ratio of refused to served below the wall

// A single attempt above the limit may have been served because another one had just ended.
constexpr unsigned enough_let_in = 4;
constexpr duration after_success = 15s;
constexpr duration after_refusal = 4min;

}  // namespace

std::size_t adaptive_concurrency::most(time_point now) const noexcept {
  if (most_ == 0) return 0;
  return now >= try_at_ ? most_ + step_ : most_;
}

adaptive_concurrency::tally& adaptive_concurrency::note(std::size_t beside) {
  if (++noted_ >= fade_after) {
    noted_ = 0;
    for (auto& [served, refused] : seen_) {
      served /= 2;
      refused /= 2;
    }
  }
  beside = std::min(beside, most_places);
  if (seen_.size() <= beside) seen_.resize(beside + 1);
  return seen_[beside];
}

void adaptive_concurrency::served(std::size_t beside, bool spread, time_point now) {
  if (spread) ++note(beside).served;
  if (most_ == 0 || beside < most_ || ++let_in_ < enough_let_in) return;
  let_in_ = 0;
  most_ = beside + 1;
  step_ = std::min(2 * step_, 1 + most_ / 4);
  try_at_ = now + after_success;
}

bool adaptive_concurrency::refused(std::size_t beside, bool spread, time_point now) {
  if (spread) {
    ++note(beside).refused;
    look_for_a_wall(now);
  }
  if (most_ == 0 || beside < most_) return false;
  step_ = 1;
  let_in_ = 0;
  try_at_ = now + after_refusal;
  return true;
}

void adaptive_concurrency::look_for_a_wall(time_point now) {
  tally above;
  for (const auto& [served, refused] : seen_) {
    above.served += served;
    above.refused += refused;
  }
  tally below;
  const std::size_t end = most_ == 0 ? seen_.size() : std::min(seen_.size(), most_);
  for (std::size_t wall = 1; wall < end; ++wall) {
    const tally& step = seen_[wall - 1];
    below.served += step.served;
    below.refused += step.refused;
    above.served -= step.served;
    above.refused -= step.refused;
    if (above.refused < enough_refused || above.served > served_above * above.refused) continue;
    if (below.served < enough_below || below.refused > refused_below * below.served) continue;
    most_ = wall;
    step_ = 1;
    try_at_ = now + after_refusal;
    return;
  }
}

}  // namespace sluice
