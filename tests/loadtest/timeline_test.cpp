#include "loadtest/timeline.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace sluice::bench {
namespace {

TEST(timeline, counts_by_the_second) {
  timeline line(2);
  line.add(0, 0.2);
  line.add(0, 0.9);
  line.add(1, 3.5, 7);
  EXPECT_EQ(line.step_s(), 1);
  EXPECT_EQ(line.amounts(0), (std::vector<double>{2, 0, 0, 0}));
  EXPECT_EQ(line.amounts(1), (std::vector<double>{0, 0, 0, 7}));
}

TEST(timeline, spreads_an_amount_evenly) {
  timeline line(1);
  line.spread(0, 0.5, 3, 10);
  EXPECT_EQ(line.amounts(0), (std::vector<double>{2, 4, 4}));
  line.spread(0, 1, 1, 3);
  EXPECT_EQ(line.amounts(0), (std::vector<double>{2, 7, 4}));
}

TEST(timeline, doubles_its_steps_rather_than_grow_without_end) {
  std::mt19937_64 random(5);
  timeline line(2);
  std::vector<double> seconds(5000, 0);
  for (int i = 0; i < 20'000; ++i) {
    const double at = std::uniform_real_distribution<double>(0, 4999.9)(random);
    line.add(0, at);
    ++seconds[static_cast<std::size_t>(at)];
  }
  line.spread(1, 10, 4990, 100);
  const auto step = static_cast<std::size_t>(line.step_s());
  EXPECT_EQ(step, 16U);
  const auto told = line.amounts(0);
  ASSERT_LE(told.size(), timeline::most_steps);
  for (std::size_t i = 0; i < told.size(); ++i) {
    const auto begin = seconds.begin() + static_cast<std::ptrdiff_t>(i * step);
    const auto end =
        seconds.begin() + static_cast<std::ptrdiff_t>(std::min((i + 1) * step, seconds.size()));
    EXPECT_EQ(told[i], std::accumulate(begin, end, 0.0)) << i;
  }
  const auto spread = line.amounts(1);
  EXPECT_NEAR(std::accumulate(spread.begin(), spread.end(), 0.0), 100, 1e-9);
}

}  // namespace
}  // namespace sluice::bench
