#include "engine/retry.hpp"

#include <gtest/gtest.h>

#include <set>

#include <algorithm>
#include <vector>

namespace sluice {
namespace {

using namespace std::chrono_literals;

failure of_kind(failure_class kind) {
  failure why;
  why.kind = kind;
  return why;
}

TEST(retry_policy, a_temporary_failure_is_tried_up_to_max_attempts) {
  retry_policy policy({5, 1s, 60s, 1});
  retry_policy::history past;
  const failure why = of_kind(failure_class::passing);
  for (int i = 1; i < 5; ++i) EXPECT_TRUE(policy.decide(past, why, true, 0).again) << i;
  EXPECT_FALSE(policy.decide(past, why, true, 0).again);
}

TEST(retry_policy, one_attempt_means_no_retry) {
  retry_policy policy({1, 1s, 60s, 1});
  retry_policy::history past;
  EXPECT_FALSE(policy.decide(past, of_kind(failure_class::passing), true, 0).again);
}

TEST(retry_policy, an_uncharged_failure_uses_up_no_attempt) {
  retry_policy policy({2, 1s, 60s, 1});
  retry_policy::history past;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(policy.decide(past, of_kind(failure_class::unreachable), false, 0).again);
  }
  EXPECT_EQ(past.charged, 0U);
}

TEST(retry_policy, a_permanent_failure_is_not_tried_again) {
  retry_policy policy({5, 1s, 60s, 1});
  for (const auto kind : {failure_class::permanent, failure_class::wrong_address}) {
    retry_policy::history past;
    EXPECT_FALSE(policy.decide(past, of_kind(kind), true, 0).again);
  }
}

TEST(retry_policy, refusals_use_up_no_attempt_while_no_request_succeeds) {
  retry_policy policy({5, 1s, 60s, 1});
  retry_policy::history past;
  for (int i = 0; i < 1000; ++i) {
    const auto next = policy.decide(past, of_kind(failure_class::throttled), false, 7);
    ASSERT_TRUE(next.again);
    ASSERT_EQ(next.delay, duration{}) << "the key is paused, not the request";
  }
}

TEST(retry_policy, a_request_refused_twenty_times_while_others_succeed_fails) {
  retry_policy policy({5, 1s, 60s, 1});
  retry_policy::history past;
  for (std::uint64_t i = 1; i < retry_policy::max_refusals; ++i) {
    ASSERT_TRUE(policy.decide(past, of_kind(failure_class::throttled), false, i).again) << i;
  }
  EXPECT_FALSE(policy.decide(past, of_kind(failure_class::throttled), false, 100).again);
}

TEST(retry_policy, no_request_fails_because_of_the_key) {
  retry_policy policy({1, 1s, 60s, 1});
  retry_policy::history past;
  duration longest{};
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const auto next = policy.decide(past, of_kind(failure_class::key_ended), false, i);
    ASSERT_TRUE(next.again);
    ASSERT_LE(next.delay, i == 0 ? 1s : 60s);
    longest = std::max(longest, next.delay);
  }
  EXPECT_GT(longest, 30s) << "the waits become longer";
}

TEST(retry_policy, the_servers_hint_is_used) {
  retry_policy policy({5, 1s, 60s, 1});
  retry_policy::history past;
  failure why = of_kind(failure_class::passing);
  why.retry_after = 90s;
  const duration wait = policy.decide(past, why, true, 0).delay;
  EXPECT_GE(wait, duration{90s});
  EXPECT_LE(wait, duration{93s});
}

TEST(retry_policy, requests_with_the_same_hint_do_not_come_back_at_the_same_moment) {
  retry_policy policy({5, 1s, 60s, 1});
  failure why = of_kind(failure_class::passing);
  why.retry_after = 10s;
  std::set<duration> waits;
  for (int i = 0; i < 50; ++i) {
    retry_policy::history past;
    const duration wait = policy.decide(past, why, true, 0).delay;
    EXPECT_GE(wait, duration{10s}) << "never earlier than the server asked for";
    EXPECT_LE(wait, duration{11s});
    waits.insert(wait);
  }
  EXPECT_GT(waits.size(), 45U);
  EXPECT_EQ(policy.spread({}), duration{});
}

TEST(retry_policy, the_same_parse_error_twice_ends_the_retries) {
  retry_policy policy({5, 1s, 60s, 1});
  retry_policy::history past;
  failure why = of_kind(failure_class::passing);
  why.unreadable = true;
  why.message = "the reply is not JSON";
  EXPECT_TRUE(policy.decide(past, why, true, 0).again);
  const auto second = policy.decide(past, why, true, 0);
  EXPECT_FALSE(second.again);
  EXPECT_TRUE(second.lasting) << "a later run does not try it again";
}

TEST(retry_policy, different_parse_errors_are_tried_again) {
  retry_policy policy({9, 1s, 60s, 1});
  retry_policy::history past;
  failure why = of_kind(failure_class::passing);
  why.unreadable = true;
  for (const char* fault : {"no JSON", "no object", "no JSON"}) {
    why.message = fault;
    EXPECT_TRUE(policy.decide(past, why, true, 0).again) << fault;
  }
  EXPECT_TRUE(policy.decide(past, of_kind(failure_class::passing), true, 0).again);
  EXPECT_TRUE(policy.decide(past, why, true, 0).again) << "another failure was in between";
}

TEST(retry_policy, a_failure_may_have_a_smaller_limit_of_retries) {
  retry_policy policy({5, 1s, 60s, 1});
  retry_policy::history past;
  failure why = of_kind(failure_class::passing);
  why.max_retries = 2;
  EXPECT_TRUE(policy.decide(past, why, true, 0).again);
  EXPECT_TRUE(policy.decide(past, why, true, 0).again);
  EXPECT_FALSE(policy.decide(past, why, true, 0).again);
}

TEST(retry_policy, backoff_is_uniform_between_zero_and_a_doubling_bound) {
  retry_policy policy({5, 1s, 60s, 42});
  for (unsigned failures = 0; failures < 40; ++failures) {
    const duration bound = failures < 6 ? duration{1s} * (1 << failures) : duration{60s};
    duration sum{};
    duration most{};
    constexpr int draws = 2000;
    for (int i = 0; i < draws; ++i) {
      const duration wait = policy.backoff(failures);
      ASSERT_GE(wait, duration{});
      ASSERT_LE(wait, bound);
      sum += wait;
      most = std::max(most, wait);
    }
    EXPECT_NEAR(static_cast<double>((sum / draws).count()), static_cast<double>(bound.count()) / 2,
                static_cast<double>(bound.count()) * 0.03)
        << failures;
    EXPECT_GT(most, bound * 0.95) << failures;
  }
}

TEST(retry_policy, the_first_retry_waits_at_most_the_base) {
  retry_policy policy({5, 1s, 60s, 3});
  for (int i = 0; i < 200; ++i) {
    retry_policy::history past;
    EXPECT_LE(policy.decide(past, of_kind(failure_class::passing), true, 0).delay, duration{1s});
    EXPECT_LE(policy.decide(past, of_kind(failure_class::passing), true, 0).delay, duration{2s});
  }
}

TEST(retry_policy, the_same_seed_gives_the_same_waits) {
  retry_policy one({5, 1s, 60s, 9});
  retry_policy other({5, 1s, 60s, 9});
  retry_policy third({5, 1s, 60s, 10});
  bool differs = false;
  for (int i = 0; i < 50; ++i) {
    const duration wait = one.backoff(5);
    EXPECT_EQ(wait, other.backoff(5));
    differs = differs || wait != third.backoff(5);
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace sluice
