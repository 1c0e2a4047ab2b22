// naps and wait_queue: where coroutines wait.
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <vector>

#include "async/naps.hpp"
#include "async/wait_queue.hpp"
#include "support/manual_clock.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

struct waiting : testing::Test {
  asio::io_context loop{1};
  test::manual_clock time;
  std::vector<int> woken;

  void poll() {
    loop.restart();
    while (loop.poll() > 0) {
    }
  }
};

struct naps_test : waiting {
  naps sleeps{time};

  void sleep(int name, duration length) {
    asio::co_spawn(
        loop,
        [this, name, length]() -> asio::awaitable<void> {
          co_await sleeps.sleep_until(time.now() + length);
          woken.push_back(name);
        },
        asio::detached);
    poll();
  }
};

TEST_F(naps_test, end_in_the_order_of_their_times) {
  sleep(1, 30s);
  sleep(2, 10s);
  sleep(3, 20s);
  EXPECT_TRUE(woken.empty());
  test::run_virtual(loop, time, [&] { return woken.size() == 3; });
  EXPECT_EQ(woken, (std::vector{2, 3, 1}));
  poll();
  EXPECT_TRUE(loop.stopped());
  EXPECT_EQ(time.calls_to_come(), 0U);
}

TEST_F(naps_test, do_not_end_early) {
  sleep(1, 10s);
  time.advance(10s - 1ns);
  poll();
  EXPECT_TRUE(woken.empty());
  time.advance(1ns);
  poll();
  EXPECT_EQ(woken, (std::vector{1}));
}

TEST_F(naps_test, wake_all_ends_those_under_way_and_those_to_come) {
  sleep(1, 1h);
  sleep(2, 2h);
  sleeps.wake_all();
  poll();
  EXPECT_EQ(woken, (std::vector{1, 2}));
  EXPECT_EQ(time.calls_to_come(), 0U);
  sleep(3, 3h);
  EXPECT_EQ(woken, (std::vector{1, 2, 3}));
}

struct wait_queue_test : waiting {
  wait_queue line;

  void wait(int name) {
    asio::co_spawn(
        loop,
        [this, name]() -> asio::awaitable<void> {
          co_await line.wait();
          woken.push_back(name);
        },
        asio::detached);
    poll();
  }
};

TEST_F(wait_queue_test, is_first_come_first_served) {
  for (int name : {1, 2, 3}) wait(name);
  EXPECT_EQ(line.size(), 3U);
  line.wake_one();
  EXPECT_EQ(line.size(), 2U) << "who was called no longer waits";
  poll();
  EXPECT_EQ(woken, (std::vector{1}));
  line.wake_all();
  poll();
  EXPECT_EQ(woken, (std::vector{1, 2, 3}));
  EXPECT_TRUE(loop.stopped());
}

TEST_F(wait_queue_test, waking_nobody_is_nothing_and_is_not_kept) {
  line.wake_one();
  line.wake_all();
  wait(1);
  EXPECT_TRUE(woken.empty());
  line.wake_all();
  poll();
}

}  // namespace
}  // namespace sluice
