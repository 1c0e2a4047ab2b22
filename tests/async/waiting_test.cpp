// sleeper and wait_queue: where coroutines wait.
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include "async/sleeper.hpp"
#include "async/wait_queue.hpp"
#include "support/manual_clock.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

struct waiting : testing::Test {
  test::manual_clock time;
  std::vector<int> woken;
  std::vector<int> cancelled;
  asio::io_context loop{1};

  static void poll(asio::io_context& one) {
    one.restart();
    while (one.poll() > 0) {
    }
  }
  void poll() { poll(loop); }

  // Begins to wait on a loop, and notes whether the wait returns or throws. The coroutine can be
  // cancelled by the signal.
  template <typename Wait>
  void begin(asio::io_context& on, int name, Wait wait, asio::cancellation_signal* end = nullptr) {
    asio::co_spawn(
        on,
        [this, name, wait]() -> asio::awaitable<void> {
          co_await wait();
          woken.push_back(name);
        },
        asio::bind_cancellation_slot(
            end == nullptr ? asio::cancellation_slot() : end->slot(),
            [this, name](const std::exception_ptr& thrown) { note(name, thrown); }));
    poll(on);
  }
  void note(int name, const std::exception_ptr& thrown) {
    if (!thrown) return;
    try {
      std::rethrow_exception(thrown);
    } catch (const boost::system::system_error& error) {
      EXPECT_EQ(error.code(), asio::error::operation_aborted);
      cancelled.push_back(name);
    }
  }
};

struct sleeper_test : waiting {
  sleeper sleeps{time};

  void sleep(int name, duration length) { sleep(loop, sleeps, name, length); }
  void sleep(asio::io_context& on, sleeper& in, int name, duration length,
             asio::cancellation_signal* end = nullptr) {
    begin(
        on, name, [&in, until = time.now() + length] { return in.sleep_until(until); }, end);
  }
};

TEST_F(sleeper_test, end_in_the_order_of_their_times) {
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

TEST_F(sleeper_test, do_not_end_early) {
  sleep(1, 10s);
  time.advance(10s - 1ns);
  poll();
  EXPECT_TRUE(woken.empty());
  time.advance(1ns);
  poll();
  EXPECT_EQ(woken, (std::vector{1}));
}

TEST_F(sleeper_test, wake_all_ends_those_under_way_and_those_to_come) {
  sleep(1, 1h);
  sleep(2, 2h);
  sleeps.wake_all();
  poll();
  EXPECT_EQ(woken, (std::vector{1, 2}));
  EXPECT_EQ(time.calls_to_come(), 0U);
  sleep(3, 3h);
  EXPECT_EQ(woken, (std::vector{1, 2, 3}));
}

TEST_F(sleeper_test, a_sleeper_that_is_destroyed_takes_its_alarm_back) {
  auto other = std::make_unique<asio::io_context>(1);
  sleep(*other, sleeps, 1, 10s);
  sleep(2, 20s);
  other.reset();
  EXPECT_EQ(time.calls_to_come(), 1U);
  time.advance(10s);  // nothing rings for it
  sleeps.wake_all();
  poll();
  EXPECT_EQ(woken, (std::vector{2}));
}

TEST_F(sleeper_test, a_sleeper_that_is_cancelled_leaves) {
  asio::cancellation_signal end;
  sleep(loop, sleeps, 1, 10s, &end);
  sleep(2, 20s);
  end.emit(asio::cancellation_type::terminal);
  poll();
  EXPECT_EQ(cancelled, (std::vector{1}));
  EXPECT_EQ(time.calls_to_come(), 1U);
  time.advance(20s);
  poll();
  EXPECT_EQ(woken, (std::vector{2}));
}

TEST_F(sleeper_test, sleepers_outlive_what_they_sleep_in) {
  auto gone = std::make_unique<sleeper>(time);
  asio::cancellation_signal end;
  sleep(loop, *gone, 1, 10s, &end);
  sleep(loop, *gone, 2, 10s);
  gone.reset();
  EXPECT_EQ(time.calls_to_come(), 0U);
  time.advance(10s);
  poll();
  EXPECT_TRUE(woken.empty()) << "what they would go on with may be gone as well";
  end.emit(asio::cancellation_type::terminal);
  poll();
  EXPECT_EQ(cancelled, (std::vector{1}));
}

struct wait_queue_test : waiting {
  wait_queue line;
  wait_queue other_line;
  std::unique_ptr<asio::io_context> other = std::make_unique<asio::io_context>(1);
  asio::cancellation_signal end;

  void wait(int name) { wait(loop, name); }
  void wait(asio::io_context& on, int name, asio::cancellation_signal* cancel = nullptr) {
    begin(
        on, name, [this] { return line.wait(); }, cancel);
  }
  void wait_in_both(asio::io_context& on, int name, asio::cancellation_signal* cancel = nullptr) {
    begin(
        on, name, [this] { return wait_queue::wait_in_both(line, other_line); }, cancel);
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

TEST_F(wait_queue_test, who_is_put_first_is_woken_first) {
  wait(1);
  begin(loop, 2, [this] { return line.wait(true); });
  line.wake_one();
  poll();
  EXPECT_EQ(woken, (std::vector{2}));
  line.wake_all();
  poll();
}

TEST_F(wait_queue_test, a_waiter_that_is_destroyed_leaves) {
  wait(*other, 1);
  wait(2);
  wait(*other, 3);
  other.reset();
  EXPECT_EQ(line.size(), 1U);
  line.wake_one();
  poll();
  EXPECT_EQ(woken, (std::vector{2}));
  line.wake_all();
}

TEST_F(wait_queue_test, a_waiter_that_is_cancelled_leaves) {
  wait(loop, 1, &end);
  wait(2);
  end.emit(asio::cancellation_type::terminal);
  poll();
  EXPECT_EQ(cancelled, (std::vector{1}));
  EXPECT_EQ(line.size(), 1U);
  line.wake_one();
  poll();
  EXPECT_EQ(woken, (std::vector{2}));
}

TEST_F(wait_queue_test, a_wake_up_that_was_not_taken_is_handed_on) {
  wait(*other, 1);
  wait(2);
  wait(3);
  line.wake_one();
  EXPECT_EQ(line.size(), 2U);
  other.reset();  // before its waiter has gone on
  EXPECT_EQ(line.size(), 1U);
  poll();
  EXPECT_EQ(woken, (std::vector{2}));
  line.wake_all();
  poll();
}

TEST_F(wait_queue_test, a_wake_up_that_met_a_cancelled_waiter_is_handed_on) {
  wait(loop, 1, &end);
  wait(2);
  asio::post(loop, [this] {
    line.wake_one();
    end.emit(asio::cancellation_type::terminal);
  });
  poll();
  EXPECT_EQ(cancelled, (std::vector{1}));
  EXPECT_EQ(woken, (std::vector{2}));
}

TEST_F(wait_queue_test, a_cancelled_waiter_that_was_to_be_woken_next_takes_nothing_with_it) {
  wait(loop, 1, &end);
  wait(2);
  asio::post(loop, [this] {
    end.emit(asio::cancellation_type::terminal);
    line.wake_one();  // before the cancelled one has gone on
  });
  poll();
  EXPECT_EQ(cancelled, (std::vector{1}));
  EXPECT_EQ(woken, (std::vector{2}));
}

TEST_F(wait_queue_test, nobody_who_comes_later_gets_a_wake_up_that_was_for_all) {
  wait(*other, 1);
  line.wake_all();
  wait(2);
  other.reset();
  poll();
  EXPECT_TRUE(woken.empty());
  EXPECT_EQ(line.size(), 1U);
  line.wake_all();
  poll();
}

TEST_F(wait_queue_test, waiters_outlive_the_line) {
  auto gone = std::make_unique<wait_queue>();
  begin(
      loop, 1, [&gone] { return gone->wait(); }, &end);
  begin(*other, 2, [&gone] { return gone->wait(); });
  begin(*other, 3, [&gone] { return gone->wait(); });
  gone->wake_one();
  gone.reset();
  poll();
  poll(*other);
  EXPECT_EQ(woken, (std::vector{1})) << "who had been woken goes on, nobody else does";
  other.reset();
}

TEST_F(wait_queue_test, who_waits_in_both_lines_is_woken_by_either_and_leaves_both) {
  for (wait_queue* by : {&line, &other_line}) {
    woken.clear();
    wait_in_both(loop, 1);
    EXPECT_EQ(line.size(), 1U);
    EXPECT_EQ(other_line.size(), 1U);
    by->wake_one();
    poll();
    EXPECT_EQ(woken, (std::vector{1}));
    EXPECT_EQ(line.size(), 0U);
    EXPECT_EQ(other_line.size(), 0U);
  }
}

TEST_F(wait_queue_test, who_waits_in_both_lines_hands_on_what_it_did_not_take) {
  wait_in_both(*other, 1);
  wait(2);
  begin(loop, 3, [this] { return other_line.wait(); });
  line.wake_one();
  other_line.wake_one();
  other.reset();
  poll();
  EXPECT_EQ(woken.size(), 2U);

  woken.clear();
  wait_in_both(loop, 4, &end);
  end.emit(asio::cancellation_type::terminal);
  poll();
  EXPECT_EQ(cancelled, (std::vector{4}));
  EXPECT_EQ(line.size(), 0U);
  EXPECT_EQ(other_line.size(), 0U);
}

// Where a coroutine has asked not to be thrown at, an old cancellation is none of a later wait.
TEST_F(wait_queue_test, a_cancellation_that_was_passed_over_does_not_end_the_next_wait) {
  begin(
      loop, 1,
      [this]() -> asio::awaitable<void> {
        co_await asio::this_coro::throw_if_cancelled(false);
        try {
          co_await line.wait();
        } catch (const boost::system::system_error&) {
          cancelled.push_back(1);
        }
        co_await line.wait();
      },
      &end);
  end.emit(asio::cancellation_type::terminal);
  poll();
  EXPECT_EQ(cancelled, (std::vector{1}));
  EXPECT_TRUE(woken.empty());
  line.wake_one();
  poll();
  EXPECT_EQ(woken, (std::vector{1}));
}

}  // namespace
}  // namespace sluice
