#include "upstream/adaptive_rate.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

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

TEST(adaptive_rate, a_long_wait_in_which_nothing_was_held_is_no_measurement) {
  adaptive_rate rate(200);
  for (int i = 0; i < 60; ++i) rate.served(noon, noon + 300ms, false);
  rate.refused(too_fast, noon, noon + 300ms);
  const double after = rate.per_minute();
  rate.served(noon + 60s, noon + 61s, false);
  EXPECT_GE(rate.per_minute(), after) << "nobody asked in that minute";
}

// No attempt had to wait for the rate in the burst, but one waited for the relay after it.
TEST(adaptive_rate, a_burst_before_a_long_wait_is_a_measurement_of_the_rate) {
  for (const bool light_before : {false, true}) {
    adaptive_rate rate(200);
    for (int i = 1; light_before && i <= 60; ++i) rate.served(noon - i * 10s, noon, false);
    for (int i = 0; i < 60; ++i) rate.served(noon + i * 50ms, noon + 5s, false);
    rate.refused(too_fast, noon + 5s, noon + 6s);
    rate.served(noon + 60s, noon + 61s, true);
    EXPECT_NEAR(rate.per_minute(), 57, 2) << light_before;
  }
}

// What comes before one refusal, and how often a start comes after it until a rush begins.
struct light_traffic {
  std::string what;
  int starts;
  duration each;
  duration head = 1s;
  int in_pairs = 1;  // number of starts at a time; all but the first one wait for the pacing
};

std::vector<light_traffic> light_traffics() {
  return {{"nothing", 0, 0s},          {"8 in flight of 60 s", 80, 7500ms, 60s},
          {"one each 10 s", 100, 10s}, {"two each 20 s", 60, 20s, 1s, 2},
          {"one each 20 s", 50, 20s},  {"one each 300 s", 20, 300s}};
}

// The minutes that the next 1000 requests take, all served; the configured limit is 200.
double minutes_of_a_rush(adaptive_rate& rate, time_point now, bool* warned = nullptr) {
  const time_point begin = now;
  std::vector<time_point> starts;
  while (starts.size() < 1000) {
    now += rate.gap();
    if (starts.size() >= 200) now = std::max(now, starts[starts.size() - 200] + 60s);
    rate.served(now, now, true);
    if (warned != nullptr) *warned = *warned || rate.settled(now);
    starts.push_back(now);
  }
  return std::chrono::duration<double>(now - begin).count() / 60;
}

TEST(adaptive_rate, one_refusal_in_light_traffic_does_not_slow_the_next_rush) {
  for (const auto& row : light_traffics()) {
    for (const bool more_after : {false, true}) {
      adaptive_rate rate(200);
      time_point now = noon;
      const auto go = [&] {
        for (int i = 0; i < row.starts / row.in_pairs; ++i) {
          now += row.each;
          for (int n = 0; n < row.in_pairs; ++n)
            rate.served(now + n * 300ms, now + row.head, n > 0);
        }
      };
      go();
      rate.refused(too_fast, now, now + 1s);
      now += 2s;
      if (more_after) go();
      bool warned = rate.settled(now);
      EXPECT_LT(minutes_of_a_rush(rate, now, &warned), 5.6) << row.what << ", " << more_after;
      EXPECT_TRUE(row.starts == 0 || !warned) << row.what << ": nothing shows a lower rate";
    }
  }
}

// The relay asks for a wait each time, and the next start waits for it.
TEST(adaptive_rate, two_waits_in_light_traffic_do_not_slow_the_next_rush) {
  for (const auto& row : light_traffics()) {
    if (row.starts == 0) continue;
    adaptive_rate rate(200);
    time_point now = noon;
    for (const bool first : {true, false}) {
      for (int i = 0; i < row.starts; ++i) {
        now += row.each;
        rate.served(now, now + row.head, false);
      }
      if (first) {
        rate.refused_with_hint(now, now + 1s);
      } else {
        rate.refused(too_fast, now, now + 1s);
      }
      now += 31s;
      for (int i = 0; i < 3; ++i) rate.served(now, now + row.head, true);
    }
    EXPECT_LT(minutes_of_a_rush(rate, now), 5.6) << row.what;
  }
}

TEST(adaptive_rate, refusals_that_go_on_in_light_traffic_lower_the_rate) {
  adaptive_rate rate(200);
  time_point now = noon;
  for (int i = 0; i < 300; ++i) {
    now += std::max<duration>(10s, rate.gap());
    if (i % 2 == 0) {
      rate.served(now, now + 1s, false);
    } else {
      rate.refused(too_fast, now, now + 1s);
    }
  }
  EXPECT_LT(rate.per_minute(), 20);
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
