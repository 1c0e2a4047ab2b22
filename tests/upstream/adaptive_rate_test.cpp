#include "upstream/adaptive_rate.hpp"

#include <gtest/gtest.h>

#include "support/relay_models.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using enum adaptive_rate::refusal;
using enum adaptive_rate::effect;

constexpr time_point noon = time_point{} + 12h;

TEST(adaptive_rate, holds_nothing_until_something_is_refused) {
  adaptive_rate rate(200);
  for (int i = 0; i < 1000; ++i) rate.served(noon + i * 300ms, noon + i * 300ms);
  EXPECT_FALSE(rate.limits());
  EXPECT_EQ(rate.gap(), 0s);
}

TEST(adaptive_rate, a_volley_lowers_it_once) {
  adaptive_rate rate(200);
  EXPECT_EQ(rate.refused(too_fast, noon, noon + 1s), lowered);
  const double after = rate.per_minute();
  for (int i = 0; i < 63; ++i) EXPECT_EQ(rate.refused(too_fast, noon, noon + 1s), none);
  EXPECT_EQ(rate.per_minute(), after);
  EXPECT_LT(after, 200);
}

TEST(adaptive_rate, many_served_before_and_the_step_is_a_small_one) {
  adaptive_rate far(200);
  far.refused(too_fast, noon, noon);
  adaptive_rate near(200);
  for (int i = 0; i < 50; ++i) near.served(noon + i * 300ms, noon + i * 300ms);
  near.refused(too_fast, noon + 15s, noon + 15s);
  EXPECT_NEAR(far.per_minute(), 140, 1);
  EXPECT_NEAR(near.per_minute(), 190, 1);
}

TEST(adaptive_rate, one_busy_answer_may_be_anything_and_three_are_not) {
  adaptive_rate rate(200);
  EXPECT_EQ(rate.refused(busy, noon, noon), tolerated);
  EXPECT_EQ(rate.refused(busy, noon, noon), tolerated);
  EXPECT_EQ(rate.refused(busy, noon, noon), lowered);
}

TEST(adaptive_rate, what_a_long_wait_shows_is_believed) {
  adaptive_rate rate(200);
  for (int i = 0; i < 60; ++i) rate.served(noon, noon + 300ms);
  rate.refused(too_fast, noon, noon + 300ms);
  rate.served(noon + 60s, noon + 61s);
  EXPECT_NEAR(rate.per_minute(), 57, 1) << "sixty in a minute";
}

TEST(adaptive_rate, a_wait_that_was_asked_for_is_a_measure_too) {
  adaptive_rate rate(200);
  for (int i = 0; i < 60; ++i) rate.served(noon, noon + 5s);
  EXPECT_EQ(rate.refused_with_hint(noon, noon + 6s), none);
  EXPECT_FALSE(rate.limits()) << "it may be all that the relay wants";
  rate.served(noon + 60s, noon + 65s);
  EXPECT_NEAR(rate.per_minute(), 57, 1);
}

// Heads that come late do not make it look as if the rate had not been used.
TEST(adaptive_rate, what_is_on_its_way_is_not_taken_for_refused) {
  adaptive_rate rate(200);
  for (int i = 0; i < 40; ++i) rate.served(noon + i * 1s, noon + i * 1s + 10s);
  rate.refused(too_fast, noon + 50s, noon + 50s);
  EXPECT_GT(rate.per_minute(), 80) << "sixty a minute, and half as many more";
}

// One of twenty, whatever the rate; or what a bucket cannot take.
TEST(adaptive_rate, refusals_that_go_on_at_a_lower_rate_are_put_up_with) {
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

TEST(adaptive_rate, comes_back_to_the_limit_and_lets_go) {
  adaptive_rate rate(200);
  rate.refused(too_fast, noon, noon);
  time_point now = noon;
  while (rate.limits() && now < noon + 20min) {
    now += rate.gap();
    rate.served(now, now);
  }
  EXPECT_LT(now - noon, 10min);
}

TEST(adaptive_rate, idle_time_is_no_proof) {
  adaptive_rate rate(200);
  rate.refused(too_fast, noon, noon);
  rate.served(noon + 1s, noon + 1s);
  const double before = rate.per_minute();
  rate.served(noon + 1h, noon + 1h);
  EXPECT_LT(rate.per_minute(), before + 5);
}

}  // namespace
}  // namespace sluice
