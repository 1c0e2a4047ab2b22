#include "simulator/request_window.hpp"

#include <gtest/gtest.h>

#include <array>

namespace sluice::simulator {
namespace {

using namespace std::chrono_literals;

/// A full minute of the clock, where fixed windows begin.
constexpr time_point start{std::chrono::hours(1)};

int admitted_of(request_window& window, int calls, time_point at) {
  int admitted = 0;
  for (int call = 0; call < calls; ++call) admitted += window.admit(at) ? 1 : 0;
  return admitted;
}

TEST(SlidingWindow, AdmitsNInAnySixtySeconds) {
  request_window window(limit_mode::sliding, 3);
  EXPECT_TRUE(window.admit(start));
  EXPECT_TRUE(window.admit(start + 10s));
  EXPECT_TRUE(window.admit(start + 20s));
  EXPECT_FALSE(window.admit(start + 60s - 1ns));
  EXPECT_TRUE(window.admit(start + 60s));
  EXPECT_FALSE(window.admit(start + 60s));
  EXPECT_TRUE(window.admit(start + 70s));
}

TEST(SlidingWindow, DoesNotRecordRefusedCalls) {
  request_window window(limit_mode::sliding, 1);
  EXPECT_TRUE(window.admit(start));
  for (auto at = start + 1s; at < start + 60s; at += 1s) EXPECT_FALSE(window.admit(at));
  EXPECT_TRUE(window.admit(start + 60s));
}

TEST(Bucket, AdmitsABurstAndThenItsRate) {
  request_window window(limit_mode::bucket, 60);
  EXPECT_EQ(admitted_of(window, 100, start), 60);
  EXPECT_EQ(admitted_of(window, 5, start + 999ms), 0);
  EXPECT_EQ(admitted_of(window, 5, start + 1s), 1);
  EXPECT_EQ(admitted_of(window, 100, start + 31s), 30);
  EXPECT_EQ(admitted_of(window, 100, start + 10min), 60);
}

TEST(FixedWindow, BeginsANewCountEachMinuteOfTheClock) {
  request_window window(limit_mode::fixed, 5);
  EXPECT_EQ(admitted_of(window, 9, start + 59s), 5);
  EXPECT_EQ(admitted_of(window, 9, start + 60s), 5);
  EXPECT_EQ(admitted_of(window, 9, start + 119s), 0);
}

TEST(LeakyWindow, AdmitsOneEachInterval) {
  request_window window(limit_mode::leaky, 200);
  EXPECT_EQ(admitted_of(window, 9, start), 1);
  EXPECT_EQ(admitted_of(window, 9, start + 299ms), 0);
  EXPECT_EQ(admitted_of(window, 9, start + 300ms), 1);
  EXPECT_EQ(admitted_of(window, 9, start + 10s), 1);
}

TEST(SlidingWindow, AdmitsAgainAsEachCallOfABurstLeavesTheMinute) {
  request_window window(limit_mode::sliding, 60);
  EXPECT_EQ(admitted_of(window, 100, start), 60);
  EXPECT_EQ(admitted_of(window, 100, start + 59s), 0);
  EXPECT_EQ(admitted_of(window, 40, start + 60s), 40);
  EXPECT_EQ(admitted_of(window, 100, start + 90s), 20);
  EXPECT_EQ(admitted_of(window, 100, start + 120s), 40);
  EXPECT_EQ(admitted_of(window, 100, start + 149s), 0);
  EXPECT_EQ(admitted_of(window, 100, start + 150s), 20);
}

TEST(FixedWindow, AdmitsTwiceItsLimitAcrossAMinutesEnd) {
  request_window window(limit_mode::fixed, 60);
  EXPECT_EQ(admitted_of(window, 100, start + 60s - 1ns), 60);
  EXPECT_EQ(admitted_of(window, 100, start + 60s), 60);
  EXPECT_EQ(admitted_of(window, 100, start + 120s - 1ns), 0);
  EXPECT_EQ(admitted_of(window, 30, start + 120s), 30);
  EXPECT_EQ(admitted_of(window, 100, start + 130s), 30);
}

TEST(LeakyWindow, HasNoBurstAndRefusesEarlyCalls) {
  request_window window(limit_mode::leaky, 60);
  for (auto at = start; at < start + 60s; at += 1s) EXPECT_TRUE(window.admit(at));
  request_window hasty(limit_mode::leaky, 60);
  int admitted = 0;
  for (auto at = start; at < start + 60s; at += 900ms) admitted += hasty.admit(at) ? 1 : 0;
  EXPECT_EQ(admitted, 34) << "every second call: the others come 0.9 s after an admitted one";
}

/// For three minutes, a client sends three times as many calls as allowed. Checks the number of
/// admitted calls in each minute.
TEST(RequestWindow, EachModeAdmitsItsOwnNumberOverTime) {
  constexpr int per_minute = 60;
  struct row {
    limit_mode mode;
    std::array<int, 3> admitted;
    const char* why;
  };
  for (const auto& [mode, expected, why] : {
           row{limit_mode::sliding, {60, 60, 60}, "never more than the limit in any minute"},
           row{limit_mode::bucket, {119, 60, 60}, "the full bucket and what refills it meanwhile"},
           row{limit_mode::fixed, {60, 60, 60}, "the limit in each minute of the clock"},
           row{limit_mode::leaky, {60, 60, 60}, "one a second"},
       }) {
    request_window window(mode, per_minute);
    std::array<int, 3> admitted{};
    for (int call = 0; call < 3 * 180; ++call)
      admitted[static_cast<std::size_t>(call / 180)] +=
          window.admit(start + call * std::chrono::nanoseconds(60s) / 180) ? 1 : 0;
    EXPECT_EQ(admitted, expected) << why;
  }
}

TEST(RequestWindow, ZeroIsNoLimit) {
  for (const auto mode :
       {limit_mode::sliding, limit_mode::bucket, limit_mode::fixed, limit_mode::leaky}) {
    request_window window(mode, 0);
    EXPECT_EQ(admitted_of(window, 1000, start), 1000);
  }
}

TEST(ArrivalMeter, FindsTheMaximumInAnyMinute) {
  arrival_meter meter;
  meter.record(start);
  for (int count = 0; count < 3; ++count) meter.record(start + 30s);
  EXPECT_EQ(meter.max_in_60s(), 4U);
  meter.record(start + 60s);
  EXPECT_EQ(meter.max_in_60s(), 4U) << "the first one is 60 s old, so no minute contains both";
  meter.record(start + 90s - 1ns);
  EXPECT_EQ(meter.max_in_60s(), 5U);
  meter.record(start + 10min);
  EXPECT_EQ(meter.max_in_60s(), 5U);
}

TEST(LimitMode, IsReadByName) {
  EXPECT_EQ(parse_limit_mode("leaky"), limit_mode::leaky);
  EXPECT_FALSE(parse_limit_mode("Sliding"));
}

}  // namespace
}  // namespace sluice::simulator
