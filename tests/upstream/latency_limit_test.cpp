#include "upstream/latency_limit.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr time_point noon = time_point{} + 12h;

TEST(latency_limit, starts_small_and_doubles_up_to_the_maximum) {
  latency_limit limit(64);
  EXPECT_EQ(limit.now(), 16U);
  for (int i = 0; i < 16; ++i) limit.answered(noon, noon + 1s, 120s, 16);
  EXPECT_EQ(limit.now(), 32U);
  for (int i = 0; i < 100; ++i) limit.answered(noon, noon + 1s, 120s, 32);
  EXPECT_EQ(limit.now(), 64U);
  EXPECT_EQ(latency_limit(3).now(), 3U);
}

TEST(latency_limit, late_answers_lower_the_limit_in_proportion) {
  latency_limit limit(64);
  limit.answered(noon, noon + 80s, 120s, 16);
  EXPECT_EQ(limit.now(), 16U) << "a single late answer proves nothing";
  for (int i = 0; i < 2; ++i) limit.answered(noon, noon + 80s, 120s, 16);
  EXPECT_EQ(limit.now(), 12U);
  EXPECT_TRUE(limit.lowered());
  for (int i = 0; i < 4; ++i) limit.answered(noon + 80s, noon + 81s, 120s, 12);
  EXPECT_EQ(limit.now(), 16U) << "fast answers let it grow at once";
  EXPECT_FALSE(limit.lowered());
}

TEST(latency_limit, attempts_that_were_in_flight_do_not_lower_the_limit_again) {
  latency_limit limit(64);
  for (int i = 0; i < 3; ++i) limit.answered(noon, noon + 80s, 120s, 16);
  for (int i = 0; i < 13; ++i) limit.answered(noon, noon + 110s, 120s, 16);
  EXPECT_EQ(limit.now(), 12U);
  for (int i = 0; i < 3; ++i) limit.answered(noon + 81s, noon + 161s, 120s, 12);
  EXPECT_EQ(limit.now(), 9U) << "attempts that started later do";
}

TEST(latency_limit, near_the_target_time_the_limit_grows_slowly) {
  struct row {
    duration answers_take;
    std::size_t after_a_round_trip;
  };
  for (const auto& [take, limit_then] :
       {row{10s, 32}, row{30s, 32}, row{40s, 24}, row{50s, 19}, row{60s, 16}}) {
    latency_limit limit(64);
    for (int i = 0; i < 16; ++i) limit.answered(noon, noon + take, 120s, 16);
    EXPECT_EQ(limit.now(), limit_then) << take / 1s;
  }
}

TEST(latency_limit, timeouts_halve_the_limit_once) {
  latency_limit limit(64);
  limit.timed_out(noon, noon + 120s, 16);
  EXPECT_EQ(limit.now(), 16U) << "a single timeout proves nothing";
  for (int i = 0; i < 15; ++i) limit.timed_out(noon, noon + 120s, 16);
  EXPECT_EQ(limit.now(), 8U);
}

TEST(latency_limit, the_limit_is_never_less_than_one) {
  latency_limit limit(0);
  for (int i = 0; i < 100; ++i) limit.timed_out(noon + i * 1h, noon + i * 1h, 1);
  EXPECT_EQ(limit.now(), 1U);
}

}  // namespace
}  // namespace sluice
