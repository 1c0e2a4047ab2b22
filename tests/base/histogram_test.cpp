#include "sluice/histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

namespace sluice {
namespace {

TEST(histogram, quantiles_are_exact_within_one_per_cent) {
  std::mt19937_64 random(3);
  for (const double scale : {0.05, 3.0, 900.0, 60'000.0, 4e6}) {
    histogram counted;
    std::vector<double> all;
    std::lognormal_distribution<double> spread(std::log(scale), 1);
    for (int i = 0; i < 20'000; ++i) {
      all.push_back(spread(random));
      counted.add(all.back());
    }
    std::sort(all.begin(), all.end());
    for (const double q : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
      const double exact =
          all[static_cast<std::size_t>(std::ceil(q * static_cast<double>(all.size()))) - 1];
      const auto quantile = counted.quantile(q);
      ASSERT_TRUE(quantile);
      EXPECT_NEAR(*quantile, exact, exact * 0.01 + 0.001) << "scale " << scale << ", q " << q;
    }
    EXPECT_NEAR(*counted.mean(), std::accumulate(all.begin(), all.end(), 0.0) / 20'000,
                *counted.mean() * 1e-9);
    EXPECT_EQ(*counted.greatest(), all.back());
  }
}

TEST(histogram, values_are_exact_within_one_per_cent) {
  for (double value = 0.0005; value < 1e9; value *= 1.0037) {
    histogram counted;
    counted.add(value);
    EXPECT_NEAR(*counted.quantile(0.5), value, value * 0.01 + 0.0006);
  }
}

TEST(histogram, handles_the_smallest_and_largest_values) {
  histogram counted;
  EXPECT_FALSE(counted.quantile(0.5));
  EXPECT_FALSE(counted.mean());
  EXPECT_FALSE(counted.greatest());
  EXPECT_TRUE(counted.steps().empty());
  counted.add(0);
  EXPECT_EQ(*counted.quantile(0), 0);
  counted.add(-5);
  EXPECT_EQ(*counted.quantile(1), 0);
  counted.add(1e15);
  EXPECT_GT(*counted.quantile(1), 1e8);
  counted.add(7);
  EXPECT_NEAR(*counted.quantile(0.75), 7, 0.07);
  EXPECT_EQ(counted.count(), 4U);
}

TEST(histogram, lists_its_steps_in_ascending_order) {
  histogram counted;
  for (const double value : {5.0, 250.0, 5.0, 0.003}) counted.add(value);
  const auto steps = counted.steps();
  ASSERT_EQ(steps.size(), 3U);
  EXPECT_EQ(steps[0], std::pair(0.003, std::uint64_t{1}));
  EXPECT_NEAR(steps[1].first, 5, 0.05);
  EXPECT_EQ(steps[1].second, 2U);
  EXPECT_NEAR(steps[2].first, 250, 2.5);
}

}  // namespace
}  // namespace sluice
