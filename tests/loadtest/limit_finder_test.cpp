#include "loadtest/find_limit/limit_finder.hpp"

#include <gmock/gmock.h>

#include <cctype>
#include <chrono>

#include "limit_trial.hpp"

using namespace sluice;
using namespace sluice::bench;
using namespace sluice::bench::test;

namespace {

using action = limit_finder::action;

/// A finder, a clock, and a relay that answers each call after 50 ms. The test decides each answer.
struct by_hand {
  limit_finder finder;
  time_point now{1000s};
  limit_finder::call_id id = 0;

  explicit by_hand(const limit_finder::options& chosen) : finder(chosen) {}

  /// Moves the clock to the next start. Returns false if the search has ended.
  bool start() {
    auto then = finder.next(now);
    while (then.what == action::wait && then.until != time_point::max()) {
      now = then.until;
      then = finder.next(now);
    }
    if (then.what != action::start) return false;
    finder.started(++id, now);
    return true;
  }
  void accept() { finder.accepted(id, now += 50ms); }
  void refuse(std::optional<duration> hint = std::nullopt) {
    finder.refused(id, now += 50ms, hint);
  }
};

TEST(LimitFinder, FindsNoneUpToTheCeiling) {
  by_hand search({100, 40, 8});
  while (search.start()) search.accept();
  const auto found = search.finder.finding();
  EXPECT_EQ(found.kind, limit_kind::none_found);
  EXPECT_EQ(found.requests, 40U);
  EXPECT_EQ(found.burst, 40U);
  EXPECT_EQ(found.at_least, 20);
  EXPECT_FALSE(found.rpm);
  EXPECT_FALSE(found.at_most);
}

TEST(LimitFinder, ABurstEndsAtTheThirdRefusal) {
  by_hand search({1000, 1000, 8});
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(search.start());
    search.accept();
  }
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(search.start());
    search.refuse();
  }
  const auto last = search.now;
  ASSERT_TRUE(search.start());
  EXPECT_GE(search.now - last, 250ms);
}

TEST(LimitFinder, NothingStartsBeforeARetryAfterHasPassed) {
  by_hand search({1000, 1000, 8});
  ASSERT_TRUE(search.start());
  search.accept();
  ASSERT_TRUE(search.start());
  search.refuse(17s);
  const auto told = search.now;
  ASSERT_TRUE(search.start());
  EXPECT_GE(search.now - told, 17s);
}

TEST(LimitFinder, IsDoneWhenItIsToldToComeBackMuchLater) {
  by_hand search({1000, 1000, 8});
  ASSERT_TRUE(search.start());
  search.accept();
  ASSERT_TRUE(search.start());
  search.refuse(1h);
  EXPECT_FALSE(search.start());
  const auto found = search.finder.finding();
  EXPECT_EQ(found.kind, limit_kind::unclear);
  EXPECT_THAT(found.evidence, testing::HasSubstr("60 minutes"));
}

TEST(LimitFinder, IsDoneWhenMostRequestsFail) {
  by_hand search({1000, 1000, 8});
  while (search.start()) search.finder.failed(search.id, search.now += 50ms);
  EXPECT_EQ(search.finder.finding().kind, limit_kind::unclear);
  EXPECT_LE(search.finder.finding().requests, 1000U);
}

TEST(LimitFinder, IsDoneWhenEverythingIsRefused) {
  by_hand search({1000, 1000, 8});
  while (search.start()) search.refuse();
  const auto found = search.finder.finding();
  EXPECT_EQ(found.kind, limit_kind::unclear);
  EXPECT_LE(found.refused, 6U);
}

TEST(LimitFinder, WaitsForAnswersWithAllPlacesTaken) {
  by_hand search({1000, 1000, 1});
  ASSERT_TRUE(search.start());
  const auto then = search.finder.next(search.now + 1h);
  EXPECT_EQ(then.what, action::wait);
  EXPECT_EQ(then.until, time_point::max());
}

TEST(LimitFinder, AnAnswerToNoCallIsIgnored) {
  by_hand search({1000, 1000, 8});
  ASSERT_TRUE(search.start());
  search.finder.refused(99, search.now, 1h);
  search.finder.accepted(99, search.now);
  EXPECT_EQ(search.finder.finding().refused, 0U);
  EXPECT_EQ(search.finder.next(search.now + 1s).what, action::start);
}

class LimitFinderOf : public testing::TestWithParam<relay_kind> {};

TEST_P(LimitFinderOf, NamesNoWrongKindAndIsNotRude) {
  const auto& relay = GetParam();
  const std::uint64_t seeds = relay.max_requests > 5000 ? 1 : 4;
  unsigned told = 0;
  unsigned near = 0;
  unsigned refused = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const auto one = try_find(relay, seed);
    const auto& found = one.found;
    EXPECT_NE(judge(relay, found), judgement::wrong)
        << "seed " << seed << ": " << to_string(found.kind) << ", " << found.evidence;
    if (relay.other_a_minute == 0) {
      EXPECT_TRUE(bounded(relay, found)) << "seed " << seed << ": " << found.evidence;
    }
    EXPECT_TRUE(one.waited) << "seed " << seed;
    EXPECT_LE(one.most_in_60s, relay.ceiling);
    EXPECT_LE(found.requests, relay.max_requests);
    EXPECT_LE(found.refused, limit_finder::max_refusals + 16 + found.requests / 16);
    EXPECT_FALSE(found.evidence.empty());
    told += judge(relay, found) == judgement::right ? 1U : 0U;
    near += close(relay, found) ? 1U : 0U;
    refused += found.refused;
  }
  EXPECT_LE(refused, 25 * seeds);
  if (relay.can_be_told) {
    EXPECT_GE(told + 1, seeds);
  }
  if (relay.rate_can_be) {
    EXPECT_GE(near + 1, seeds);
  }
}

std::string test_name(const testing::TestParamInfo<relay_kind>& info) {
  std::string name = info.param.name;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Relays, LimitFinderOf, testing::ValuesIn(relay_kinds()), test_name);

}  // namespace
