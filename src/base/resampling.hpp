// Confidence intervals for values that were measured once. They come from resampling the measured
// values (the bootstrap: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993). The same
// seed gives the same result. Class `resampling` is not thread safe.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace sluice::bench {

/// A step of a histogram: `count` values near `value`. A step reaches up to 1 % of `value` to each
/// side, and its values are assumed to be spread evenly.
struct counted_value {
  double value = 0;
  double count = 0;
};

/// The `q` quantile: a share `q` of all values is not greater than it.
double quantile_of(const std::vector<counted_value>& ascending, double q);

struct confidence_interval {
  double low = 0;
  double high = 0;
};

class resampling {
 public:
  explicit resampling(std::uint64_t seed) : random_(seed) {}

  /// The `q` quantile of `times` resamples, each as large as the measured sample. The k-th smallest
  /// of n uniform draws has the distribution Beta(k, n + 1 - k), so one draw from it replaces n
  /// draws.
  std::vector<double> quantiles(const std::vector<counted_value>& ascending, double q,
                                unsigned times);

  /// The means of `times` series, each put together from random blocks of `series`. Blocks keep
  /// values together that depend on each other in time. A block has the cube root of the series'
  /// length: the moving block bootstrap (Künsch, "The Jackknife and the Bootstrap for General
  /// Stationary Observations", 1989). The spread is widened as Student's t does, since there are
  /// few blocks.
  std::vector<double> means(const std::vector<double>& series, unsigned times);

  /// Draws of the true share when `events` of `all` were counted. They come from the posterior with
  /// Jeffreys' prior, so 0 of 100 does not mean a share of exactly 0 (Brown, Cai, DasGupta,
  /// "Interval Estimation for a Binomial Proportion", 2001).
  std::vector<double> shares(double events, double all, unsigned times);

 private:
  double beta(double a, double b);

  std::mt19937_64 random_;
};

/// The interval that holds the middle 95 % of the draws (percentile interval).
confidence_interval middle_of(std::vector<double> draws);

}  // namespace sluice::bench
