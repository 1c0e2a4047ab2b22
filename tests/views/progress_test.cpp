#include "views/progress.hpp"

#include <gmock/gmock.h>

namespace sluice::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(short_time, is_rounded_up_to_what_a_person_reads) {
  const std::pair<double, const char*> rows[] = {
      {0, "0 s"},      {-3, "0 s"},        {0.2, "1 s"},     {37, "37 s"},         {59.5, "1m 00s"},
      {125, "2m 05s"}, {3599.2, "1h 00m"}, {3780, "1h 03m"}, {360'000, "100h 00m"}};
  for (const auto& [seconds, text] : rows) EXPECT_EQ(short_time(seconds), text) << seconds;
}

TEST(grouped, has_a_comma_each_three_digits) {
  const std::pair<std::uint64_t, const char*> rows[] = {
      {0, "0"}, {999, "999"}, {1000, "1,000"}, {123'456, "123,456"}, {1'234'567, "1,234,567"}};
  for (const auto& [number, text] : rows) EXPECT_EQ(grouped(number), text);
}

progress_facts half_way() {
  progress_facts facts;
  facts.total = 2000;
  facts.succeeded = 990;
  facts.failed = 10;
  facts.done_now = 1000;
  facts.tokens_now = 200'000;
  facts.cost = *usd::parse("1.23456789");
  facts.elapsed_s = 100;
  facts.requests_per_minute = 200;
  facts.run.started_last_minute = 180;
  return facts;
}

TEST(progress_line, tells_everything_at_once) {
  const std::string line = progress_line(half_way());
  for (const char* part :
       {"1,000/2,000 done", "10 failed", "180/200 in 60 s", "2,000 tok/s", "$1.2346", "left"}) {
    EXPECT_THAT(line, HasSubstr(part));
  }
  EXPECT_THAT(line, Not(HasSubstr("\n")));
  EXPECT_THAT(line, Not(HasSubstr("waiting")));
}

TEST(progress_line, says_what_holds_the_run) {
  auto facts = half_way();
  facts.run.next_start = time_point{};
  facts.until_next_start_s = 36.2;
  EXPECT_THAT(progress_line(facts), HasSubstr("waiting for the limit, next start in 37 s"));
  facts = half_way();
  facts.run.full = true;
  facts.run.in_flight = 64;
  EXPECT_THAT(progress_line(facts), HasSubstr("64 places in flight (--concurrency)"));
  facts.run.one_at_a_time = true;
  EXPECT_THAT(progress_line(facts), HasSubstr("one at a time"));
  facts = half_way();
  facts.run.waiting_for_budget = 3;
  facts.shortage = {*usd::parse("0.42"), *usd::parse("0.1"), 1200};
  EXPECT_THAT(progress_line(facts), HasSubstr("3 wait for the budget: one may cost $0.42, $0.10 is "
                                              "free; max_tokens 1,200 would fit"));
  facts.shortage->reply_limit = 0;
  EXPECT_THAT(progress_line(facts), Not(HasSubstr("max_tokens")));
}

TEST(progress_line, without_a_limit_or_failures) {
  auto facts = half_way();
  facts.requests_per_minute = 0;
  facts.failed = 0;
  EXPECT_THAT(progress_line(facts), HasSubstr("| 180 in 60 s"));
  EXPECT_THAT(progress_line(facts), Not(HasSubstr("failed")));
}

TEST(estimate_seconds_left, goes_by_speed_and_by_the_limit) {
  auto facts = half_way();
  EXPECT_NEAR(estimate_seconds_left(facts), 300, 1) << "a thousand at 200 a minute";
  facts.requests_per_minute = 100'000;
  EXPECT_NEAR(estimate_seconds_left(facts), 100, 1) << "as fast as so far";
  facts.succeeded = 1990;
  EXPECT_EQ(estimate_seconds_left(facts), 0);
  facts = half_way();
  facts.done_now = 0;
  EXPECT_LT(estimate_seconds_left(facts), 0) << "unknown";
  facts = half_way();
  facts.total = 500;  // a job grows while standard input is read
  EXPECT_EQ(estimate_seconds_left(facts), 0);
}

}  // namespace
}  // namespace sluice::cli
