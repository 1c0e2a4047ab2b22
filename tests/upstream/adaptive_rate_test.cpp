#include "upstream/adaptive_rate.hpp"

#include <gtest/gtest.h>

#include "support/relay_models.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using enum adaptive_rate::refusal;
using enum adaptive_rate::effect;

constexpr time_point noon = time_point{} + 12h;

TEST(adaptive_rate, does_not_limit_before_the_first_refusal) {
  adaptive_rate rate(200);
  for (int i = 0; i < 1000; ++i) rate.served(noon + i * 300ms, noon + i * 300ms);
  EXPECT_FALSE(rate.limits());
  EXPECT_EQ(rate.gap(), 0s);
}

TEST(adaptive_rate, many_refusals_at_once_lower_the_rate_once) {
  adaptive_rate rate(200);
  EXPECT_EQ(rate.refused(too_fast, noon, noon + 1s), lowered);
  const double after = rate.per_minute();
  for (int i = 0; i < 63; ++i) EXPECT_EQ(rate.refused(too_fast, noon, noon + 1s), none);
  EXPECT_EQ(rate.per_minute(), after);
  EXPECT_LT(after, 200);
}

TEST(adaptive_rate, after_many_served_starts_the_step_is_small) {
  adaptive_rate far(200);
  far.refused(too_fast, noon, noon);
  adaptive_rate near(200);
  for (int i = 0; i < 50; ++i) near.served(noon + i * 300ms, noon + i * 300ms);
  near.refused(too_fast, noon + 15s, noon + 15s);
  EXPECT_NEAR(far.per_minute(), 140, 1);
  EXPECT_NEAR(near.per_minute(), 190, 1);
}

TEST(adaptive_rate, three_busy_answers_lower_the_rate_but_not_one) {
  adaptive_rate rate(200);
  EXPECT_EQ(rate.refused(busy, noon, noon), tolerated);
  EXPECT_EQ(rate.refused(busy, noon, noon), tolerated);
  EXPECT_EQ(rate.refused(busy, noon, noon), lowered);
}

TEST(adaptive_rate, a_long_wait_is_a_measurement_of_the_rate) {
  adaptive_rate rate(200);
  for (int i = 0; i < 60; ++i) rate.served(noon, noon + 300ms);
  rate.refused(too_fast, noon, noon + 300ms);
  rate.served(noon + 60s, noon + 61s);
  EXPECT_NEAR(rate.per_minute(), 57, 1) << "sixty were served in a minute";
}

TEST(adaptive_rate, a_wait_that_the_relay_asked_for_is_a_measurement_too) {
  adaptive_rate rate(200);
  for (int i = 0; i < 60; ++i) rate.served(noon, noon + 5s);
  EXPECT_EQ(rate.refused_with_hint(noon, noon + 6s), none);
  EXPECT_FALSE(rate.limits()) << "the relay may need only this pause";
  rate.served(noon + 60s, noon + 65s);
  EXPECT_NEAR(rate.per_minute(), 57, 1);
}

// Late response heads must not look like an unused rate.
TEST(adaptive_rate, attempts_in_flight_do_not_count_as_refused) {
  adaptive_rate rate(200);
  for (int i = 0; i < 40; ++i) rate.served(noon + i * 1s, noon + i * 1s + 10s);
  rate.refused(too_fast, noon + 50s, noon + 50s);
  EXPECT_GT(rate.per_minute(), 80) << "sixty a minute, and 50 % more";
}

// The relay refuses one of twenty starts at any rate, or refuses what exceeds a token bucket.
TEST(adaptive_rate, refusals_that_continue_at_a_lower_rate_are_tolerated) {
  for (const bool at_random : {true, false}) {
    adaptive_rate rate(200);
    time_point now = noon;
    auto bucket = test::token_bucket(100, 10);
    for (int i = 1; i < 1500; ++i) {
      now += std::max<duration>(300ms, rate.gap());
      const bool refused = at_random ? i % 20 == 0 : !bucket(now);
      if (refused) {
        rate.refused(too_fast, now, now);
      } else {
        rate.served(now, now);
      }
    }
    EXPECT_EQ(rate.background() > 0, at_random);
    if (at_random) {
      EXPECT_NEAR(rate.background(), 0.05, 0.03);
      EXPECT_FALSE(rate.limits());
    } else {
      EXPECT_LT(rate.per_minute(), 110);
    }
  }
}

TEST(adaptive_rate, climbs_back_to_the_limit_and_stops_limiting) {
  adaptive_rate rate(200);
  rate.refused(too_fast, noon, noon);
  time_point now = noon;
  while (rate.limits() && now < noon + 20min) {
    now += rate.gap();
    rate.served(now, now);
  }
  EXPECT_LT(now - noon, 10min);
}

TEST(adaptive_rate, idle_time_does_not_raise_the_rate) {
  adaptive_rate rate(200);
  rate.refused(too_fast, noon, noon);
  rate.served(noon + 1s, noon + 1s);
  const double before = rate.per_minute();
  rate.served(noon + 1h, noon + 1h);
  EXPECT_LT(rate.per_minute(), before + 5);
}

}  // namespace
}  // namespace sluice
