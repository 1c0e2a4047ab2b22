#include "simulator/request_window.hpp"

#include <algorithm>

namespace sluice::simulator {
namespace {

constexpr std::chrono::seconds window_length{60};

/// Drops times that are at least 60 s old.
void forget_before_window(std::deque<time_point>& times, time_point now) {
  while (!times.empty() && now - times.front() >= window_length) times.pop_front();
}

}  // namespace

std::optional<limit_mode> parse_limit_mode(std::string_view name) {
  if (name == "sliding") return limit_mode::sliding;
  if (name == "bucket") return limit_mode::bucket;
  if (name == "fixed") return limit_mode::fixed;
  if (name == "leaky") return limit_mode::leaky;
  return std::nullopt;
}

bool sliding_log::admit(time_point now) {
  forget_before_window(admitted, now);
  if (admitted.size() >= static_cast<std::size_t>(limit)) return false;
  admitted.push_back(now);
  return true;
}

bool refilled_bucket::admit(time_point now) {
  const auto full_after = std::max(full_at, now) + interval;
  if (full_after - now > interval * burst) return false;
  full_at = full_after;
  return true;
}

bool fixed_minute::admit(time_point now) {
  const auto current = std::chrono::floor<std::chrono::minutes>(now.time_since_epoch());
  if (current != minute) {
    minute = current;
    admitted = 0;
  }
  if (admitted >= limit) return false;
  ++admitted;
  return true;
}

request_window::request_window(limit_mode mode, int per_minute) {
  if (per_minute <= 0) return;
  const std::chrono::nanoseconds interval = std::chrono::nanoseconds(window_length) / per_minute;
  switch (mode) {
    case limit_mode::sliding:
      window_ = sliding_log{per_minute, {}};
      break;
    case limit_mode::bucket:
      window_ = refilled_bucket{interval, per_minute, {}};
      break;
    case limit_mode::fixed:
      window_ = fixed_minute{per_minute};
      break;
    case limit_mode::leaky:
      window_ = refilled_bucket{interval, 1, {}};
      break;
  }
}

bool request_window::admit(time_point now) {
  return std::visit(
      [now](auto& window) {
        if constexpr (std::is_same_v<std::decay_t<decltype(window)>, std::monostate>)
          return true;
        else
          return window.admit(now);
      },
      window_);
}

void arrival_meter::record(time_point now) {
  forget_before_window(last_minute_, now);
  last_minute_.push_back(now);
  max_ = std::max(max_, last_minute_.size());
}

}  // namespace sluice::simulator
