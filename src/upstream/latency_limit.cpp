#include "upstream/latency_limit.hpp"

#include <algorithm>
#include <limits>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr double few_answers = 8;
// About three late answers of eight. A single late answer proves nothing.
constexpr double cluster = 0.28;

}  // namespace

latency_limit::latency_limit(std::size_t most) : most_(0), limit_(static_cast<double>(first)) {
  set_most(most);
}

void latency_limit::set_most(std::size_t most) noexcept {
  most_ = most == 0 ? std::numeric_limits<std::int32_t>::max() : static_cast<double>(most);
  limit_ = std::min(most_, limit_);
  before_ = std::min(most_, before_);
}

void latency_limit::late(double to, time_point started, time_point now) {
  recent_ += (1 - recent_) / few_answers;
  if (started < since_ || recent_ < cluster) return;
  recent_ = 0;
  since_ = now;
  const double lower = std::clamp(to, 1.0, limit_);
  if (!lowered() && lower < limit_) before_ = limit_;
  limit_ = lower;
}

void latency_limit::answered(time_point started, time_point now, duration timeout,
                             std::size_t in_flight) {
  const double quicker = std::chrono::duration<double>(timeout / 2) /
                         std::chrono::duration<double>(std::max<duration>(now - started, 1ns));
  if (quicker < 1) return late(static_cast<double>(in_flight) * quicker, started, now);
  recent_ -= recent_ / few_answers;
  if (started < since_) return;
  limit_ = std::min(most_, limit_ + std::min(quicker - 1, 1.0));
  if (limit_ >= before_) before_ = 0;
}

void latency_limit::timed_out(time_point started, time_point now, std::size_t in_flight) {
  late(static_cast<double>(in_flight) / 2, started, now);
}

}  // namespace sluice
