#include "cli/graceful_stop.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <utility>

#include "support/manual_clock.hpp"

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;

// Work on an event loop, with signals that this process sends to itself.
struct graceful_stop_test : testing::Test {
  void send(int signal) {
    std::raise(signal);
    for (int i = 0; i < 3; ++i) loop.poll();  // the loop reads the signal from a pipe first
  }

  std::string calls;
  boost::asio::io_context loop;
  test::manual_clock time;
  graceful_stop ending{loop,
                       time,
                       30s,
                       {.stop = [this] { calls += "stop;"; },
                        .abort = [this] { calls += "abort;"; },
                        .in_flight = [] { return 3U; }}};
};

TEST_F(graceful_stop_test, the_first_signal_stops_and_the_end_of_the_grace_period_aborts) {
  send(SIGTERM);
  EXPECT_EQ(calls, "stop;");
  EXPECT_TRUE(ending.interrupted());
  time.advance(29s);
  EXPECT_EQ(calls, "stop;");
  time.advance(1s);
  EXPECT_EQ(calls, "stop;abort;");
}

TEST_F(graceful_stop_test, work_that_ends_within_the_grace_period_is_not_aborted) {
  send(SIGTERM);
  ending.leave();
  time.advance(1min);
  EXPECT_EQ(calls, "stop;");
  loop.run();  // returns, because no work is left
}

TEST_F(graceful_stop_test, a_stop_without_a_signal_has_one_grace_period) {
  ending.stop();
  time.advance(20s);
  ending.stop();
  time.advance(10s);
  EXPECT_EQ(calls, "stop;stop;abort;");
  EXPECT_FALSE(ending.interrupted());
}

TEST_F(graceful_stop_test, counts_what_is_abandoned_and_the_time_that_is_left) {
  EXPECT_FALSE(ending.seconds_left());
  send(SIGTERM);
  EXPECT_EQ(ending.seconds_left(), 30);
  time.advance(12s);
  EXPECT_EQ(ending.seconds_left(), 18);
  EXPECT_EQ(ending.abandoned(), 0U);
  time.advance(18s);
  EXPECT_EQ(ending.abandoned(), 3U);
  EXPECT_EQ(ending.seconds_left(), 0);
}

TEST_F(graceful_stop_test, a_signal_decides_the_exit_status_of_work_that_could_start) {
  const std::pair<exit_status, exit_status> rows[] = {{success, interrupted},
                                                      {some_failed, interrupted},
                                                      {stopped, interrupted},
                                                      {cannot_start, cannot_start},
                                                      {results_lost, results_lost}};
  for (const auto& [ended, expected] : rows) EXPECT_EQ(ending.status(ended), ended);
  send(SIGTERM);
  for (const auto& [ended, expected] : rows) EXPECT_EQ(ending.status(ended), expected) << ended;
}

}  // namespace
}  // namespace sluice::cli
