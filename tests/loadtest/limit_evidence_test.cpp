#include "loadtest/find_limit/limit_evidence.hpp"

#include <gtest/gtest.h>

#include <vector>

using namespace sluice::bench;

namespace {

constexpr auto ok = call_outcome::accepted;
constexpr auto no = call_outcome::refused;

/// Adds `count` calls, one every `gap` seconds. Each is answered after 0.1 s.
void add(std::vector<limit_call>& log, double at, unsigned count, call_outcome how,
         double gap = 0.01) {
  for (unsigned i = 0; i < count; ++i) log.push_back({at + gap * i, at + gap * i + 0.1, how});
}

limit_evidence learned(const std::vector<limit_call>& log) {
  limit_evidence evidence;
  evidence.learn(log);
  return evidence;
}

TEST(LimitEvidence, NothingSeenLeavesEverythingPossible) {
  const auto evidence = learned({});
  EXPECT_TRUE(evidence.sliding());
  EXPECT_TRUE(evidence.fixed());
  EXPECT_TRUE(evidence.bucket());
}

TEST(LimitEvidence, OneBurstTellsTheLimitAndNotTheKind) {
  std::vector<limit_call> log;
  add(log, 0, 20, ok);
  add(log, 1, 1, no);
  const auto evidence = learned(log);
  ASSERT_TRUE(evidence.sliding());
  EXPECT_EQ(evidence.sliding()->all.low, 20);
  EXPECT_EQ(evidence.sliding()->all.high, 20);
  EXPECT_TRUE(evidence.fixed());
  EXPECT_TRUE(evidence.bucket());
}

TEST(LimitEvidence, WhatOpensWithinTheMinuteIsNoSlidingLog) {
  std::vector<limit_call> log;
  add(log, 0, 20, ok);
  add(log, 1, 1, no);
  add(log, 40, 1, ok);
  EXPECT_FALSE(learned(log).sliding());
}

TEST(LimitEvidence, WhatRefusesASecondCallAtOnceIsNoFixedMinute) {
  std::vector<limit_call> log;
  add(log, 0, 20, ok);
  add(log, 1, 1, no);
  add(log, 4, 1, ok);
  add(log, 4.2, 1, no);
  const auto evidence = learned(log);
  EXPECT_FALSE(evidence.sliding());
  EXPECT_FALSE(evidence.fixed());
  ASSERT_TRUE(evidence.bucket());
  // Three seconds did not refill enough for a second call at 4.2 s.
  EXPECT_LT(evidence.bucket()->rate.all.high, 60);
  EXPECT_GE(evidence.bucket()->burst.low, 19);
}

TEST(LimitEvidence, AWholeBurstInTheMiddleOfTheMinuteIsAFixedOne) {
  std::vector<limit_call> log;
  add(log, 0, 20, ok);
  add(log, 1, 1, no);
  add(log, 30, 1, no);
  add(log, 35, 20, ok);
  add(log, 36, 1, no);
  const auto evidence = learned(log);
  EXPECT_FALSE(evidence.sliding());
  EXPECT_FALSE(evidence.bucket());
  ASSERT_TRUE(evidence.fixed());
  EXPECT_EQ(evidence.fixed()->all.low, 20);
  EXPECT_EQ(evidence.fixed()->all.high, 20);
}

TEST(LimitEvidence, RefusedCallsMayCountInALog) {
  std::vector<limit_call> log;
  add(log, 0, 20, ok);
  add(log, 3, 5, no, 1);
  // Five calls of the last minute were refused, and they count, too.
  add(log, 61.5, 15, ok);
  add(log, 62.5, 1, no);
  const auto evidence = learned(log);
  ASSERT_TRUE(evidence.sliding());
  EXPECT_EQ(evidence.sliding()->all.low, 20);
  EXPECT_EQ(evidence.sliding()->all.high, 20);
}

TEST(LimitEvidence, LongDelaysMakeTheBoundsWideNotWrong) {
  // Ten accepted calls may have arrived at any time in ten seconds. One call was refused in this
  // time.
  std::vector<limit_call> log;
  for (int i = 0; i < 10; ++i) log.push_back({0.0, 10.0, ok});
  log.push_back({5.0, 6.0, no});
  const auto sliding = learned(log).sliding();
  ASSERT_TRUE(sliding);
  EXPECT_EQ(sliding->all.low, 10);
  const auto bucket = learned(log).bucket();
  ASSERT_TRUE(bucket);
  EXPECT_LE(bucket->rate.all.low, 60);  // one call per second
  EXPECT_GE(bucket->rate.all.high, 600);
  EXPECT_EQ(bucket->burst.low, 1);
}

TEST(LimitEvidence, FailedCallsMayCountOrNot) {
  std::vector<limit_call> log;
  add(log, 0, 20, ok);
  add(log, 0.5, 2, call_outcome::failed);
  add(log, 1, 1, no);
  const auto sliding = learned(log).sliding();
  ASSERT_TRUE(sliding);
  EXPECT_EQ(sliding->all.low, 20);
  EXPECT_EQ(sliding->all.high, 22);
  EXPECT_EQ(sliding->likely, 22);
}

TEST(LimitEvidence, NoLimitAdmitsAgainBeforeItsCallsAgeAndRefusesForNothing) {
  std::vector<limit_call> log;
  add(log, 0, 20, ok);
  add(log, 1, 1, no);
  add(log, 2, 10, ok);
  add(log, 3, 1, no);
  add(log, 30, 1, no);
  add(log, 31, 3, ok);
  add(log, 32, 1, no);
  add(log, 45, 1, no);
  add(log, 100, 1, no);
  const auto evidence = learned(log);
  EXPECT_FALSE(evidence.sliding());
  EXPECT_FALSE(evidence.fixed());
  EXPECT_FALSE(evidence.bucket());
}

TEST(LimitEvidence, ABucketThatRanDryIsRefilledSlowerThanItWasDrawnFrom) {
  limit_evidence evidence;
  evidence.emptied_at(300);
  ASSERT_TRUE(evidence.bucket());
  EXPECT_EQ(evidence.bucket()->rate.all.high, 300);
}

}  // namespace
