#include "page/job_timeline.hpp"

#include <gmock/gmock.h>

#include <numeric>

namespace sluice {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;

constexpr double epoch = 1700000000;

void add(job_timeline& times, double start, double end) {
  times.add_start(epoch + start, [](job_timeline::step&) {});
  times.add_finish(epoch + end, [](job_timeline::step& step) { ++step.succeeded; });
}

std::vector<double> in_flight(const job_timeline& times) {
  std::vector<double> told;
  for (const auto& step : times.steps()) told.push_back(step.in_flight);
  return told;
}

TEST(job_timeline, empty) {
  EXPECT_TRUE(job_timeline().steps().empty());
}

TEST(job_timeline, counts_starts_and_ends_in_their_steps) {
  job_timeline times;
  add(times, 0.1, 1.6);
  add(times, 0.2, 0.4);
  EXPECT_EQ(times.started_at(), epoch);
  EXPECT_EQ(times.step_s(), 0.5);
  const auto steps = times.steps();
  ASSERT_EQ(steps.size(), 4U);
  EXPECT_EQ(steps[0].started, 2U);
  EXPECT_EQ(steps[0].succeeded, 1U);
  EXPECT_EQ(steps[3].succeeded, 1U);
}

TEST(job_timeline, in_flight_is_the_mean_of_each_step) {
  job_timeline times;
  add(times, 0.25, 1.75);
  add(times, 0, 1);
  EXPECT_THAT(in_flight(times), ElementsAre(DoubleNear(1.5, 1e-6), DoubleNear(2, 1e-6),
                                            DoubleNear(1, 1e-6), DoubleNear(0.5, 1e-6)));
}

TEST(job_timeline, takes_what_came_earlier_later) {
  job_timeline forth;
  job_timeline back;
  for (int i = 0; i < 50; ++i) {
    add(forth, i, i + 3.3);
    add(back, 49 - i, 49 - i + 3.3);
  }
  EXPECT_EQ(forth.started_at(), back.started_at());
  EXPECT_THAT(in_flight(back), testing::Pointwise(DoubleNear(1e-6), in_flight(forth)));
}

TEST(job_timeline, steps_grow_with_the_span_and_lose_nothing) {
  job_timeline times;
  constexpr int hours = 3;
  for (int second = 0; second < hours * 3600; ++second) add(times, second, second + 7);
  const auto steps = times.steps();
  EXPECT_LE(steps.size(), job_timeline::most_steps);
  EXPECT_GT(steps.size(), job_timeline::most_steps / 2);
  std::uint64_t started = 0;
  std::uint64_t succeeded = 0;
  for (const auto& step : steps) {
    started += step.started;
    succeeded += step.succeeded;
  }
  EXPECT_EQ(started, hours * 3600U);
  EXPECT_EQ(succeeded, hours * 3600U);
  EXPECT_NEAR(steps[steps.size() / 2].in_flight, 7, 1e-6);
}

TEST(job_timeline, of_a_job_gone_on_with_a_year_later) {
  job_timeline times;
  add(times, 0, 1);
  add(times, 365 * 86400.0, 365 * 86400.0 + 1);
  add(times, -365 * 86400.0, 1);
  EXPECT_LE(times.steps().size(), job_timeline::most_steps);
}

TEST(job_timeline, times_that_no_clock_tells_are_passed_over) {
  job_timeline times;
  for (const double at : {0.0, -1.0, 1e300, std::numeric_limits<double>::quiet_NaN()}) {
    times.add_start(at, [](job_timeline::step&) {});
  }
  EXPECT_TRUE(times.steps().empty());
}

}  // namespace
}  // namespace sluice
