#include "upstream/adaptive_concurrency.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr time_point noon = time_point{} + 12h;

// Reports served attempts with fewer than `taken` others in flight, and refused attempts with
// `taken` others in flight.
void fill(adaptive_concurrency& places, std::size_t taken) {
  for (std::size_t round = 0; round < 4; ++round) {
    for (std::size_t beside = 0; beside < taken; ++beside) places.served(beside, true, noon);
    places.refused(taken, true, noon);
  }
}

TEST(adaptive_concurrency, gives_no_limit_until_it_has_enough_evidence) {
  adaptive_concurrency places;
  EXPECT_EQ(places.most(noon), 0U);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(places.refused(8, true, noon));
  EXPECT_EQ(places.most(noon), 0U) << "nothing was served with fewer in flight";
}

TEST(adaptive_concurrency, finds_the_number_in_flight_at_which_refusals_begin) {
  adaptive_concurrency places;
  fill(places, 8);
  EXPECT_EQ(places.most(noon), 8U);
  EXPECT_TRUE(places.refused(8, true, noon));
  EXPECT_FALSE(places.refused(7, true, noon)) << "there was room";
}

TEST(adaptive_concurrency, starts_that_were_not_spread_do_not_count) {
  adaptive_concurrency places;
  for (int i = 0; i < 100; ++i) {
    for (std::size_t beside = 0; beside < 8; ++beside) places.served(beside, false, noon);
    EXPECT_FALSE(places.refused(8, false, noon));
  }
  EXPECT_EQ(places.most(noon), 0U);
}

TEST(adaptive_concurrency, refusals_at_any_number_in_flight_are_not_a_concurrency_limit) {
  adaptive_concurrency places;
  for (int i = 0; i < 100; ++i) {
    for (std::size_t beside = 0; beside < 8; ++beside) places.served(beside, true, noon);
    EXPECT_FALSE(places.refused(static_cast<std::size_t>(i) % 8, true, noon));
  }
  EXPECT_EQ(places.most(noon), 0U);
}

TEST(adaptive_concurrency, tries_one_more_after_a_while_and_keeps_it_after_several_successes) {
  adaptive_concurrency places;
  fill(places, 8);
  const time_point later = noon + 5min;
  EXPECT_EQ(places.most(later), 9U);
  EXPECT_TRUE(places.refused(8, false, later));
  EXPECT_EQ(places.most(later + 1min), 8U);
  const time_point much_later = later + 5min;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(places.most(much_later), 9U) << "a single success may be chance";
    places.served(8, false, much_later);
  }
  EXPECT_EQ(places.most(much_later), 9U);
  EXPECT_EQ(places.most(much_later + 1min), 11U) << "next, two more are tried";
}

TEST(adaptive_concurrency, follows_an_upstream_whose_limit_becomes_lower) {
  adaptive_concurrency places;
  fill(places, 8);
  for (int i = 0; i < 20; ++i) fill(places, 3);
  EXPECT_EQ(places.most(noon), 3U);
}

}  // namespace
}  // namespace sluice
