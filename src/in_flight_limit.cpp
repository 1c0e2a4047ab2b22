#include "in_flight_limit.hpp"

#include <algorithm>
#include <limits>

namespace sluice {
namespace {

constexpr double few_answers = 8;
constexpr double cluster = 0.28;  // three of eight: one may be stuck for reasons of its own

}  // namespace

in_flight_limit::in_flight_limit(std::size_t most)
    : most_(most == 0 ? std::numeric_limits<std::int32_t>::max() : static_cast<double>(most)),
      limit_(std::min(most_, static_cast<double>(first))) {}

void in_flight_limit::lower(double to, time_point now) {
  doubling_ = false;
  since_ = now;
  recent_ = 0;
  const double lower = std::clamp(to, 1.0, limit_);
  if (!lowered() && lower < limit_) before_ = limit_;
  limit_ = lower;
}

void in_flight_limit::answered(time_point started, time_point now, duration timeout,
                               std::size_t in_flight) {
  recent_ -= recent_ / few_answers;
  const duration good_time = timeout / 2;
  const duration taken = now - started;
  if (taken > good_time) {
    return lower(static_cast<double>(in_flight) * std::chrono::duration<double>(good_time) /
                     std::chrono::duration<double>(taken),
                 now);
  }
  if (started < since_) return;
  limit_ = std::min(most_, limit_ + (doubling_ ? 1 : 1 / limit_));
  if (limit_ >= before_) before_ = 0;
}

void in_flight_limit::timed_out(time_point started, time_point now, std::size_t in_flight) {
  recent_ += (1 - recent_) / few_answers;
  if (started < since_ || recent_ < cluster) return;
  lower(static_cast<double>(in_flight) / 2, now);
}

}  // namespace sluice
