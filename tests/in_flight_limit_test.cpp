#include "in_flight_limit.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr time_point noon = time_point{} + 12h;

TEST(in_flight_limit, begins_with_a_few_and_doubles_up_to_the_most) {
  in_flight_limit limit(64);
  EXPECT_EQ(limit.now(), 16U);
  for (int i = 0; i < 16; ++i) limit.answered(noon, noon + 1s, 120s, 16);
  EXPECT_EQ(limit.now(), 32U);
  for (int i = 0; i < 100; ++i) limit.answered(noon, noon + 1s, 120s, 32);
  EXPECT_EQ(limit.now(), 64U);
  EXPECT_EQ(in_flight_limit(3).now(), 3U);
}

TEST(in_flight_limit, late_answers_make_it_smaller_in_proportion) {
  in_flight_limit limit(64);
  limit.answered(noon, noon + 80s, 120s, 16);
  EXPECT_EQ(limit.now(), 12U);
  EXPECT_TRUE(limit.lowered());
  limit.answered(noon + 80s, noon + 81s, 120s, 12);
  EXPECT_EQ(limit.now(), 12U) << "from there on it grows by one a round trip";
  for (int i = 0; i < 60; ++i) limit.answered(noon + 80s, noon + 81s, 120s, 12);
  EXPECT_FALSE(limit.lowered());
}

TEST(in_flight_limit, timeouts_halve_it_once) {
  in_flight_limit limit(64);
  limit.timed_out(noon, noon + 120s, 16);
  EXPECT_EQ(limit.now(), 16U) << "one may be stuck";
  for (int i = 0; i < 15; ++i) limit.timed_out(noon, noon + 120s, 16);
  EXPECT_EQ(limit.now(), 8U);
}

TEST(in_flight_limit, never_less_than_one) {
  in_flight_limit limit(0);
  for (int i = 0; i < 100; ++i) limit.timed_out(noon + i * 1h, noon + i * 1h, 1);
  EXPECT_EQ(limit.now(), 1U);
}

}  // namespace
}  // namespace sluice
