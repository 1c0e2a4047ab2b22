#include "base/timeline.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sluice {

timeline::timeline(const options& chosen)
    : step_s_(chosen.shortest_step_s), begin_s_(chosen.begin_s), series_(chosen.series) {
  if (begin_s_) first_ = number_of(*begin_s_);
}

std::int64_t timeline::number_of(double at_s) const {
  return static_cast<std::int64_t>(std::floor(at_s / step_s_));
}

std::size_t timeline::step_at(double at_s) {
  if (begin_s_) at_s = std::max(at_s, *begin_s_);
  for (;;) {
    const std::int64_t number = number_of(at_s);
    if (length_ == 0 && !begin_s_) first_ = number;
    const std::int64_t first = std::min(first_, number);
    const std::int64_t last = std::max(first_ + static_cast<std::int64_t>(length_) - 1, number);
    if (last - first < static_cast<std::int64_t>(most_steps)) {
      const auto earlier = static_cast<std::size_t>(first_ - first);
      const auto length = static_cast<std::size_t>(last - first) + 1;
      if (length != length_) {
        for (auto& amounts : series_) {
          amounts.insert(amounts.begin(), earlier, 0);
          amounts.resize(length, 0);
        }
        first_ = first;
        length_ = length;
      }
      return static_cast<std::size_t>(number - first);
    }
    merge_neighbours();
  }
}

void timeline::merge_neighbours() {
  step_s_ *= 2;
  // Rounds down, below 0 as well.
  const std::int64_t first = first_ >> 1U;
  const auto place_of = [&](std::size_t step) {
    return static_cast<std::size_t>(((first_ + static_cast<std::int64_t>(step)) >> 1U) - first);
  };
  const std::size_t length = length_ == 0 ? 0 : place_of(length_ - 1) + 1;
  for (auto& amounts : series_) {
    std::vector<double> merged(length, 0);
    for (std::size_t step = 0; step < length_; ++step) merged[place_of(step)] += amounts[step];
    amounts = std::move(merged);
  }
  first_ = first;
  length_ = length;
}

void timeline::add(std::size_t series, double at_s, double amount) {
  const std::size_t step = step_at(at_s);
  series_[series][step] += amount;
}

void timeline::spread(std::size_t series, double from_s, double to_s, double amount) {
  if (begin_s_) from_s = std::max(from_s, *begin_s_);
  if (to_s <= from_s) return add(series, from_s, amount);
  // Add both ends first, because each may double the step or move the first step.
  step_at(from_s);
  const std::size_t last = step_at(std::nextafter(to_s, from_s));
  for (std::size_t step = step_at(from_s); step <= last; ++step) {
    const double step_begin = started_at() + static_cast<double>(step) * step_s_;
    const double begin = std::max(from_s, step_begin);
    const double end = std::min(to_s, step_begin + step_s_);
    if (end > begin) series_[series][step] += amount * (end - begin) / (to_s - from_s);
  }
}

}  // namespace sluice
