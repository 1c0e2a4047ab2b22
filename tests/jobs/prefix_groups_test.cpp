#include "jobs/prefix_groups.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "jobs/job_line.hpp"

namespace sluice {
namespace {

using lines = std::vector<std::uint64_t>;
constexpr time_point start{};
constexpr auto second = std::chrono::seconds{1};

prefix_groups grouped(const std::vector<std::uint64_t>& openings) {
  prefix_groups groups;
  for (std::size_t i = 0; i < openings.size(); ++i) {
    groups.add({.opening = openings[i], .line = i + 1, .offset = 100 * i});
  }
  groups.arrange();
  return groups;
}

// The lines that next() gives until it waits or ends.
lines take(prefix_groups& groups, time_point now = start) {
  lines given;
  for (;;) {
    const auto turn = groups.next(now);
    const auto* place = std::get_if<placed_request>(&turn);
    if (place == nullptr) return given;
    EXPECT_EQ(place->offset, 100 * (place->line - 1));
    given.push_back(place->line);
  }
}

bool has_ended(prefix_groups& groups, time_point now = start) {
  return std::holds_alternative<prefix_groups::end>(groups.next(now));
}

TEST(prefix_groups, the_first_of_each_goes_first_and_the_others_follow_once_it_has_its_result) {
  auto groups = grouped({7, 3, 7, 3, 7});
  EXPECT_EQ(take(groups), (lines{1, 2}));
  groups.ended(2);
  EXPECT_EQ(take(groups), (lines{4}));
  EXPECT_FALSE(has_ended(groups));
  groups.ended(1);
  EXPECT_EQ(take(groups), (lines{3, 5}));
  EXPECT_TRUE(has_ended(groups));
}

TEST(prefix_groups, prompts_without_an_opening_are_on_their_own) {
  auto groups = grouped({0, 0, 5, 0, 5});
  EXPECT_EQ(take(groups), (lines{1, 2, 3, 4}));
  groups.ended(1);
  EXPECT_EQ(take(groups), lines());
  groups.ended(3);
  EXPECT_EQ(take(groups), (lines{5}));
  EXPECT_TRUE(has_ended(groups));
}

TEST(prefix_groups, no_job_has_no_requests) {
  auto groups = grouped({});
  EXPECT_TRUE(has_ended(groups));
}

TEST(prefix_groups, a_large_group_is_not_mixed_with_the_next_until_little_of_it_is_left) {
  std::vector<std::uint64_t> openings(200, 1);
  openings.insert(openings.end(), 200, 2);
  auto groups = grouped(openings);
  EXPECT_EQ(take(groups), (lines{1})) << "199 others are soon ready";
  groups.ended(1);
  const lines given = take(groups);
  ASSERT_EQ(given.size(), 200U) << "the rest of the first group, and the second leader";
  const auto second_leader = std::find(given.begin(), given.end(), 201U);
  ASSERT_NE(second_leader, given.end());
  const auto left = static_cast<std::uint64_t>(given.end() - second_leader) - 1;
  EXPECT_EQ(left, prefix_groups::enough_ready - 1);
  groups.ended(201);
  EXPECT_EQ(take(groups).size(), 199U);
  EXPECT_TRUE(has_ended(groups));
}

TEST(prefix_groups, a_leader_that_takes_long_holds_nobody_back) {
  auto groups = grouped({4, 4, 4});
  EXPECT_EQ(take(groups), (lines{1}));
  const auto later = start + prefix_groups::longest_wait * 3;
  EXPECT_EQ(take(groups, later), lines()) << "it is not sent yet";
  groups.started(1, later);
  groups.started(1, later + second);  // another attempt
  const auto turn = groups.next(later + second);
  ASSERT_TRUE(std::holds_alternative<prefix_groups::wait>(turn));
  EXPECT_EQ(std::get<prefix_groups::wait>(turn).until, later + prefix_groups::longest_wait);
  EXPECT_EQ(take(groups, later + prefix_groups::longest_wait), (lines{2, 3}));
  groups.ended(1);
  EXPECT_TRUE(has_ended(groups, later));
}

TEST(prefix_groups, leaders_that_are_not_sent_do_not_keep_other_groups_from_starting) {
  std::vector<std::uint64_t> openings(100, 1);
  openings.push_back(2);
  openings.push_back(2);
  auto groups = grouped(openings);
  EXPECT_EQ(take(groups), (lines{1}));
  EXPECT_EQ(take(groups, start + prefix_groups::longest_wait), (lines{101}));
}

TEST(prefix_groups, looks_ahead_spread_over_what_was_not_given) {
  auto groups = grouped(std::vector<std::uint64_t>(101, 1));
  EXPECT_EQ(take(groups), (lines{1}));
  lines ahead;
  for (const auto& place : groups.ahead(4)) ahead.push_back(place.line);
  ASSERT_EQ(ahead.size(), 4U);
  for (std::size_t i = 0; i < ahead.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(ahead[i]), static_cast<double>(20 * (i + 1)), 3);
  }
  EXPECT_EQ(grouped({0, 0, 0}).ahead(5).size(), 3U);
  EXPECT_TRUE(grouped({}).ahead(5).empty());
}

TEST(prefix_groups, every_request_is_given_once_whatever_the_groups_are) {
  std::vector<std::uint64_t> openings;
  for (std::uint64_t i = 0; i < 5000; ++i) openings.push_back(i * i % 97 * (i % 3));
  auto groups = grouped(openings);
  lines given;
  for (time_point now = start; given.size() < openings.size(); now += prefix_groups::longest_wait) {
    const lines some = take(groups, now);
    ASSERT_LE(now - start, prefix_groups::longest_wait * 10'000) << "nothing more is given";
    given.insert(given.end(), some.begin(), some.end());
    for (const auto line : some) {
      if (line % 2 == 0) {
        groups.ended(line);
      } else {
        groups.started(line, now);
      }
    }
  }
  EXPECT_TRUE(has_ended(groups, time_point::max() - prefix_groups::longest_wait * 2));
  std::sort(given.begin(), given.end());
  lines all(openings.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i + 1;
  EXPECT_EQ(given, all);
}

request parsed(const std::string& line) {
  static const job_options options;
  return *parse_job_line(line, 1, options);
}

std::uint64_t opening(const std::string& model, const std::string& system, const std::string& user,
                      const std::string& more = "") {
  return opening_of(parsed(R"({"model":")" + model +
                           R"(","messages":[{"role":"system","content":")" + system +
                           R"("},{"role":"user","content":")" + user + R"("}])" + more + "}"));
}

TEST(opening_of, is_that_of_the_model_and_of_the_first_bytes) {
  const std::string system(3000, 'x');
  const auto one = opening("gpt-4o", system, "a");
  EXPECT_NE(one, 0U);
  EXPECT_EQ(one, opening("gpt-4o", system, "b"));
  EXPECT_EQ(one, opening("gpt-4o", system, "b", R"(,"temperature":1)"));
  EXPECT_NE(one, opening("gpt-4o-mini", system, "a"));
  EXPECT_NE(one, opening("gpt-4o", "y" + system, "a"));
  EXPECT_NE(one, opening("gpt-4o", system, "a", R"(,"tools":[{"type":"function"}])"))
      << "tools come first";
  EXPECT_EQ(opening("gpt-4o", "short", "a"), 0U) << "no provider caches so little";
}

TEST(opening_of, is_none_for_embeddings) {
  EXPECT_EQ(opening_of(parsed(R"({"model":"text-embedding-3-small","input":")" +
                              std::string(5000, 'x') + R"("})")),
            0U);
}

}  // namespace
}  // namespace sluice
