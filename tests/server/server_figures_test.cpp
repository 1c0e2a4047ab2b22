#include "server/server_figures.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace sluice::server {
namespace {

line_facts success(const std::string& model, std::int64_t tokens, const char* cost) {
  line_facts line;
  line.succeeded = true;
  line.model = model;
  line.usage = token_usage{.prompt_tokens = tokens};
  line.cost = usd::parse(cost);
  return line;
}
line_facts failure_of(const std::string& code) {
  line_facts line;
  line.error = code;
  return line;
}

// Times are counted from a full hour.
constexpr double start = 1'800'000'000;

struct server_figures_test : testing::Test {
  server_figures figures{start};
  job_totals totals;

  std::uint64_t completed(double now, const std::string& owner = "a") const {
    std::uint64_t sum = 0;
    for (const auto& step : figures.recent(owner, now).steps) sum += step.completed;
    return sum;
  }
};

TEST_F(server_figures_test, an_hour_begins_with_the_server_and_is_empty) {
  const auto hour = figures.recent("a", start + 25);
  EXPECT_EQ(hour.begins_at, static_cast<std::int64_t>(start));
  ASSERT_EQ(hour.steps.size(), 3U);
  EXPECT_EQ(hour.steps[2].completed, 0U);
}

TEST_F(server_figures_test, what_earlier_runs_have_done_is_not_done_now) {
  for (int i = 0; i < 50; ++i) totals.add(success("m", 10, "0.1"));
  figures.began("b", "a", totals, start + 5);
  EXPECT_EQ(completed(start + 5), 0U);
  totals.add(success("m", 7, "0.1"));
  totals.add(failure_of("500"));
  figures.progressed("b", totals, start + 8);
  const auto hour = figures.recent("a", start + 8);
  ASSERT_EQ(hour.steps.size(), 1U);
  EXPECT_EQ(hour.steps[0].completed, 1U);
  EXPECT_EQ(hour.steps[0].failed, 1U);
  EXPECT_EQ(hour.steps[0].tokens, 7);
  EXPECT_EQ(figures.batch("b")->progress.counts.completed, 51U);
  EXPECT_EQ(figures.batch("b")->models.at("m").cost->to_string(), "5.1");
}

TEST_F(server_figures_test, results_are_spread_over_the_time_since_the_last_report) {
  figures.began("b", "a", totals, start + 5);
  for (int i = 0; i < 20; ++i) totals.add(success("m", 1, "0.1"));
  figures.progressed("b", totals, start + 25);
  const auto hour = figures.recent("a", start + 25);
  ASSERT_EQ(hour.steps.size(), 3U);
  EXPECT_EQ(hour.steps[0].completed, 5U);
  EXPECT_EQ(hour.steps[1].completed, 10U);
  EXPECT_EQ(hour.steps[2].completed, 5U);
}

TEST_F(server_figures_test, nothing_is_counted_twice_or_lost_however_often_it_is_reported) {
  figures.began("b", "a", totals, start);
  double now = start;
  for (int i = 0; i < 300; ++i) {
    for (int k = 0; k < i % 4; ++k) totals.add(success("m", 3, "0.1"));
    now += 0.1 + (i % 7) * 3.3;
    figures.progressed("b", totals, now);
  }
  ASSERT_LT(now, start + 3600);
  EXPECT_EQ(completed(now), totals.succeeded);
}

TEST_F(server_figures_test, only_the_last_hour_is_kept) {
  figures.began("b", "a", totals, start);
  totals.add(success("m", 1, "0.1"));
  figures.progressed("b", totals, start + 1);
  EXPECT_EQ(completed(start + 3599), 1U);
  EXPECT_EQ(figures.recent("a", start + 3599).steps.size(), server_figures::most_steps);
  EXPECT_EQ(completed(start + 3600), 0U);
  // The place of the old step is free for a new one.
  totals.add(success("m", 1, "0.1"));
  totals.add(success("m", 1, "0.1"));
  figures.began("b", "a", totals, start + 3600);
  totals.add(success("m", 1, "0.1"));
  figures.progressed("b", totals, start + 3601);
  EXPECT_EQ(completed(start + 3601), 1U);
}

TEST_F(server_figures_test, a_clock_that_goes_back_loses_nothing) {
  figures.began("b", "a", totals, start + 1000);
  totals.add(success("m", 1, "0.1"));
  figures.progressed("b", totals, start + 1001);
  totals.add(success("m", 1, "0.1"));
  figures.progressed("b", totals, start + 400);
  EXPECT_EQ(completed(start + 1001), 2U);
}

TEST_F(server_figures_test, owners_do_not_see_each_other) {
  figures.began("b", "a", totals, start);
  totals.add(success("m", 1, "0.1"));
  totals.add(failure_of("404"));
  figures.ended("b", totals, start + 1);
  EXPECT_EQ(completed(start + 1), 1U);
  EXPECT_EQ(completed(start + 1, "other"), 0U);
  EXPECT_TRUE(figures.errors("other").empty());
  EXPECT_EQ(figures.errors("a").at("404"), 1U);
}

TEST_F(server_figures_test, errors_are_those_of_the_last_report_of_each_batch) {
  totals.add(failure_of("500"));
  figures.began("b", "a", totals, start);
  // A resumed run sends what failed for a passing reason again.
  totals.take_back_failure("500", false);
  totals.add(failure_of("404"));
  figures.ended("b", totals, start + 1);
  const auto errors = figures.errors("a");
  EXPECT_FALSE(errors.contains("500") && errors.at("500") > 0);
  EXPECT_EQ(errors.at("404"), 1U);
}

TEST_F(server_figures_test, old_batches_leave_their_errors_behind) {
  totals.add(failure_of("404"));
  figures.began("runs on", "a", totals, start);
  for (std::size_t i = 0; i < server_figures::most_batches + 5; ++i) {
    const std::string id = "b" + std::to_string(i);
    figures.began(id, "a", totals, start);
    figures.ended(id, totals, start);
  }
  EXPECT_EQ(figures.batch("b0"), nullptr);
  EXPECT_NE(figures.batch("runs on"), nullptr);
  EXPECT_EQ(figures.errors("a").at("404"), server_figures::most_batches + 6);
}

}  // namespace
}  // namespace sluice::server
