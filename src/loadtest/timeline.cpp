#include "loadtest/timeline.hpp"

#include <algorithm>

namespace sluice::bench {

std::size_t timeline::step_at(double at_s) {
  at_s = std::max(at_s, 0.0);
  while (at_s >= step_s_ * most_steps) {
    step_s_ *= 2;
    length_ = (length_ + 1) / 2;
    for (auto& amounts : series_) {
      for (std::size_t i = 0; i < amounts.size(); ++i) {
        const double amount = amounts[i];
        if (i % 2 == 0) {
          amounts[i / 2] = amount;
        } else {
          amounts[i / 2] += amount;
        }
      }
      amounts.resize((amounts.size() + 1) / 2);
    }
  }
  return static_cast<std::size_t>(at_s / step_s_);
}

void timeline::add(std::size_t series, double at_s, double amount) {
  const std::size_t step = step_at(at_s);
  auto& amounts = series_[series];
  if (amounts.size() <= step) amounts.resize(step + 1, 0);
  amounts[step] += amount;
  length_ = std::max(length_, step + 1);
}

void timeline::spread(std::size_t series, double from_s, double to_s, double amount) {
  from_s = std::max(from_s, 0.0);
  if (to_s <= from_s) return add(series, from_s, amount);
  const std::size_t last = step_at(to_s);  // before the first: it may double the step
  for (std::size_t step = step_at(from_s); step <= last; ++step) {
    const double begin = std::max(from_s, static_cast<double>(step) * step_s_);
    const double end = std::min(to_s, static_cast<double>(step + 1) * step_s_);
    if (end > begin) add(series, begin, amount * (end - begin) / (to_s - from_s));
  }
}

std::vector<double> timeline::amounts(std::size_t series) const {
  std::vector<double> padded = series_[series];
  padded.resize(length_, 0);
  return padded;
}

}  // namespace sluice::bench
