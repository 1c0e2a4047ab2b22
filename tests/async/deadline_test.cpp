#include "async/deadline.hpp"

#include <gmock/gmock.h>

#include <optional>
#include <string>

#include "support/manual_clock.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;

struct deadline_test : testing::Test {
  test::manual_clock time;
  bool unread = false;
  std::string cut;  // name of the timeout that expired
  std::optional<deadline> limit;

  deadline_test() {
    limit.emplace(
        time, [this] { cut = limit->name(); }, [this] { return unread; });
    limit->begin(time.now() + 600s, "whole");
  }
};

TEST_F(deadline_test, a_step_that_takes_too_long_is_cut_exactly_on_time) {
  limit->set(60s, "step");
  time.advance(59s);
  EXPECT_EQ(cut, "");
  time.advance(1s);
  EXPECT_EQ(cut, "step");
  EXPECT_TRUE(limit->passed());
}

TEST_F(deadline_test, steps_that_end_in_time_do_not_extend_the_whole) {
  for (int i = 0; i < 11; ++i) {
    limit->set(60s, "step");
    time.advance(50s);
  }
  limit->set(60s, "step");
  time.advance(49s);
  EXPECT_EQ(cut, "");
  time.advance(1s);
  EXPECT_EQ(cut, "whole");
}

TEST_F(deadline_test, a_step_starts_again_after_a_standstill) {
  limit->set(60s, "step");
  time.advance(1s);
  time.stand_still(10min);
  EXPECT_EQ(cut, "") << "data that arrived meanwhile has not been read yet";
  time.advance(59s);
  EXPECT_EQ(cut, "");
  time.advance(1s);
  EXPECT_EQ(cut, "step") << "after the standstill, silence counts again";
}

TEST_F(deadline_test, the_whole_is_extended_by_the_time_of_a_standstill) {
  time.stand_still(602s);  // the alarm came two seconds late
  EXPECT_EQ(cut, "");
  time.advance(9s);
  EXPECT_EQ(cut, "") << "there is time to read data that has arrived";
  time.advance(1s);
  EXPECT_EQ(cut, "whole");
}

TEST_F(deadline_test, after_a_standstill_a_short_whole_gets_at_most_its_full_timeout) {
  limit->begin(time.now() + 2s, "whole");
  time.advance(1s);
  time.stand_still(1min);
  time.advance(1999ms);
  EXPECT_EQ(cut, "");
  time.advance(1ms);
  EXPECT_EQ(cut, "whole");
}

TEST_F(deadline_test, an_early_alarm_also_detects_a_standstill) {
  limit->set(1s, "connect");
  limit->set(60s, "step");  // the alarm still comes after one second
  time.stand_still(50s);
  time.advance(59s);
  EXPECT_EQ(cut, "") << "the step starts again at the end of the standstill";
  time.advance(1s);
  EXPECT_EQ(cut, "step");
}

TEST_F(deadline_test, data_that_has_arrived_delays_the_cut_once) {
  limit->set(60s, "step");
  unread = true;
  time.advance(60s);
  EXPECT_EQ(cut, "");
  time.advance(deadline::last_look);
  EXPECT_EQ(cut, "step") << "nobody has read it";

  cut.clear();
  deadline other(
      time, [&] { cut = "other"; }, [] { return true; });
  other.begin(time.now() + 10s, "whole");
  for (int i = 0; i < 9; ++i) {
    other.set(1s, "step");
    time.advance(1s);
    other.set(2s, "step");  // the data has been read
  }
  EXPECT_EQ(cut, "");
  time.advance(1s + 2 * deadline::last_look);
  EXPECT_EQ(cut, "other") << "the whole is delayed only once, even if more data arrives";
}

TEST_F(deadline_test, a_small_delay_is_not_a_standstill) {
  limit->set(60s, "step");
  time.stand_still(60s + deadline::standstill);
  EXPECT_EQ(cut, "step");
}

TEST_F(deadline_test, a_lifted_deadline_cuts_nothing) {
  limit->set(60s, "step");
  limit->lift();
  time.advance(1h);
  time.stand_still(1h);
  EXPECT_EQ(cut, "");
}

}  // namespace
}  // namespace sluice
