#include "served_rate.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;
using enum served_rate::refusal;

constexpr time_point noon = time_point{} + 12h;

TEST(served_rate, holds_nothing_until_something_is_refused) {
  served_rate rate(200);
  for (int i = 0; i < 1000; ++i) rate.served(noon + i * 300ms, noon + i * 300ms);
  EXPECT_FALSE(rate.limits());
  EXPECT_EQ(rate.gap(), 0s);
}

TEST(served_rate, a_volley_lowers_it_once) {
  served_rate rate(200);
  EXPECT_TRUE(rate.refused(too_fast, noon, noon + 1s));
  const double after = rate.per_minute();
  for (int i = 0; i < 63; ++i) EXPECT_FALSE(rate.refused(too_fast, noon, noon + 1s));
  EXPECT_EQ(rate.per_minute(), after);
  EXPECT_LT(after, 200);
}

TEST(served_rate, many_served_before_and_the_step_is_a_small_one) {
  served_rate far(200);
  far.refused(too_fast, noon, noon);
  served_rate near(200);
  for (int i = 0; i < 50; ++i) near.served(noon + i * 300ms, noon + i * 300ms);
  near.refused(too_fast, noon + 15s, noon + 15s);
  EXPECT_NEAR(far.per_minute(), 140, 1);
  EXPECT_NEAR(near.per_minute(), 190, 1);
}

TEST(served_rate, one_busy_answer_may_be_anything_and_three_are_not) {
  served_rate rate(200);
  EXPECT_FALSE(rate.refused(busy, noon, noon));
  EXPECT_FALSE(rate.refused(busy, noon, noon));
  EXPECT_TRUE(rate.refused(busy, noon, noon));
}

TEST(served_rate, what_a_long_wait_shows_is_believed) {
  served_rate rate(200);
  for (int i = 0; i < 60; ++i) rate.served(noon, noon + 300ms);
  rate.refused(too_fast, noon, noon + 300ms);
  rate.served(noon + 60s, noon + 61s);
  EXPECT_NEAR(rate.per_minute(), 57, 1) << "sixty in a minute";
}

TEST(served_rate, comes_back_to_the_limit_and_lets_go) {
  served_rate rate(200);
  rate.refused(too_fast, noon, noon);
  time_point now = noon;
  while (rate.limits() && now < noon + 20min) {
    now += rate.gap();
    rate.served(now, now);
  }
  EXPECT_LT(now - noon, 10min);
}

TEST(served_rate, idle_time_is_no_proof) {
  served_rate rate(200);
  rate.refused(too_fast, noon, noon);
  rate.served(noon + 1s, noon + 1s);
  const double before = rate.per_minute();
  rate.served(noon + 1h, noon + 1h);
  EXPECT_LT(rate.per_minute(), before + 5);
}

}  // namespace
}  // namespace sluice
