// Tests of sleeper and wait_queue.
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

  // Starts a wait on a loop, and records whether the wait returns or throws. `end` can cancel it.
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

TEST_F(sleeper_test, sleeps_end_in_the_order_of_their_times) {
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

TEST_F(sleeper_test, sleeps_do_not_end_early) {
  sleep(1, 10s);
  time.advance(10s - 1ns);
  poll();
  EXPECT_TRUE(woken.empty());
  time.advance(1ns);
  poll();
  EXPECT_EQ(woken, (std::vector{1}));
}

TEST_F(sleeper_test, wake_all_ends_current_and_later_sleeps) {
  sleep(1, 1h);
  sleep(2, 2h);
  sleeps.wake_all();
  poll();
  EXPECT_EQ(woken, (std::vector{1, 2}));
  EXPECT_EQ(time.calls_to_come(), 0U);
  sleep(3, 3h);
  EXPECT_EQ(woken, (std::vector{1, 2, 3}));
}

TEST_F(sleeper_test, a_destroyed_coroutine_cancels_its_alarm) {
  auto other = std::make_unique<asio::io_context>(1);
  sleep(*other, sleeps, 1, 10s);
  sleep(2, 20s);
  other.reset();
  EXPECT_EQ(time.calls_to_come(), 1U);
  time.advance(10s);  // the cancelled alarm must not come
  sleeps.wake_all();
  poll();
  EXPECT_EQ(woken, (std::vector{2}));
}

TEST_F(sleeper_test, a_cancelled_coroutine_leaves) {
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

TEST_F(sleeper_test, coroutines_may_outlive_the_sleeper) {
  auto gone = std::make_unique<sleeper>(time);
  asio::cancellation_signal end;
  sleep(loop, *gone, 1, 10s, &end);
  sleep(loop, *gone, 2, 10s);
  gone.reset();
  EXPECT_EQ(time.calls_to_come(), 0U);
  time.advance(10s);
  poll();
  EXPECT_TRUE(woken.empty()) << "objects that they would use may be destroyed too";
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
  EXPECT_EQ(line.size(), 2U) << "a waiter that was woken no longer counts";
  poll();
  EXPECT_EQ(woken, (std::vector{1}));
  line.wake_all();
  poll();
  EXPECT_EQ(woken, (std::vector{1, 2, 3}));
  EXPECT_TRUE(loop.stopped());
}

TEST_F(wait_queue_test, waking_without_a_waiter_has_no_effect_later) {
  line.wake_one();
  line.wake_all();
  wait(1);
  EXPECT_TRUE(woken.empty());
  line.wake_all();
  poll();
}

TEST_F(wait_queue_test, a_waiter_at_the_head_is_woken_first) {
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

TEST_F(wait_queue_test, a_wake_up_that_was_not_used_goes_to_the_next_waiter) {
  wait(*other, 1);
  wait(2);
  wait(3);
  line.wake_one();
  EXPECT_EQ(line.size(), 2U);
  other.reset();  // destroyed before its waiter has resumed
  EXPECT_EQ(line.size(), 1U);
  poll();
  EXPECT_EQ(woken, (std::vector{2}));
  line.wake_all();
  poll();
}

TEST_F(wait_queue_test, a_wake_up_of_a_cancelled_waiter_goes_to_the_next_waiter) {
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

TEST_F(wait_queue_test, a_cancelled_waiter_does_not_use_the_next_wake_up) {
  wait(loop, 1, &end);
  wait(2);
  asio::post(loop, [this] {
    end.emit(asio::cancellation_type::terminal);
    line.wake_one();  // before the cancelled waiter has resumed
  });
  poll();
  EXPECT_EQ(cancelled, (std::vector{1}));
  EXPECT_EQ(woken, (std::vector{2}));
}

TEST_F(wait_queue_test, wake_all_does_not_wake_later_waiters) {
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

TEST_F(wait_queue_test, waiters_may_outlive_the_queue) {
  auto gone = std::make_unique<wait_queue>();
  begin(
      loop, 1, [&gone] { return gone->wait(); }, &end);
  begin(*other, 2, [&gone] { return gone->wait(); });
  begin(*other, 3, [&gone] { return gone->wait(); });
  gone->wake_one();
  gone.reset();
  poll();
  poll(*other);
  EXPECT_EQ(woken, (std::vector{1})) << "only the waiter that was woken resumes";
  other.reset();
}

TEST_F(wait_queue_test, a_waiter_in_both_queues_is_woken_by_either_and_leaves_both) {
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

TEST_F(wait_queue_test, a_waiter_in_both_queues_passes_on_an_unused_wake_up) {
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

// If a coroutine has turned off exceptions for cancellation, an earlier cancellation must not end a
// later wait.
TEST_F(wait_queue_test, a_handled_cancellation_does_not_end_the_next_wait) {
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
