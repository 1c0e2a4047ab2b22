#include "cluster/grant_rules.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "store/batch_record.hpp"

namespace sluice::cluster {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t start = 1'700'000'000'000'000;
constexpr std::int64_t second = 1'000'000;

window_call ask(const std::string& holder, std::uint64_t wanted, std::uint64_t cap = 10) {
  window_call call;
  call.window = "w";
  call.holder = holder;
  call.cap = cap;
  call.wanted = wanted;
  call.valid = 3s;
  call.reach = 11s;
  // These values mean that this is not the holder's first call and that it reports nothing about
  // the clock.
  call.last_now = 1;
  call.clock_steps = 999;
  return call;
}

TEST(SharedGrants, GrantsNoMoreThanTheCap) {
  shared_grants grants;
  EXPECT_EQ(grants.call(ask("a", 100), start).granted, 10U);
  EXPECT_EQ(grants.call(ask("b", 1), start).granted, 0U);
}

TEST(SharedGrants, SharesWhatIsFreeAmongThoseWhoWait) {
  shared_grants grants;
  auto first = ask("a", 100);
  EXPECT_EQ(grants.call(first, start).granted, 10U);
  EXPECT_EQ(grants.call(ask("b", 100), start).granted, 0U);
  auto back = ask("a", 100);
  back.returned = 6;
  EXPECT_EQ(grants.call(back, start + second).granted, 3U);  // b waits, too
  EXPECT_EQ(grants.call(ask("b", 100), start + second).granted, 2U);
}

TEST(SharedGrants, WhatWasUsedIsFreeSixtySecondsAfterItArrived) {
  shared_grants grants;
  EXPECT_EQ(grants.call(ask("a", 10), start).granted, 10U);
  auto report = ask("a", 10);
  report.uses = {{500ms, 10, 0}};
  const std::int64_t arrived = start + second - 500'000;
  EXPECT_EQ(grants.call(report, start + second).granted, 0U);
  const auto free = arrived + shared_grants::length;
  EXPECT_EQ(grants.call(ask("b", 10), free - 1).granted, 0U);
  EXPECT_EQ(grants.call(ask("c", 10), free + shared_grants::step).granted, 5U);  // b waits, too
}

TEST(SharedGrants, AHolderThatFallsSilentKeepsItsStartsUntilTheyCannotArriveAnyMore) {
  shared_grants grants;
  EXPECT_EQ(grants.call(ask("a", 10), start).granted, 10U);
  const std::int64_t free = start + 3 * second + 11 * second + shared_grants::length;
  EXPECT_EQ(grants.call(ask("b", 10), free - second).granted, 0U);
  EXPECT_GT(grants.call(ask("b", 10), free + shared_grants::step).granted, 0U);
}

TEST(SharedGrants, ALateHolderBeginsAnewAndItsReportIsLeftOut) {
  shared_grants grants;
  grants.call(ask("a", 10), start);
  auto late = ask("a", 0);
  late.uses = {{0s, 5, 0}};
  late.returned = 5;
  const auto answer = grants.call(late, start + 10 * second);
  EXPECT_TRUE(answer.began_anew);
  EXPECT_EQ(grants.counted(), 10U);
}

TEST(SharedGrants, TokensAreGrantedAndCorrected) {
  shared_grants grants;
  auto call = ask("a", 100, 0);
  call.token_cap = 1000;
  call.tokens_each = 300;
  auto answer = grants.call(call, start);
  EXPECT_EQ(answer.granted, 3U);
  EXPECT_EQ(answer.granted_tokens, 900U);
  call.uses = {{0s, 3, 900}};
  answer = grants.call(call, start + second);
  EXPECT_EQ(answer.granted, 0U);
  call.uses.clear();
  call.corrections = {{answer.now + shared_grants::length, -600}};
  EXPECT_EQ(grants.call(call, start + second).granted, 2U);
}

TEST(SharedGrants, AStartLargerThanTheCapIsGrantedAlone) {
  shared_grants grants;
  auto call = ask("a", 5, 0);
  call.token_cap = 100;
  call.tokens_each = 300;
  EXPECT_EQ(grants.call(call, start).granted, 1U);
  EXPECT_EQ(grants.call(call, start).granted, 0U);
}

TEST(SharedGrants, APauseHoldsForAll) {
  shared_grants grants;
  auto call = ask("a", 1);
  call.pause = 30s;
  EXPECT_EQ(grants.call(call, start).granted, 0U);
  EXPECT_EQ(grants.call(ask("b", 1), start + 29 * second).granted, 0U);
  EXPECT_EQ(grants.call(ask("b", 1), start + 30 * second).granted, 1U);
}

TEST(SharedGrants, AStepOfTheDatabasesClockFreesNothing) {
  for (const std::int64_t step : {3600 * second, -3600 * second}) {
    shared_grants grants;
    auto call = ask("a", 10);
    const auto first = grants.call(call, start);
    call.uses = {{0s, 10, 0}};
    call.last_now = first.now;
    call.clock_steps = first.clock_steps;
    call.since_least = 1s;
    call.since_most = 1s + 5ms;
    const auto second_answer = grants.call(call, start + second + step);
    EXPECT_EQ(second_answer.granted, 0U) << step;
    // The window continues with the time that has really passed.
    EXPECT_EQ(grants.call(ask("b", 10), start + step + 30 * second).granted, 0U) << step;
    EXPECT_GT(grants.call(ask("b", 10), start + step + 63 * second).granted, 0U) << step;
  }
}

TEST(SharedGrants, AFirstCallChangesNothing) {
  shared_grants grants;
  auto call = ask("a", 10);
  const auto before = grants.call(call, start);
  call = ask("new", 10);
  call.last_now = 0;
  const auto first = grants.call(call, start + 3600 * second);
  EXPECT_EQ(first.granted, 0U);
  EXPECT_TRUE(first.in_use);
  // The clock was set in the meantime. The call of the other worker shows this.
  auto other = ask("a", 10);
  other.last_now = before.now;
  other.clock_steps = before.clock_steps;
  other.since_least = other.since_most = 1s;
  EXPECT_EQ(grants.call(other, start + 3601 * second).granted, 0U);
  auto second_call = ask("new", 10);
  second_call.last_now = first.now;
  second_call.clock_steps = first.clock_steps;
  second_call.since_least = second_call.since_most = 3s;
  EXPECT_EQ(grants.call(second_call, start + 3603 * second).granted, 0U);
  EXPECT_EQ(grants.counted(), 10U);
}

TEST(SharedGrants, ACallThatWaitedForOthersShowsNoStep) {
  shared_grants grants;
  auto call = ask("a", 1);
  const auto first = grants.call(call, start);
  call.last_now = first.now;
  call.clock_steps = first.clock_steps;
  call.since_least = call.since_most = 1s;
  EXPECT_EQ(grants.call(call, start + second, start + 5 * second).clock_steps, 0U);
}

TEST(SharedGrants, ItsTextBringsItBack) {
  shared_grants grants;
  auto call = ask("a", 7);
  call.token_cap = 5000;
  call.tokens_each = 100;
  grants.call(call, start);
  call.uses = {{100ms, 2, 150}};
  grants.call(call, start + second);
  const shared_grants back(grants.text());
  EXPECT_EQ(back.text(), grants.text());
  EXPECT_EQ(back.counted(), grants.counted());
}

TEST(SharedGrants, AForeignTextIsRefused) {
  EXPECT_THROW(shared_grants("{}"), store::store_error);
  EXPECT_THROW(shared_grants("nothing"), store::store_error);
}

// Workers start, stop, freeze and lose their state. The relay has its own count.
TEST(SharedGrants, NeverOverTheCapWhateverWorkersDo) {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    std::mt19937 random(seed);
    const auto upto = [&](std::int64_t most) {
      return std::uniform_int_distribution<std::int64_t>(0, most)(random);
    };
    shared_grants grants;
    const std::uint64_t cap = 5 + static_cast<std::uint64_t>(upto(40));
    struct worker {
      std::string name;
      std::uint64_t free = 0;             // granted starts that are not used yet
      std::int64_t valid = 0;             // until when `free` may be used
      std::vector<std::int64_t> in_hand;  // arrivals that are not reported yet
      std::int64_t frozen_until = 0;
    };
    std::vector<worker> workers(3);
    unsigned names = 0;
    for (worker& one : workers) one.name = std::to_string(names++);
    std::vector<std::int64_t> arrivals;
    std::int64_t now = start;
    for (int round = 0; round < 4000; ++round) {
      now += upto(200'000);
      worker& one = workers[static_cast<std::size_t>(upto(2))];
      if (now < one.frozen_until) continue;
      if (upto(300) == 0) one.frozen_until = now + upto(30 * second);
      if (upto(400) == 0) {  // the worker is killed and replaced
        one = {};
        one.name = std::to_string(names++);
      }
      if (one.free > 0 && now <= one.valid && upto(1) == 0) {
        --one.free;
        const std::int64_t arrival = now + upto(900'000);
        arrivals.push_back(arrival);
        one.in_hand.push_back(now + second);  // latest possible arrival
        continue;
      }
      if (now > one.valid) {
        one.name = std::to_string(names++);
        one.free = 0;
        one.in_hand.clear();
      }
      auto call = ask(one.name, static_cast<std::uint64_t>(upto(20)), cap);
      for (auto each = one.in_hand.begin(); each != one.in_hand.end();) {
        if (*each > now) {
          ++each;
          continue;
        }
        call.uses.push_back({std::chrono::microseconds(now - *each), 1, 0});
        each = one.in_hand.erase(each);
      }
      const auto answer = grants.call(call, now);
      one.free += answer.granted;
      one.valid = now + 3 * second;
    }
    std::ranges::sort(arrivals);
    std::size_t first = 0;
    std::size_t most = 0;
    for (std::size_t last = 0; last < arrivals.size(); ++last) {
      while (arrivals[last] - arrivals[first] >= 60 * second) ++first;
      most = std::max(most, last - first + 1);
    }
    EXPECT_LE(most, cap) << "seed " << seed;
    EXPECT_GT(arrivals.size(), cap) << "seed " << seed;
  }
}

}  // namespace
}  // namespace sluice::cluster
