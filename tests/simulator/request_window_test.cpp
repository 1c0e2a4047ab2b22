#include "simulator/request_window.hpp"

#include <gtest/gtest.h>

namespace sluice::simulator {
namespace {

using namespace std::chrono_literals;

/// A whole minute of the clock: fixed windows begin here.
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

TEST(RequestWindow, ZeroIsNoLimit) {
  for (const auto mode :
       {limit_mode::sliding, limit_mode::bucket, limit_mode::fixed, limit_mode::leaky}) {
    request_window window(mode, 0);
    EXPECT_EQ(admitted_of(window, 1000, start), 1000);
  }
}

TEST(ArrivalMeter, FindsTheFullestMinute) {
  arrival_meter meter;
  meter.record(start);
  for (int count = 0; count < 3; ++count) meter.record(start + 30s);
  EXPECT_EQ(meter.max_in_60s(), 4U);
  meter.record(start + 60s);
  EXPECT_EQ(meter.max_in_60s(), 4U) << "the first is 60 s old: no minute holds both";
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
