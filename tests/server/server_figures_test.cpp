#include "server/server_figures.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace sluice::server {
namespace {

using namespace std::chrono_literals;

constexpr time_point begin_of_test = time_point{} + std::chrono::hours{1000};

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
  figures.batch_began("b", "a", totals, start + 5);
  EXPECT_EQ(completed(start + 5), 0U);
  totals.add(success("m", 7, "0.1"));
  totals.add(failure_of("500"));
  figures.batch_progressed("b", totals, start + 8);
  const auto hour = figures.recent("a", start + 8);
  ASSERT_EQ(hour.steps.size(), 1U);
  EXPECT_EQ(hour.steps[0].completed, 1U);
  EXPECT_EQ(hour.steps[0].failed, 1U);
  EXPECT_EQ(hour.steps[0].tokens, 7);
  EXPECT_EQ(figures.batch("b")->progress.counts.completed, 51U);
  EXPECT_EQ(figures.batch("b")->models.at("m").cost->to_string(), "5.1");
}

TEST_F(server_figures_test, results_are_spread_over_the_time_since_the_last_report) {
  figures.batch_began("b", "a", totals, start + 5);
  for (int i = 0; i < 20; ++i) totals.add(success("m", 1, "0.1"));
  figures.batch_progressed("b", totals, start + 25);
  const auto hour = figures.recent("a", start + 25);
  ASSERT_EQ(hour.steps.size(), 3U);
  EXPECT_EQ(hour.steps[0].completed, 5U);
  EXPECT_EQ(hour.steps[1].completed, 10U);
  EXPECT_EQ(hour.steps[2].completed, 5U);
}

TEST_F(server_figures_test, nothing_is_counted_twice_or_lost_however_often_it_is_reported) {
  figures.batch_began("b", "a", totals, start);
  double now = start;
  for (int i = 0; i < 300; ++i) {
    for (int k = 0; k < i % 4; ++k) totals.add(success("m", 3, "0.1"));
    now += 0.1 + (i % 7) * 3.3;
    figures.batch_progressed("b", totals, now);
  }
  ASSERT_LT(now, start + 3600);
  EXPECT_EQ(completed(now), totals.succeeded);
}

TEST_F(server_figures_test, only_the_last_hour_is_kept) {
  figures.batch_began("b", "a", totals, start);
  totals.add(success("m", 1, "0.1"));
  figures.batch_progressed("b", totals, start + 1);
  EXPECT_EQ(completed(start + 3599), 1U);
  EXPECT_EQ(figures.recent("a", start + 3599).steps.size(), server_figures::most_steps);
  EXPECT_EQ(completed(start + 3600), 0U);
  // The slot of the old step is free for a new one.
  totals.add(success("m", 1, "0.1"));
  totals.add(success("m", 1, "0.1"));
  figures.batch_began("b", "a", totals, start + 3600);
  totals.add(success("m", 1, "0.1"));
  figures.batch_progressed("b", totals, start + 3601);
  EXPECT_EQ(completed(start + 3601), 1U);
}

TEST_F(server_figures_test, a_clock_that_goes_back_loses_nothing) {
  figures.batch_began("b", "a", totals, start + 1000);
  totals.add(success("m", 1, "0.1"));
  figures.batch_progressed("b", totals, start + 1001);
  totals.add(success("m", 1, "0.1"));
  figures.batch_progressed("b", totals, start + 400);
  EXPECT_EQ(completed(start + 1001), 2U);
}

TEST_F(server_figures_test, owners_do_not_see_each_other) {
  figures.batch_began("b", "a", totals, start);
  totals.add(success("m", 1, "0.1"));
  totals.add(failure_of("404"));
  figures.batch_stopped("b", totals, start + 1);
  EXPECT_EQ(completed(start + 1), 1U);
  EXPECT_EQ(completed(start + 1, "other"), 0U);
  EXPECT_TRUE(figures.batch_errors("other").empty());
  EXPECT_EQ(figures.batch_errors("a").at("404"), 1U);
}

TEST_F(server_figures_test, errors_are_those_of_the_last_report_of_each_batch) {
  totals.add(failure_of("500"));
  figures.batch_began("b", "a", totals, start);
  // A resumed run sends requests again if they failed for a temporary reason.
  totals.take_back_failure("500", false);
  totals.add(failure_of("404"));
  figures.batch_stopped("b", totals, start + 1);
  const auto errors = figures.batch_errors("a");
  EXPECT_FALSE(errors.contains("500") && errors.at("500") > 0);
  EXPECT_EQ(errors.at("404"), 1U);
}

TEST_F(server_figures_test, old_batches_leave_their_errors_behind) {
  totals.add(failure_of("404"));
  figures.batch_began("runs on", "a", totals, start);
  for (std::size_t i = 0; i < server_figures::most_batches + 5; ++i) {
    const std::string id = "b" + std::to_string(i);
    figures.batch_began(id, "a", totals, start);
    figures.batch_stopped(id, totals, start);
  }
  EXPECT_EQ(figures.batch("b0"), nullptr);
  EXPECT_NE(figures.batch("runs on"), nullptr);
  EXPECT_EQ(figures.batch_errors("a").at("404"), server_figures::most_batches + 6);
}

TEST_F(server_figures_test, the_sums_have_only_what_is_done_since_the_start) {
  server_figures counts(start, [](std::string_view model) { return model != "strange"; });
  totals.add(success("m", 10, "1"));
  counts.batch_progressed("b", totals, start);
  counts.batch_began("b", "a", totals, start);
  EXPECT_EQ(counts.all().succeeded, 0U) << "an earlier process did it";
  totals.add(success("m", 10, "0.000000000000000002"));
  totals.add(success("strange", 10, "3"));
  totals.add(failure_of("timeout"));
  totals.attempts = 4;
  totals.retries = 1;
  counts.batch_progressed("b", totals, start + 1);
  counts.batch_progressed("b", totals, start + 2);
  EXPECT_EQ(counts.all().succeeded, 2U);
  EXPECT_EQ(counts.all().failed, 1U);
  EXPECT_EQ(counts.all().attempts, 4U);
  EXPECT_EQ(counts.all().retries, 1U);
  EXPECT_EQ(counts.all().errors.at("timeout"), 1U);
  EXPECT_EQ(counts.all().models.at("m").tokens.prompt_tokens, 10);
  EXPECT_EQ(counts.all().models.at("m").cost->to_string(), "0.000000000000000002");
  EXPECT_EQ(counts.all().models.at("other").cost->to_string(), "3");
  EXPECT_FALSE(counts.all().models.contains("strange")) << "a client made this name up";
}

TEST_F(server_figures_test, the_sums_never_go_down) {
  figures.batch_began("b", "a", totals, start);
  totals.add(failure_of("timeout"));
  figures.batch_progressed("b", totals, start);
  totals.take_back_failure("timeout", false);
  figures.batch_progressed("b", totals, start);
  EXPECT_EQ(figures.all().failed, 1U);
  totals.add(success("m", 1, "1"));
  figures.batch_stopped("b", totals, start);
  EXPECT_EQ(figures.all().failed, 1U);
  EXPECT_EQ(figures.all().succeeded, 1U);
  // The next run of the same batch starts with the totals of this run.
  figures.batch_began("b", "a", totals, start);
  figures.batch_stopped("b", totals, start);
  EXPECT_EQ(figures.all().succeeded, 1U);
}

TEST_F(server_figures_test, errors_and_models_without_end_are_counted_together) {
  figures.batch_began("b", "a", totals, start);
  for (int i = 0; i < 500; ++i) {
    totals.add(failure_of("code" + std::to_string(i)));
    totals.add(success("model" + std::to_string(i), 1, "1"));
  }
  figures.batch_progressed("b", totals, start);
  EXPECT_EQ(figures.all().errors.size(), server_figures::most_errors + 1);
  EXPECT_EQ(figures.all().errors.at("other"), 500 - server_figures::most_errors);
  EXPECT_EQ(figures.all().models.size(), server_figures::most_models + 1);
}

// Reports a call with one reply.
void answer(server_figures& figures, server_figures::call_place call, std::int64_t tokens,
            const char* cost, double now) {
  figures.attempt_began(call);
  figures.attempt_ended(call, true, false);
  figures.call_ended(call, {.status = 200, .took = 2s, .first_byte = 20ms}, now);
  figures.call_used(call, token_usage{.prompt_tokens = tokens}, usd::parse(cost), now);
}

TEST_F(server_figures_test, calls_are_in_the_same_sums_as_batches) {
  figures.batch_began("b", "a", totals, start);
  totals.add(success("m", 10, "0.1"));
  totals.attempts = 1;
  figures.batch_progressed("b", totals, start);
  answer(figures, figures.call_began("a", "m", begin_of_test), 7, "0.02", start + 1);
  const auto retried = figures.call_began("bob", "m", begin_of_test);
  figures.attempt_began(retried);
  EXPECT_EQ(figures.calls("bob", begin_of_test).in_flight, 1U);
  figures.attempt_ended(retried, true, false);
  figures.attempt_began(retried);
  figures.attempt_ended(retried, true, true);
  EXPECT_EQ(figures.all().calls.open, 1U);
  figures.call_ended(retried, {.status = 503, .error = "503", .took = 1s}, start + 1);
  figures.call_ended(figures.call_began("bob", "m", begin_of_test), {}, start + 1);

  const auto& all = figures.all();
  EXPECT_EQ(all.models.at("m").tokens.prompt_tokens, 17);
  EXPECT_EQ(all.models.at("m").cost->to_string(), "0.12");
  EXPECT_EQ(all.calls.models.at("m").cost->to_string(), "0.02");
  EXPECT_EQ(all.attempts, 4U);
  EXPECT_EQ(all.retries, 1U);
  EXPECT_EQ(all.succeeded, 1U) << "lines alone";
  EXPECT_EQ(all.calls.started, 3U);
  EXPECT_EQ(all.calls.succeeded, 1U);
  EXPECT_EQ(all.calls.failed, 1U);
  EXPECT_EQ(all.calls.gone, 1U);
  EXPECT_EQ(all.calls.open, 0U);
  EXPECT_EQ(all.calls.errors, (std::map<std::string, std::uint64_t>{{"503", 1}}));
  EXPECT_EQ(all.calls.took.at_most.back(), 3U);
  EXPECT_EQ(all.calls.first_byte.at_most.back(), 1U);
  EXPECT_EQ(completed(start + 1), 2U) << "the hour has both";
  EXPECT_EQ(figures.recent("bob", start + 1).steps.back().failed, 1U);
}

TEST_F(server_figures_test, an_owner_sees_its_own_calls_by_model) {
  answer(figures, figures.call_began("a", "m", begin_of_test), 7, "0.02", start);
  answer(figures, figures.call_began("a", "n", begin_of_test), 1, "0.5", start);
  const auto unknown = figures.call_began("bob", "m", begin_of_test);
  figures.call_ended(unknown, {.status = 200}, start);
  figures.call_used(unknown, std::nullopt, std::nullopt, start);
  const auto calls = figures.calls("a", begin_of_test);
  EXPECT_EQ(calls.succeeded, 2U);
  EXPECT_EQ(calls.cost.to_string(), "0.52");
  EXPECT_EQ(calls.models.at("m").requests, 1U);
  EXPECT_EQ(calls.models.at("m").cost->to_string(), "0.02");
  EXPECT_EQ(calls.unpriced, 0U);
  EXPECT_EQ(figures.calls("bob", begin_of_test).unpriced, 1U);
  EXPECT_FALSE(figures.calls("bob", begin_of_test).models.at("m").cost) << "unknown is not zero";
  EXPECT_EQ(figures.calls("other", begin_of_test).started, 0U);
}

TEST_F(server_figures_test, calls_of_the_last_minute_are_forgotten_second_by_second) {
  const auto last_minute = [&](duration after) {
    return figures.calls("", begin_of_test + after).started_last_minute;
  };
  figures.call_began("", "m", begin_of_test);
  figures.call_began("", "n", begin_of_test + 30s);
  EXPECT_EQ(last_minute(30s), 2U);
  EXPECT_EQ(last_minute(59s), 2U);
  EXPECT_EQ(last_minute(60s), 1U);
  EXPECT_EQ(last_minute(90s), 0U);
  figures.call_began("", "m", begin_of_test + 24h);
  EXPECT_EQ(last_minute(24h), 1U);
  EXPECT_EQ(figures.calls("", begin_of_test + 24h).started, 3U);
}

TEST_F(server_figures_test, a_client_that_invents_models_uses_no_more_memory) {
  server_figures counts(start, [](std::string_view model) { return model == "known"; });
  for (std::size_t i = 0; i < server_figures::most_call_models + 50; ++i) {
    answer(counts, counts.call_began("a", "model-" + std::to_string(i), begin_of_test), 1, "1",
           start);
  }
  const auto models = counts.calls("a", begin_of_test).models;
  EXPECT_EQ(models.size(), server_figures::most_call_models + 1);
  EXPECT_EQ(models.at("other").requests, 50U);
  EXPECT_EQ(counts.all().models.size(), 1U) << "none of them is known";
}

}  // namespace
}  // namespace sluice::server
