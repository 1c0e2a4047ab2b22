// How sure a number is that was measured once: what it might have been, had the same relay been
// measured again, by drawing from what was seen (the bootstrap: Efron and Tibshirani, "An
// Introduction to the Bootstrap", 1993). Pure, but for its own chance, which comes out the same for
// the same seed; not thread safe.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace sluice::bench {

/// A histogram's step: so many values at about this one. Steps are up to 1 % of it wide to each
/// side; within one, values are taken to lie evenly.
struct counted_value {
  double value = 0;
  double count = 0;
};

/// The value that a share `q` of all, in ascending order, is not above.
double quantile_of(const std::vector<counted_value>& ascending, double q);

struct confidence_interval {
  double low = 0;
  double high = 0;
};

class resampling {
 public:
  explicit resampling(std::uint64_t seed) : random_(seed) {}

  /// Quantiles of so many samples drawn anew, each as large as the one seen. A quantile of a sample
  /// is one of its order statistics, and the k-th of n even draws is Beta(k, n + 1 - k): one draw
  /// gives what drawing all n would.
  std::vector<double> quantiles(const std::vector<counted_value>& ascending, double q,
                                unsigned times);

  /// Means of series put together anew of blocks, since what follows in time hangs together: moving
  /// blocks of the cube root of the length (Künsch, "The Jackknife and the Bootstrap for General
  /// Stationary Observations", 1989), their spread widened as Student's t does for so few of them.
  std::vector<double> means(const std::vector<double>& series, unsigned times);

  /// What the share may be that gave `events` of `all`: draws from its posterior after Jeffreys'
  /// prior, since none of 100 is not for sure never (Brown, Cai, DasGupta, "Interval Estimation for
  /// a Binomial Proportion", 2001).
  std::vector<double> shares(double events, double all, unsigned times);

 private:
  double beta(double a, double b);

  std::mt19937_64 random_;
};

/// The middle 95 % (the percentile interval).
confidence_interval middle_of(std::vector<double> draws);

}  // namespace sluice::bench
