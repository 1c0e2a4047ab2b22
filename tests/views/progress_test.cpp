#include "views/progress.hpp"

#include <gmock/gmock.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/display_width.hpp"

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

progress_facts waiting(wait_cause cause, double seconds) {
  auto facts = half_way();
  facts.run.next_start = time_point{};
  facts.run.cause = cause;
  facts.run.waiting = 5;
  facts.until_next_start_s = seconds;
  facts.unix_now = 1'700'000'000;
  return facts;
}

TEST(progress_line, a_wait_has_its_true_cause) {
  EXPECT_THAT(progress_line(waiting(wait_cause::pacing, 3)),
              HasSubstr("| starts are spread, next start in 3 s"));
  EXPECT_THAT(progress_line(waiting(wait_cause::unknown, 40)),
              HasSubstr("| earlier starts are not on record, next start in 40 s"));
  EXPECT_THAT(progress_line(waiting(wait_cause::unreachable, 8)),
              HasSubstr("| the relay cannot be reached, next try in 8 s"));
  auto paused = waiting(wait_cause::pause, 12);
  EXPECT_THAT(progress_line(paused),
              HasSubstr("| paused by the relay for 12 s (it refused another run)"));
  paused.run.pause = {429, std::chrono::hours{1}};
  EXPECT_THAT(progress_line(paused),
              HasSubstr("| paused by the relay for 12 s (429, it asked for 1h 00m)"));
  paused.run.one_at_a_time = true;
  EXPECT_THAT(progress_line(paused), HasSubstr("paused by the relay"))
      << "the wait tells more than the trouble";
  paused.run.pause = {503, duration{}};
  EXPECT_THAT(progress_line(paused), HasSubstr("| paused for 12 s after a refusal (503)"));
  paused.until_next_start_s = 3540;
  EXPECT_THAT(progress_line(paused), testing::ContainsRegex("paused until [0-9]{2}:[0-9]{2} after"))
      << "a long wait ends at a time of the day";
}

TEST(progress_line, starts_of_other_runs_stand_beside_the_own_ones) {
  auto facts = waiting(wait_cause::limit, 37);
  facts.run.started_last_minute = 3;
  facts.run.started_by_others = 197;
  EXPECT_THAT(progress_line(facts), HasSubstr("3/200 in 60 s (197 by other runs)"));
  facts.requests_per_minute = 0;
  EXPECT_THAT(progress_line(facts), Not(HasSubstr("other runs"))) << "nothing waits for them";
}

TEST(progress_line, the_reason_of_a_wait_is_never_cut) {
  const progress_facts rows[] = {waiting(wait_cause::limit, 37), waiting(wait_cause::pacing, 3),
                                 waiting(wait_cause::unreachable, 8),
                                 waiting(wait_cause::unknown, 40)};
  for (const auto& facts : rows) {
    const wait_text wait = reason_to_wait(facts);
    for (const std::size_t columns : {59U, 99U, 139U}) {
      const std::string line = progress_line(facts, {.columns = columns});
      EXPECT_LE(display_width(line), columns) << line;
      EXPECT_THAT(line, testing::EndsWith(columns > 60 ? wait.sentence : wait.brief)) << columns;
      EXPECT_THAT(line, HasSubstr("1,000/2,000")) << columns;
    }
    EXPECT_THAT(progress_line(facts, {.columns = 30}), testing::EndsWith(wait.brief));
  }
  auto shared = waiting(wait_cause::limit, 37);
  shared.run.started_last_minute = 3;
  shared.run.started_by_others = 197;
  EXPECT_THAT(progress_line(shared, {.columns = 79}), HasSubstr("197 by"));
}

// Every reason to wait, each with its longest text.
std::vector<progress_facts> all_waits() {
  std::vector<progress_facts> all;
  for (const auto cause : {wait_cause::limit, wait_cause::pacing, wait_cause::unknown,
                           wait_cause::unreachable, wait_cause::pause}) {
    all.push_back(waiting(cause, 59));
  }
  auto paused = waiting(wait_cause::pause, 59);
  paused.run.pause = {429, std::chrono::minutes{61}};
  all.push_back(paused);
  paused.run.pause = {0, duration{}};
  all.push_back(paused);
  auto facts = half_way();
  facts.run.one_at_a_time = true;
  all.push_back(facts);
  facts = half_way();
  facts.run.waiting_for_budget = 1000;
  facts.shortage = {*usd::parse("0.42"), *usd::parse("0.1"), 500};
  all.push_back(facts);
  facts = half_way();
  facts.run.waiting_for_model = 1000;
  all.push_back(facts);
  facts = half_way();
  facts.run.in_flight = 128;
  facts.run.full = true;
  all.push_back(facts);
  facts.run.full = false;
  facts.run.slowed = true;
  all.push_back(facts);
  facts.stopping_s = 29;
  all.push_back(facts);
  return all;
}

TEST(progress_line, is_chinese_where_the_form_says_so) {
  const line_form form{.spoken = language::chinese};
  auto facts = waiting(wait_cause::limit, 37);
  facts.run.started_by_others = 20;
  const std::string line = progress_line(facts, form);
  for (const char* part :
       {"完成 1,000/2,000，失败 10 | ", "60 秒内 180/200（其他运行占 20）", "2,000 token/秒",
        "$1.2346", "| 剩 4分37秒 |", "| 等待限速，37 秒后发下一个请求"}) {
    EXPECT_THAT(line, HasSubstr(part));
  }
  auto paused = waiting(wait_cause::pause, 12);
  paused.run.pause = {429, std::chrono::hours{1}};
  EXPECT_THAT(progress_line(paused, form),
              testing::EndsWith("| 中转站要求暂停，还有 12 秒（429，要求等 1小时00分）"));
  EXPECT_EQ(progress_document(paused)["wait"]["text"],
            "paused by the relay for 12 s (429, it asked for 1h 00m)")
      << "a document is English";
}

TEST(progress_line, a_chinese_reason_is_never_cut) {
  for (const auto& facts : all_waits()) {
    const wait_text english = reason_to_wait(facts);
    const wait_text wait = reason_to_wait(facts, language::chinese);
    EXPECT_EQ(wait.word, english.word);
    EXPECT_NE(wait.sentence, english.sentence);
    EXPECT_NE(wait.brief, english.brief);
    EXPECT_LE(display_width(wait.brief), 46U) << wait.brief;
    for (const std::size_t columns : {59U, 99U, 139U}) {
      const std::string line =
          progress_line(facts, {.columns = columns, .spoken = language::chinese});
      EXPECT_LE(display_width(line), columns) << line;
      EXPECT_TRUE(line.ends_with(wait.brief) || line.ends_with(wait.sentence)) << line;
      EXPECT_THAT(line, HasSubstr("1,000/2,000")) << columns;
    }
  }
}

TEST(long_wait, speaks_the_language_of_the_screen) {
  long_wait wait;
  auto down = waiting(wait_cause::unreachable, 61);
  EXPECT_EQ(wait.take(down, 0, language::chinese), "连不上中转站，1分01秒后重试");
}

TEST(progress_line, after_an_interrupt_it_says_what_is_waited_for) {
  auto facts = waiting(wait_cause::limit, 37);
  facts.run.in_flight = 3;
  facts.stopping_s = 28.2;
  EXPECT_THAT(progress_line(facts), testing::EndsWith("| stopping: 3 in flight may finish within "
                                                      "29 s, Ctrl-C again drops them"));
  EXPECT_THAT(progress_line(facts), Not(HasSubstr("left")));
  EXPECT_THAT(progress_line(facts, {.columns = 59}),
              testing::EndsWith("stopping: 3 in flight, Ctrl-C drops them"));
}

TEST(progress_line, colours_mark_failures_and_the_reason) {
  const std::string line = progress_line(waiting(wait_cause::limit, 37), {.colour = true});
  EXPECT_THAT(line, HasSubstr("\x1b[31m10 failed\x1b[0m"));
  EXPECT_THAT(line, HasSubstr("\x1b[33mwaiting for the limit, next start in 37 s\x1b[0m"));
}

TEST(progress_document, has_the_same_facts_for_a_program) {
  auto facts = waiting(wait_cause::limit, 36.6);
  facts.run.in_flight = 3;
  const auto document = progress_document(facts);
  EXPECT_EQ(document["type"], "progress");
  EXPECT_EQ(document["requests"], 2000);
  EXPECT_EQ(document["succeeded"], 990);
  EXPECT_EQ(document["failed"], 10);
  EXPECT_EQ(document["in_flight"], 3);
  EXPECT_EQ(document["cost_usd"], "1.23456789");
  EXPECT_EQ(document["wait"]["for"], "limit");
  EXPECT_EQ(document["wait"]["next_start_in_s"], 37);
  EXPECT_EQ(progress_document(half_way())["wait"], nullptr);
  progress_facts begun;
  begun.total = 5;
  EXPECT_EQ(progress_document(begun)["left_s"], nullptr) << "not known yet";
}

TEST(long_wait, tells_once_of_a_wait_of_more_than_a_minute) {
  long_wait wait;
  EXPECT_EQ(wait.take(half_way(), 0), "");
  EXPECT_EQ(wait.take(waiting(wait_cause::pause, 59), 1), "") << "less than a minute";
  const auto paused = waiting(wait_cause::pause, 3000);
  EXPECT_THAT(wait.take(paused, 2), HasSubstr("paused by the relay until"));
  EXPECT_EQ(wait.take(paused, 3), "") << "told already";
  auto others = waiting(wait_cause::limit, 50);
  others.run.started_by_others = 200;
  others.done_now += 1;
  EXPECT_EQ(wait.take(others, 10), "");
  EXPECT_THAT(wait.take(others, 25), HasSubstr("waiting for the limit")) << "65 s in all";
}

TEST(long_wait, an_outage_of_the_relay_is_one_wait_whatever_its_trials_do) {
  long_wait wait;
  auto down = waiting(wait_cause::unreachable, 30);
  down.run.one_at_a_time = true;
  EXPECT_EQ(wait.take(down, 0), "");
  auto trial = down;
  trial.run.next_start.reset();
  trial.run.in_flight = 1;
  trial.run.started_last_minute += 1;
  EXPECT_EQ(wait.take(trial, 30), "");
  EXPECT_THAT(wait.take(down, 40), HasSubstr("the relay cannot be reached, next try in 30 s"));
  EXPECT_EQ(wait.take(trial, 70), "");
  EXPECT_EQ(wait.take(down, 80), "") << "still the same wait";
  auto back = half_way();
  back.done_now += 1;
  EXPECT_EQ(wait.take(back, 81), "");
  down.done_now = back.done_now;
  EXPECT_EQ(wait.take(down, 82), "");
  EXPECT_THAT(wait.take(down, 120), HasSubstr("cannot be reached")) << "another outage";
}

TEST(long_wait, a_model_that_the_relay_has_lost_is_reported) {
  long_wait wait;
  auto lost = half_way();
  lost.run.waiting_for_model = 3;
  EXPECT_EQ(wait.take(lost, 0), "");
  EXPECT_EQ(wait.take(lost, 61), "3 wait until the relay serves their model again");
  EXPECT_THAT(progress_line(lost), HasSubstr("| 3 wait until the relay serves their model again"));
  EXPECT_EQ(progress_document(lost)["wait"]["for"], "model");
}

TEST(long_wait, is_silent_about_what_goes_on) {
  long_wait wait;
  auto own_limit = waiting(wait_cause::limit, 60.5);
  EXPECT_EQ(wait.take(own_limit, 0), "") << "a run under a limit goes on like this";
  auto busy = waiting(wait_cause::pause, 3000);
  busy.run.in_flight = 1;
  EXPECT_EQ(wait.take(busy, 1), "");
  auto ending = waiting(wait_cause::pause, 3000);
  ending.stopping_s = 20;
  EXPECT_EQ(wait.take(ending, 2), "");
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
  facts.total = 500;  // the number of requests grows while standard input is read
  EXPECT_EQ(estimate_seconds_left(facts), 0);
}

}  // namespace
}  // namespace sluice::cli
