#include "base/resampling.hpp"

#include <algorithm>
#include <cmath>

namespace sluice::bench {
namespace {

constexpr double step_half_width = 0.01;

/// The inverse of a histogram's distribution function.
class inverse {
 public:
  explicit inverse(const std::vector<counted_value>& ascending) : steps_(ascending) {
    up_to_.reserve(steps_.size());
    for (const auto& step : steps_) up_to_.push_back(total_ += step.count);
  }

  double total() const { return total_; }

  double operator()(double share) const {
    const double place = share * total_;
    const auto found = std::upper_bound(up_to_.begin(), up_to_.end(), place);
    const auto i = std::min(static_cast<std::size_t>(found - up_to_.begin()), steps_.size() - 1);
    const double before = i == 0 ? 0 : up_to_[i - 1];
    const double within = std::clamp((place - before) / steps_[i].count, 0.0, 1.0);
    return low_edge(i) + within * (high_edge(i) - low_edge(i));
  }

 private:
  double low_edge(std::size_t i) const {
    const double value = steps_[i].value;
    const double edge = value * (1 - step_half_width);
    return i == 0 ? edge : std::max(edge, (steps_[i - 1].value + value) / 2);
  }
  double high_edge(std::size_t i) const {
    const double value = steps_[i].value;
    const double edge = value * (1 + step_half_width);
    return i + 1 == steps_.size() ? edge : std::min(edge, (steps_[i + 1].value + value) / 2);
  }

  const std::vector<counted_value>& steps_;
  std::vector<double> up_to_;
  double total_ = 0;
};

/// Width of Student's t divided by that of the normal distribution at 95 %, to first order.
double student_widening(double degrees) {
  return 1 + 1.21 / std::max(degrees, 1.0);
}

}  // namespace

double quantile_of(const std::vector<counted_value>& ascending, double q) {
  if (ascending.empty()) return 0;
  return inverse(ascending)(q);
}

double resampling::beta(double a, double b) {
  const double x = std::gamma_distribution<double>(a)(random_);
  const double y = std::gamma_distribution<double>(b)(random_);
  return x + y > 0 ? x / (x + y) : 0;
}

std::vector<double> resampling::quantiles(const std::vector<counted_value>& ascending, double q,
                                          unsigned times) {
  std::vector<double> drawn;
  if (ascending.empty()) return drawn;
  const inverse at(ascending);
  const double place = q * (at.total() + 1);
  const double k = std::clamp(place, 1.0, at.total());
  drawn.reserve(times);
  for (unsigned i = 0; i < times; ++i) drawn.push_back(at(beta(k, at.total() + 1 - k)));
  return drawn;
}

std::vector<double> resampling::means(const std::vector<double>& series, unsigned times) {
  std::vector<double> drawn;
  if (series.empty()) return drawn;
  const std::size_t n = series.size();
  const auto rounded = static_cast<std::size_t>(std::lround(std::cbrt(static_cast<double>(n))));
  const std::size_t length = std::max<std::size_t>(1, rounded);
  std::vector<double> up_to(n + 1, 0);
  std::partial_sum(series.begin(), series.end(), up_to.begin() + 1);
  const double mean = up_to[n] / static_cast<double>(n);
  const std::size_t blocks = (n + length - 1) / length;
  // Overlapping blocks of one series vary less about its mean than independent blocks would.
  const double share = static_cast<double>(length) / static_cast<double>(n);
  const double widening = student_widening(1 / share - 1) / std::sqrt(std::max(1 - share, 0.5));
  std::uniform_int_distribution<std::size_t> begin(0, n - length);
  drawn.reserve(times);
  for (unsigned i = 0; i < times; ++i) {
    double sum = 0;
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::size_t from = begin(random_);
      sum += up_to[from + length] - up_to[from];
    }
    const double redrawn = sum / static_cast<double>(blocks * length);
    drawn.push_back(mean + widening * (redrawn - mean));
  }
  return drawn;
}

std::vector<double> resampling::shares(double events, double all, unsigned times) {
  std::vector<double> drawn;
  drawn.reserve(times);
  for (unsigned i = 0; i < times; ++i) drawn.push_back(beta(events + 0.5, all - events + 0.5));
  return drawn;
}

confidence_interval middle_of(std::vector<double> draws) {
  if (draws.empty()) return {};
  std::sort(draws.begin(), draws.end());
  const auto at = [&](double q) {
    return draws[static_cast<std::size_t>(std::lround(q * static_cast<double>(draws.size() - 1)))];
  };
  return {at(0.025), at(0.975)};
}

}  // namespace sluice::bench
