#include "base/timeline.hpp"

#include <gmock/gmock.h>

#include <numeric>
#include <random>
#include <vector>

namespace sluice {
namespace {

TEST(timeline, counts_by_the_second) {
  timeline line({.series = 2, .begin_s = 0});
  line.add(0, 0.2);
  line.add(0, 0.9);
  line.add(1, 3.5, 7);
  EXPECT_EQ(line.step_s(), 1);
  EXPECT_EQ(line.amounts(0), (std::vector<double>{2, 0, 0, 0}));
  EXPECT_EQ(line.amounts(1), (std::vector<double>{0, 0, 0, 7}));
}

TEST(timeline, spreads_an_amount_evenly) {
  timeline line({.series = 1, .begin_s = 0});
  line.spread(0, 0.5, 3, 10);
  EXPECT_EQ(line.amounts(0), (std::vector<double>{2, 4, 4}));
  line.spread(0, 1, 1, 3);
  EXPECT_EQ(line.amounts(0), (std::vector<double>{2, 7, 4}));
}

TEST(timeline, doubles_its_steps_rather_than_grow_without_end) {
  std::mt19937_64 random(5);
  timeline line({.series = 2, .begin_s = 0});
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

TEST(timeline, of_nothing) {
  EXPECT_TRUE(timeline({}).amounts(0).empty());
  EXPECT_TRUE(timeline({.begin_s = 0}).amounts(0).empty());
}

TEST(timeline, begins_where_it_was_told_to) {
  timeline line({.begin_s = 10});
  line.add(0, 12.5);
  line.add(0, 3);
  line.spread(0, 8, 12, 2);
  EXPECT_EQ(line.started_at(), 10);
  EXPECT_EQ(line.amounts(0), (std::vector<double>{2, 1, 1}));
}

// Unix time in seconds. A report adds the requests of a job with such times.
constexpr double epoch = 1700000000;

timeline in_flight_line() {
  return timeline({.series = 2, .shortest_step_s = 0.5});
}
void add_request(timeline& line, double start, double end) {
  line.add(0, epoch + start);
  line.spread(1, epoch + start, epoch + end, end - start);
}

TEST(timeline, begins_with_the_earliest_moment) {
  timeline line = in_flight_line();
  add_request(line, 0.25, 1.75);
  add_request(line, 0, 1);
  EXPECT_EQ(line.started_at(), epoch);
  EXPECT_EQ(line.step_s(), 0.5);
  EXPECT_EQ(line.amounts(0), (std::vector<double>{2, 0, 0, 0}));
  using testing::DoubleNear;
  EXPECT_THAT(line.amounts(1), testing::ElementsAre(DoubleNear(0.75, 1e-6), DoubleNear(1, 1e-6),
                                                    DoubleNear(0.5, 1e-6), DoubleNear(0.25, 1e-6)));
}

TEST(timeline, takes_moments_in_any_order) {
  timeline forth = in_flight_line();
  timeline back = in_flight_line();
  for (int i = 0; i < 50; ++i) {
    add_request(forth, i, i + 3.3);
    add_request(back, 49 - i, 49 - i + 3.3);
  }
  EXPECT_EQ(forth.started_at(), back.started_at());
  EXPECT_EQ(forth.amounts(0), back.amounts(0));
  EXPECT_THAT(back.amounts(1), testing::Pointwise(testing::DoubleNear(1e-6), forth.amounts(1)));
}

TEST(timeline, its_steps_grow_with_the_span_and_lose_nothing) {
  timeline line = in_flight_line();
  constexpr int hours = 3;
  for (int second = 0; second < hours * 3600; ++second) add_request(line, second, second + 7);
  const auto& starts = line.amounts(0);
  EXPECT_LE(starts.size(), timeline::most_steps);
  EXPECT_GT(starts.size(), timeline::most_steps / 2);
  EXPECT_EQ(std::accumulate(starts.begin(), starts.end(), 0.0), hours * 3600);
  EXPECT_NEAR(line.amounts(1)[starts.size() / 2] / line.step_s(), 7, 1e-6);
}

TEST(timeline, of_a_job_gone_on_with_a_year_later) {
  timeline line = in_flight_line();
  constexpr double year = 365 * 86400.0;
  add_request(line, 0, 1);
  add_request(line, year, year + 1);
  add_request(line, -year, 1);
  EXPECT_LE(line.amounts(0).size(), timeline::most_steps);
  EXPECT_EQ(line.amounts(0).size(), line.amounts(1).size());
}

}  // namespace
}  // namespace sluice
