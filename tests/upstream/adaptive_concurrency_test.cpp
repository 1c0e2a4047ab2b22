#include "upstream/adaptive_concurrency.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr time_point noon = time_point{} + 12h;

// So many places are taken, from then on all is refused.
void fill(adaptive_concurrency& places, std::size_t taken) {
  for (std::size_t round = 0; round < 4; ++round) {
    for (std::size_t beside = 0; beside < taken; ++beside) places.served(beside, true, noon);
    places.refused(taken, true, noon);
  }
}

TEST(adaptive_concurrency, holds_nothing_back_until_it_has_seen_where_refusals_begin) {
  adaptive_concurrency places;
  EXPECT_EQ(places.most(noon), 0U);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(places.refused(8, true, noon));
  EXPECT_EQ(places.most(noon), 0U) << "nothing was let in beside fewer";
}

TEST(adaptive_concurrency, finds_the_number_from_which_on_nothing_is_let_in) {
  adaptive_concurrency places;
  fill(places, 8);
  EXPECT_EQ(places.most(noon), 8U);
  EXPECT_TRUE(places.refused(8, true, noon));
  EXPECT_FALSE(places.refused(7, true, noon)) << "there was room";
}

TEST(adaptive_concurrency, a_crowd_of_starts_that_were_not_spread_shows_nothing) {
  adaptive_concurrency places;
  for (int i = 0; i < 100; ++i) {
    for (std::size_t beside = 0; beside < 8; ++beside) places.served(beside, false, noon);
    EXPECT_FALSE(places.refused(8, false, noon));
  }
  EXPECT_EQ(places.most(noon), 0U);
}

TEST(adaptive_concurrency, refusals_beside_few_as_beside_many_are_of_another_kind) {
  adaptive_concurrency places;
  for (int i = 0; i < 100; ++i) {
    for (std::size_t beside = 0; beside < 8; ++beside) places.served(beside, true, noon);
    EXPECT_FALSE(places.refused(static_cast<std::size_t>(i) % 8, true, noon));
  }
  EXPECT_EQ(places.most(noon), 0U);
}

TEST(adaptive_concurrency, tries_one_more_after_a_while_and_keeps_it_when_it_is_let_in_repeatedly) {
  adaptive_concurrency places;
  fill(places, 8);
  const time_point later = noon + 5min;
  EXPECT_EQ(places.most(later), 9U);
  EXPECT_TRUE(places.refused(8, false, later));
  EXPECT_EQ(places.most(later + 1min), 8U);
  const time_point much_later = later + 5min;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(places.most(much_later), 9U) << "one alone may be chance";
    places.served(8, false, much_later);
  }
  EXPECT_EQ(places.most(much_later), 9U);
  EXPECT_EQ(places.most(much_later + 1min), 11U) << "the next try is of two";
}

TEST(adaptive_concurrency, follows_an_upstream_that_takes_fewer) {
  adaptive_concurrency places;
  fill(places, 8);
  for (int i = 0; i < 20; ++i) fill(places, 3);
  EXPECT_EQ(places.most(noon), 3U);
}

}  // namespace
}  // namespace sluice
