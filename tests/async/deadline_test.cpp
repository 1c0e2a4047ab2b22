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
  std::string cut;  // by what
  std::optional<deadline> limit;

  deadline_test() {
    limit.emplace(
        time, [this] { cut = limit->name(); }, [this] { return unread; });
    limit->begin(time.now() + 600s, "whole");
  }
};

TEST_F(deadline_test, a_step_that_takes_too_long_is_cut_to_the_moment) {
  limit->set(60s, "step");
  time.advance(59s);
  EXPECT_EQ(cut, "");
  time.advance(1s);
  EXPECT_EQ(cut, "step");
  EXPECT_TRUE(limit->passed());
}

TEST_F(deadline_test, steps_in_time_do_not_move_the_whole) {
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

TEST_F(deadline_test, a_step_begins_anew_behind_a_standstill) {
  limit->set(60s, "step");
  time.advance(1s);
  time.stand_still(10min);
  EXPECT_EQ(cut, "") << "what came meanwhile has not been read yet";
  time.advance(59s);
  EXPECT_EQ(cut, "");
  time.advance(1s);
  EXPECT_EQ(cut, "step") << "silence is silence";
}

TEST_F(deadline_test, the_whole_gets_what_a_standstill_took) {
  time.stand_still(602s);  // the alarm came two seconds late
  EXPECT_EQ(cut, "");
  time.advance(9s);
  EXPECT_EQ(cut, "") << "and time to read what has come";
  time.advance(1s);
  EXPECT_EQ(cut, "whole");
}

TEST_F(deadline_test, a_short_whole_is_no_longer_behind_a_standstill_than_before) {
  limit->begin(time.now() + 2s, "whole");
  time.advance(1s);
  time.stand_still(1min);
  time.advance(1999ms);
  EXPECT_EQ(cut, "");
  time.advance(1ms);
  EXPECT_EQ(cut, "whole");
}

TEST_F(deadline_test, an_alarm_that_falls_due_early_notices_a_standstill_too) {
  limit->set(1s, "connect");
  limit->set(60s, "step");  // the alarm rings after a second all the same
  time.stand_still(50s);
  time.advance(59s);
  EXPECT_EQ(cut, "") << "it begins anew from the end of the standstill";
  time.advance(1s);
  EXPECT_EQ(cut, "step");
}

TEST_F(deadline_test, what_has_arrived_is_read_before_a_cut_once) {
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
    other.set(2s, "step");  // it has been read
  }
  EXPECT_EQ(cut, "");
  time.advance(1s + 2 * deadline::last_look);
  EXPECT_EQ(cut, "other") << "the whole waits once, however much comes";
}

TEST_F(deadline_test, a_little_late_is_no_standstill) {
  limit->set(60s, "step");
  time.stand_still(60s + deadline::standstill);
  EXPECT_EQ(cut, "step");
}

TEST_F(deadline_test, a_lifted_one_cuts_nothing) {
  limit->set(60s, "step");
  limit->lift();
  time.advance(1h);
  time.stand_still(1h);
  EXPECT_EQ(cut, "");
}

}  // namespace
}  // namespace sluice
