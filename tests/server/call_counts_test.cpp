#include "server/call_counts.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace sluice::server {
namespace {

using namespace std::chrono_literals;

constexpr time_point begin_of_test = time_point{} + std::chrono::hours{1000};

TEST(call_counts, counts_by_key_and_model) {
  call_counts counts;
  const auto first = counts.begin("alice", "gpt-4o", begin_of_test);
  const auto second = counts.begin("bob", "gpt-4o", begin_of_test);
  EXPECT_EQ(counts.begin("alice", "gpt-4o", begin_of_test), first);
  counts.end(first, 200);
  counts.used(first, token_usage{.prompt_tokens = 10, .completion_tokens = 5}, *usd::parse("0.1"));
  counts.end(first, 429);
  counts.end(second, 0);
  counts.used(second, std::nullopt, std::nullopt);
  const auto rows = counts.rows(begin_of_test);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].key, "alice");
  EXPECT_EQ(rows[0].started, 2U);
  EXPECT_EQ(rows[0].in_flight, 0U);
  EXPECT_EQ(rows[0].answers, (std::array<std::uint64_t, 6>{0, 0, 1, 0, 1, 0}));
  EXPECT_EQ(rows[0].tokens.total_tokens(), 15);
  EXPECT_EQ(rows[0].cost.to_string(), "0.1");
  EXPECT_EQ(rows[0].unpriced, 0U);
  EXPECT_EQ(rows[1].key, "bob");
  EXPECT_EQ(rows[1].answers[0], 1U);
  EXPECT_EQ(rows[1].unpriced, 1U);
}

TEST(call_counts, forgets_starts_that_are_older_than_a_minute) {
  call_counts counts;
  const auto last_minute = [&](duration after) {
    return counts.rows(begin_of_test + after).at(0).started_last_minute;
  };
  counts.begin("", "m", begin_of_test);
  counts.begin("", "m", begin_of_test + 30s);
  EXPECT_EQ(last_minute(30s), 2U);
  EXPECT_EQ(last_minute(59s), 2U);
  EXPECT_EQ(last_minute(60s), 1U);
  EXPECT_EQ(last_minute(90s), 0U);
  counts.begin("", "m", begin_of_test + 24h);
  EXPECT_EQ(last_minute(24h), 1U);
  EXPECT_EQ(counts.rows(begin_of_test + 24h).at(0).started, 3U);
}

TEST(call_counts, a_client_that_invents_models_uses_no_more_memory) {
  call_counts counts;
  for (std::size_t i = 0; i < call_counts::most_models + 50; ++i) {
    counts.begin("alice", "model-" + std::to_string(i), begin_of_test);
  }
  const auto rows = counts.rows(begin_of_test);
  EXPECT_LE(rows.size(), call_counts::most_models + 1);
  EXPECT_EQ(rows.back().model, call_counts::other_models);
  EXPECT_EQ(rows.back().started, 50U);
}

}  // namespace
}  // namespace sluice::server
