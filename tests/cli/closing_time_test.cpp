#include "cli/closing_time.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "support/manual_clock.hpp"

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;

// manual_clock starts at 22:13:20 UTC.
struct closing_time_test : testing::Test {
  closing_time_test() {
    ::setenv("TZ", "UTC0", 1);
    ::tzset();
  }
  ~closing_time_test() override {
    ::unsetenv("TZ");
    ::tzset();
  }

  closing_time closing(const closing_options& asked) const {
    return {asked, time.now(), time.unix_now()};
  }
  std::string why(const closing_time& one) const {
    return one.why(time.now(), time.unix_now()).english;
  }

  test::manual_clock time;
};

TEST_F(closing_time_test, without_a_flag_work_may_always_start) {
  const closing_time never = closing({});
  time.advance(1000h);
  EXPECT_EQ(why(never), "");
  EXPECT_FALSE(never.next_look(time.now(), time.unix_now()));
}

TEST_F(closing_time_test, a_deadline_counts_from_the_start) {
  const closing_time five_hours = closing({.deadline = 5h});
  time.advance(5h - 1ms);
  EXPECT_EQ(why(five_hours), "");
  time.advance(1ms);
  EXPECT_EQ(why(five_hours), "the 5h 00m of --deadline are over");
}

TEST_F(closing_time_test, until_is_a_time_of_the_wall_clock) {
  const closing_time morning = closing({.until = time_of_day{6, 0}});
  time.advance(7h + 46min + 39s);
  EXPECT_EQ(why(morning), "");
  time.advance(1s);
  EXPECT_EQ(why(morning), "it is 06:00, and --until lets nothing start after it");
  time.advance(20h);
  EXPECT_NE(why(morning), "") << "the time has come for good";
}

TEST_F(closing_time_test, a_wall_clock_that_is_set_anew_is_followed) {
  const closing_time morning = closing({.until = time_of_day{6, 0}});
  EXPECT_FALSE(morning.why(time.now(), time.unix_now() + 8 * 3600).empty());
  EXPECT_TRUE(morning.why(time.now() + 8h, time.unix_now()).empty());
}

TEST_F(closing_time_test, the_earlier_of_both_counts) {
  EXPECT_EQ(*closing({.until = time_of_day{22, 14}, .deadline = 1h})
                 .next_look(time.now(), time.unix_now()),
            time.now() + 30s)
      << "no look is later than half a minute away, since the wall clock may be set anew";
  EXPECT_EQ(
      *closing({.until = time_of_day{6, 0}, .deadline = 5s}).next_look(time.now(), time.unix_now()),
      time.now() + 5s);
}

TEST_F(closing_time_test, the_watch_closes_once_at_the_time_and_not_before) {
  std::vector<wording> calls;
  closing_watch watch(time, closing({.until = time_of_day{22, 15}}),
                      [&](const wording& why) { calls.push_back(why); });
  time.advance(99s);
  EXPECT_TRUE(calls.empty());
  EXPECT_TRUE(watch.why().empty());
  time.advance(1s);
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(watch.why(), calls.front());
  EXPECT_EQ(watch.why().chinese, "已到 22:15，--until 规定此后不再发出请求");
  time.advance(1h);
  EXPECT_EQ(calls.size(), 1U);
  EXPECT_EQ(time.calls_to_come(), 0U);
}

TEST_F(closing_time_test, a_time_that_is_over_at_the_start_closes_at_once) {
  const closing_time over = closing({.deadline = 1s});
  time.advance(2s);
  int calls = 0;
  const closing_watch watch(time, over, [&](const wording&) { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST_F(closing_time_test, a_watch_that_is_left_calls_nothing) {
  int calls = 0;
  closing_watch watch(time, closing({.deadline = 5s}), [&](const wording&) { ++calls; });
  watch.leave();
  time.advance(1h);
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace sluice::cli
