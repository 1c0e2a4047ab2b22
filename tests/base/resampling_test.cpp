#include "base/resampling.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

namespace sluice::bench {
namespace {

double mean(const std::vector<double>& of) {
  double sum = 0;
  for (const double one : of) sum += one;
  return sum / static_cast<double>(of.size());
}

double spread(const std::vector<double>& of) {
  const double middle = mean(of);
  double sum = 0;
  for (const double one : of) sum += (one - middle) * (one - middle);
  return std::sqrt(sum / static_cast<double>(of.size() - 1));
}

TEST(resampling, a_quantile_of_steps_lies_between_them) {
  const std::vector<counted_value> steps{{100, 50}, {200, 50}};
  EXPECT_NEAR(quantile_of(steps, 0.25), 100, 0.1);
  EXPECT_NEAR(quantile_of(steps, 0.75), 200, 0.1);
  EXPECT_NEAR(quantile_of(steps, 0), 99, 0.1);
  EXPECT_NEAR(quantile_of(steps, 1), 202, 0.1);
}

// Compares the draw from the Beta distribution with whole resamples.
TEST(resampling, quantiles_equal_those_of_whole_resamples) {
  std::mt19937_64 random(4);
  std::lognormal_distribution<double> latency(6, 0.5);
  std::map<double, double> counts;
  std::vector<double> sample;
  for (int i = 0; i < 300; ++i) {
    sample.push_back(std::round(latency(random) / 5) * 5);
    ++counts[sample.back()];
  }
  std::vector<counted_value> steps;
  for (const auto& [value, count] : counts) steps.push_back({value, count});
  std::vector<double> whole;
  std::uniform_int_distribution<std::size_t> any(0, sample.size() - 1);
  for (int i = 0; i < 4000; ++i) {
    std::vector<double> again;
    for (std::size_t k = 0; k < sample.size(); ++k) again.push_back(sample[any(random)]);
    std::nth_element(again.begin(), again.begin() + 150, again.end());
    whole.push_back(again[150]);
  }
  const auto drawn = resampling(1).quantiles(steps, 0.5, 4000);
  EXPECT_NEAR(mean(drawn), mean(whole), 3);
  EXPECT_NEAR(spread(drawn) / spread(whole), 1, 0.12);
}

TEST(resampling, means_of_independent_values_spread_as_in_theory) {
  std::mt19937_64 random(4);
  std::poisson_distribution<int> count(20);
  double seen = 0;
  constexpr int trials = 50;
  for (int i = 0; i < trials; ++i) {
    std::vector<double> series;
    for (int k = 0; k < 200; ++k) series.push_back(count(random));
    seen += spread(resampling(static_cast<std::uint64_t>(i)).means(series, 500)) / trials;
  }
  EXPECT_NEAR(seen / std::sqrt(20.0 / 200), 1, 0.1);
}

TEST(resampling, means_of_dependent_values_spread_more) {
  std::mt19937_64 random(4);
  std::normal_distribution<double> shock(0, 1);
  std::vector<double> series;
  double level = 0;
  for (int i = 0; i < 600; ++i) series.push_back(100 + (level = 0.8 * level + shock(random)));
  std::vector<double> shuffled = series;
  std::shuffle(shuffled.begin(), shuffled.end(), random);
  EXPECT_GT(spread(resampling(1).means(series, 1000)),
            1.5 * spread(resampling(1).means(shuffled, 1000)));
}

TEST(resampling, zero_events_of_few_do_not_mean_a_share_of_zero) {
  const auto few = middle_of(resampling(1).shares(0, 20, 4000));
  EXPECT_GT(few.high, 0.05);
  EXPECT_LT(few.high, 0.2);
  const auto many = middle_of(resampling(1).shares(0, 2000, 4000));
  EXPECT_LT(many.high, 0.003);
}

TEST(resampling, without_values_there_are_no_draws) {
  EXPECT_TRUE(resampling(1).quantiles({}, 0.5, 10).empty());
  EXPECT_TRUE(resampling(1).means({}, 10).empty());
  EXPECT_EQ(quantile_of({}, 0.5), 0);
}

}  // namespace
}  // namespace sluice::bench
