#include "upstream/start_gate.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <map>
#include <numeric>
#include <optional>
#include <vector>

#include "support/manual_clock.hpp"
#include "support/refusing_limit.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

struct start_gate_test : testing::Test {
  asio::io_context loop{1};
  test::manual_clock time;
  std::vector<int> entered;
  std::vector<int> turned_away;
  std::map<int, start_gate::permit> held;

  void poll() {
    loop.restart();
    while (loop.poll() > 0) {
    }
  }
  void enter(start_gate& gate, int name, start_gate::group* of = nullptr) {
    begin(loop, gate, name, of);
    poll();
  }
  void begin(asio::io_context& on, start_gate& gate, int name, start_gate::group* of = nullptr) {
    asio::co_spawn(
        on,
        [this, &gate, name, of]() -> asio::awaitable<void> {
          // Not a conditional expression: GCC 12 would start both coroutines.
          std::optional<start_gate::permit> turn;
          if (of != nullptr) {
            turn = co_await gate.enter(*of);
          } else {
            turn = co_await gate.enter();
          }
          if (turn) {
            entered.push_back(name);
            held.emplace(name, *turn);
          } else {
            turned_away.push_back(name);
          }
        },
        asio::detached);
  }
  // Makes a complete attempt that takes no time.
  void make(start_gate& gate, int name) {
    gate.sent(held.at(name));
    gate.answered(held.at(name));
    leave(gate, name);
  }
  void leave(start_gate& gate, int name, bool sent_nothing = false) {
    gate.leave(held.at(name), sent_nothing);
    poll();
  }
  void advance(duration by) {
    time.advance(by);
    poll();
  }
  void clear_out(start_gate& gate) {
    gate.close();
    poll();
    EXPECT_TRUE(loop.stopped()) << "a coroutine still waits";
  }
};

TEST_F(start_gate_test, starts_as_many_attempts_as_the_concurrency) {
  start_gate gate(time, {0, 1s, pacing::burst}, 2);
  for (int name : {1, 2, 3, 4}) enter(gate, name);
  EXPECT_EQ(entered, (std::vector{1, 2}));
  auto status = gate.now();
  EXPECT_EQ(status.in_flight, 2U);
  EXPECT_EQ(status.waiting, 2U);
  EXPECT_TRUE(status.full);
  EXPECT_FALSE(status.next_start);
  make(gate, 2);
  EXPECT_EQ(entered, (std::vector{1, 2, 3}));
  make(gate, 1);
  make(gate, 3);
  EXPECT_EQ(entered, (std::vector{1, 2, 3, 4}));
  make(gate, 4);
  EXPECT_EQ(gate.now().in_flight, 0U);
  EXPECT_TRUE(loop.stopped());
}

TEST_F(start_gate_test, concurrency_zero_means_no_limit) {
  start_gate gate(time, {0, 1s, pacing::burst}, 0);
  for (int name = 0; name < 1000; ++name) enter(gate, name);
  EXPECT_EQ(entered.size(), 1000U);
}

TEST_F(start_gate_test, the_window_serves_first_come_first_served) {
  start_gate gate(time, {2, 1s, pacing::burst}, 64);
  for (int name : {1, 2}) {
    enter(gate, name);
    make(gate, name);
  }
  for (int name : {3, 4, 5}) enter(gate, name);
  EXPECT_EQ(entered.size(), 2U);
  const auto status = gate.now();
  EXPECT_FALSE(status.full);
  ASSERT_TRUE(status.next_start);
  EXPECT_NEAR(std::chrono::duration<double>(*status.next_start - time.now()).count(), 60, 0.1);
  advance(*status.next_start - time.now());
  EXPECT_EQ(entered, (std::vector{1, 2, 3, 4}));
  for (int name : {3, 4}) make(gate, name);
  advance(61s);
  EXPECT_EQ(entered, (std::vector{1, 2, 3, 4, 5}));
}

TEST_F(start_gate_test, a_new_attempt_does_not_pass_waiting_ones) {
  start_gate gate(time, {0, 1s, pacing::burst}, 1);
  enter(gate, 1);
  enter(gate, 2);
  asio::co_spawn(
      loop,
      [&]() -> asio::awaitable<void> {
        gate.leave(held.at(1), false);  // waiter 2 gets the turn, and has not resumed yet
        const auto turn = co_await gate.enter();
        if (turn) entered.push_back(3);
      },
      asio::detached);
  poll();
  EXPECT_EQ(entered, (std::vector{1, 2}));
  leave(gate, 2);
  EXPECT_EQ(entered, (std::vector{1, 2, 3}));
}

TEST_F(start_gate_test, an_attempt_that_sent_nothing_frees_its_slot) {
  start_gate gate(time, {1, 1s, pacing::burst}, 64);
  enter(gate, 1);
  enter(gate, 2);
  leave(gate, 1, true);
  EXPECT_EQ(entered, (std::vector{1, 2}));
  clear_out(gate);
}

TEST_F(start_gate_test, an_attempt_that_sent_nothing_is_not_counted) {
  start_gate gate(time, {3, 1s, pacing::burst}, 64);
  for (int name = 0; name < 9; ++name) {
    enter(gate, name);
    leave(gate, name, true);
  }
  for (int name = 10; name < 13; ++name) {
    enter(gate, name);
    make(gate, name);
  }
  EXPECT_EQ(gate.now().started_last_minute, 3U);
  EXPECT_EQ(gate.now().most_in_a_minute, 3U);
}

TEST_F(start_gate_test, the_slot_of_a_request_that_was_cut_while_sending_is_freed_later) {
  start_gate gate(time, {1, 1s, pacing::burst}, 64);
  enter(gate, 1);
  advance(5s);
  leave(gate, 1, false);  // some bytes were sent, but sent() was never called
  enter(gate, 2);
  EXPECT_EQ(entered, (std::vector{1})) << "the relay may have counted it";
  advance(59s);
  EXPECT_EQ(entered, (std::vector{1}));
  advance(3s);
  EXPECT_EQ(entered, (std::vector{1, 2}));
  clear_out(gate);
}

TEST_F(start_gate_test, a_pause_applies_to_everyone) {
  start_gate gate(time, {0, 1s, pacing::burst}, 64);
  gate.pause(time.now() + 30s);
  for (int name : {1, 2}) enter(gate, name);
  EXPECT_TRUE(entered.empty());
  EXPECT_EQ(gate.now().next_start, time.now() + 30s);
  gate.pause(time.now() + 40s);
  advance(30s);
  EXPECT_TRUE(entered.empty()) << "the pause was extended meanwhile";
  advance(10s);
  EXPECT_EQ(entered, (std::vector{1, 2}));
}

TEST_F(start_gate_test, a_permit_says_whether_the_limit_or_a_pause_held_the_attempt) {
  start_gate gate(time, {3, 1s, pacing::burst}, 2);
  for (int name : {1, 2, 3, 4, 5}) enter(gate, name);
  for (int name : {1, 2}) make(gate, name);
  EXPECT_EQ(entered, (std::vector{1, 2, 3})) << "3 waited for a place, 4 and 5 for the limit";
  for (int name : {1, 2, 3}) EXPECT_FALSE(held.at(name).held) << name;
  make(gate, 3);
  advance(62s);
  for (int name : {4, 5}) EXPECT_TRUE(held.at(name).held) << name;
  for (int name : {4, 5}) make(gate, name);
  advance(62s);
  enter(gate, 6);
  EXPECT_FALSE(held.at(6).held) << "nothing waited";
  gate.pause(time.now() + 30s);
  for (int name : {7, 8, 9}) enter(gate, name);
  advance(30s);
  EXPECT_TRUE(held.at(7).held);
  make(gate, 6);
  EXPECT_FALSE(held.at(8).held) << "the pause was over before, and then it waited for a place";
  make(gate, 7);
  make(gate, 8);
  clear_out(gate);
}

TEST_F(start_gate_test, the_status_names_the_cause_of_a_wait) {
  start_gate gate(time, {2, 1s, pacing::burst}, 64);
  for (int name : {1, 2}) {
    enter(gate, name);
    make(gate, name);
  }
  enter(gate, 3);
  EXPECT_EQ(gate.now().cause, wait_cause::limit);
  gate.pause(time.now() + 90s);
  EXPECT_EQ(gate.now().cause, wait_cause::pause);
  EXPECT_FALSE(gate.now().by_others);
  gate.rest(time.now() + 100s);
  EXPECT_EQ(gate.now().cause, wait_cause::unreachable);
  EXPECT_EQ(gate.now().next_start, time.now() + 100s);
  advance(99s);
  EXPECT_EQ(entered, (std::vector{1, 2}));
  advance(1s);
  EXPECT_EQ(entered, (std::vector{1, 2, 3}));
  EXPECT_EQ(gate.now().cause, wait_cause::none);
  start_gate spread(time, {0, 1s, pacing::burst}, 64);
  spread.space(10s);
  enter(spread, 4);
  enter(spread, 5);
  EXPECT_EQ(spread.now().cause, wait_cause::pacing);
  clear_out(spread);
}

TEST_F(start_gate_test, a_higher_limit_lets_waiters_start_at_once) {
  start_gate gate(time, {2, 1s, pacing::burst}, 64);
  for (int name : {1, 2, 3, 4, 5}) {
    enter(gate, name);
    if (held.contains(name)) make(gate, name);
  }
  EXPECT_EQ(entered.size(), 2U);
  gate.set_limits(0, 4, 0);
  poll();
  EXPECT_EQ(entered.size(), 4U) << "the starts before count for the new limit, too";
  for (int name : {3, 4}) make(gate, name);
  gate.set_limits(0, 0, 0);
  poll();
  EXPECT_EQ(entered.size(), 5U);
}

TEST_F(start_gate_test, a_lower_limit_counts_earlier_starts) {
  start_gate gate(time, {4, 1s, pacing::burst}, 64);
  for (int name : {1, 2, 3}) {
    enter(gate, name);
    make(gate, name);
  }
  gate.set_limits(0, 2, 0);
  enter(gate, 4);
  EXPECT_EQ(entered.size(), 3U);
  advance(59s);
  EXPECT_EQ(entered.size(), 3U);
  advance(2s);
  EXPECT_EQ(entered.size(), 4U);
}

TEST_F(start_gate_test, even_pacing_follows_a_new_limit) {
  start_gate gate(time, {1, 1s, pacing::even}, 64);
  for (int name : {1, 2, 3}) enter(gate, name);
  make(gate, 1);
  gate.set_limits(0, 60, 0);
  advance(1s);
  EXPECT_EQ(entered.size(), 2U) << "a start each second, and not each minute";
  make(gate, 2);
  advance(1s);
  EXPECT_EQ(entered.size(), 3U);
}

TEST_F(start_gate_test, another_concurrency_holds_from_now_on) {
  start_gate gate(time, {0, 1s, pacing::burst}, 1);
  for (int name : {1, 2, 3, 4}) enter(gate, name);
  EXPECT_EQ(entered.size(), 1U);
  gate.set_concurrency(3);
  poll();
  EXPECT_EQ(entered.size(), 3U);
  gate.set_concurrency(1);
  make(gate, 1);
  make(gate, 2);
  EXPECT_EQ(entered.size(), 3U) << "attempts in flight go on";
  make(gate, 3);
  EXPECT_EQ(entered.size(), 4U);
}

// A gate, and the limiter of another process with the same window.
struct shared_gate_test : start_gate_test {
  std::unique_ptr<limit_store> open() {
    auto store = std::make_unique<limit_store>(dir / "window", host_id{{1}, {1}}, 1s,
                                               limit_store::reports{[](const std::string&) {}});
    const limit_store::hold opened(*store, time.now());
    return store;
  }

  const test::temp_dir dir;
  const std::unique_ptr<limit_store> ours = open();
  const std::unique_ptr<limit_store> theirs = open();
  rate_limiter other{{.per_minute = 10, .store = theirs.get()}};
  start_gate gate{time, {10, 1s, pacing::burst, 0, ours.get()}, 64};
};

TEST_F(shared_gate_test, tells_of_a_long_pause_that_another_process_began) {
  std::vector<duration> told;
  gate.watch_pauses(10min, [&](std::size_t, time_point until) {
    told.push_back(until - time.now());
    gate.close();
  });
  gate.pause(time.now() + 30min);
  enter(gate, 1);
  advance(1s);
  EXPECT_TRUE(told.empty()) << "its own pauses are decided elsewhere";
  other.pause(time.now() + 1h, time.now());
  advance(1s);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_GT(told[0], 59min);
  EXPECT_EQ(turned_away, (std::vector{1}));
}

TEST_F(shared_gate_test, counts_the_starts_of_others) {
  for (int name : {1, 2, 3}) enter(gate, name);
  make(gate, 1);
  EXPECT_EQ(gate.starts_of_others(), 0U) << "ended, in flight or unsent: its own do not count";
  for (int i = 0; i < 4; ++i) {
    const auto slot = other.try_start(time.now());
    ASSERT_TRUE(slot);
    other.sent(*slot, time.now());
    other.answered(*slot, time.now());
    other.done(*slot);
  }
  EXPECT_EQ(gate.starts_of_others(), 4U);
  gate.sent(held.at(2));
  EXPECT_EQ(gate.starts_of_others(), 4U);
  make(gate, 2);
  leave(gate, 3, true);
  EXPECT_EQ(gate.starts_of_others(), 4U);
  advance(62s);
  EXPECT_EQ(gate.starts_of_others(), 0U);
}

TEST_F(start_gate_test, a_waiter_that_was_called_but_cannot_start_stays_first) {
  start_gate gate(time, {0, 1s, pacing::burst}, 64);
  gate.pause(time.now() + 10s);
  for (int name : {1, 2, 3}) enter(gate, name);
  time.advance(10s);  // gives waiter 1 the turn; it has not resumed yet
  gate.pause(time.now() + 5s);
  poll();
  EXPECT_TRUE(entered.empty());
  advance(5s);
  EXPECT_EQ(entered, (std::vector{1, 2, 3}));
}

TEST_F(start_gate_test, waiters_that_were_called_together_and_cannot_start_keep_their_order) {
  start_gate gate(time, {0, 1s, pacing::burst}, 1);
  for (int name = 0; name <= 20; ++name) enter(gate, name);
  gate.set_concurrency(8);
  poll();
  ASSERT_EQ(entered, (std::vector{0, 1, 2, 3, 4, 5, 6, 7}));
  // Now several are called at once.
  gate.set_concurrency(12);
  gate.pause(time.now() + 5s);
  poll();
  EXPECT_EQ(entered.size(), 8U);
  gate.set_concurrency(0);
  advance(5s);
  std::vector<int> all(21);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(entered, all);
}

TEST_F(start_gate_test, free_places_are_taken_within_a_few_turns_of_the_loop) {
  start_gate gate(time, {0, 1s, pacing::burst}, 1);
  enter(gate, 0);
  for (int name = 1; name < 64; ++name) enter(gate, name);
  gate.set_concurrency(64);
  // Each turn of a loop with other work, such as replies that come, lets the waiters that were
  // called resume.
  int turns = 0;
  while (entered.size() < 64U && turns < 64) {
    ++turns;
    bool turned = false;
    asio::post(loop, [&] { turned = true; });
    loop.restart();
    while (!turned) loop.poll_one();
  }
  EXPECT_EQ(entered.size(), 64U);
  EXPECT_LE(turns, 16);
  clear_out(gate);
}

TEST_F(start_gate_test, a_trial_is_one_at_a_time) {
  start_gate gate(time, {0, 1s, pacing::burst}, 64);
  enter(gate, 1);
  enter(gate, 2);
  gate.one_at_a_time(true);
  for (int name : {3, 4, 5}) enter(gate, name);
  EXPECT_EQ(entered, (std::vector{1, 2, 3})) << "attempts that were already in flight do not count";
  make(gate, 1);
  make(gate, 2);
  EXPECT_EQ(entered, (std::vector{1, 2, 3}));
  make(gate, 3);
  EXPECT_EQ(entered, (std::vector{1, 2, 3, 4}));
  gate.one_at_a_time(false);
  poll();
  EXPECT_EQ(entered, (std::vector{1, 2, 3, 4, 5}));
}

TEST_F(start_gate_test, a_lane_has_its_own_concurrency_limit) {
  start_gate gate(time, {{0, 1s, pacing::burst}, {0, 1s, pacing::burst}}, {{0, 1}, {1, 1}}, 5);
  gate.limit_in_flight(1, 0);
  for (int name : {1, 2, 3}) enter(gate, name);
  EXPECT_EQ(gate.in_flight(0), 1U);
  EXPECT_EQ(gate.in_flight(1), 2U);
  gate.limit_in_flight(2, 1);
  enter(gate, 4);
  EXPECT_EQ(entered, (std::vector{1, 2, 3}));
  EXPECT_TRUE(gate.now().full);
  EXPECT_TRUE(gate.now().lanes_full) << "the common limit is not reached";
  gate.limit_in_flight(2, 0);
  poll();
  EXPECT_EQ(entered, (std::vector{1, 2, 3, 4}));
  EXPECT_EQ(gate.in_flight(0), 2U);
  enter(gate, 5);
  gate.limit_in_flight(0, 1);
  poll();
  EXPECT_EQ(entered, (std::vector{1, 2, 3, 4, 5}));
  EXPECT_TRUE(gate.now().full);
  EXPECT_FALSE(gate.now().lanes_full);
}

TEST_F(start_gate_test, a_closed_gate_returns_nothing_to_waiters_and_new_attempts) {
  start_gate gate(time, {1, 1s, pacing::burst}, 64);
  enter(gate, 1);
  enter(gate, 2);
  enter(gate, 3);
  gate.close();
  poll();
  enter(gate, 4);
  EXPECT_EQ(turned_away, (std::vector{2, 3, 4}));
  make(gate, 1);
  EXPECT_TRUE(loop.stopped());
  gate.open();
  advance(62s);
  enter(gate, 5);
  EXPECT_EQ(entered, (std::vector{1, 5}));
}

TEST_F(start_gate_test, a_waiter_called_when_the_gate_closes_gets_nothing) {
  start_gate gate(time, {0, 1s, pacing::burst}, 1);
  enter(gate, 1);
  enter(gate, 2);
  enter(gate, 3);
  gate.leave(held.at(1), false);  // gives waiter 2 the turn
  gate.close();
  poll();
  EXPECT_EQ(turned_away, (std::vector{2, 3}));
  gate.open();
  enter(gate, 4);
  EXPECT_EQ(entered, (std::vector{1, 4})) << "the gate still works";
}

TEST_F(start_gate_test, no_alarm_stays_pending) {
  {
    start_gate gate(time, {1, 1s, pacing::burst}, 1);
    enter(gate, 1);
    make(gate, 1);
    enter(gate, 2);
    clear_out(gate);
  }
  EXPECT_EQ(time.calls_to_come(), 0U);
}

TEST_F(start_gate_test, a_lane_does_not_catch_up_after_a_rest) {
  start_gate gate(time, {{0, 1s, pacing::burst}, {0, 1s, pacing::burst}}, {{0, 1}, {1, 1}}, 0);
  gate.set_open(1, false);
  for (int name = 0; name < 50; ++name) enter(gate, name);
  gate.set_open(1, true);
  std::size_t second = 0;
  for (int name = 50; name < 60; ++name) {
    enter(gate, name);
    second += held.at(name).lane;
  }
  EXPECT_EQ(second, 5U);
  clear_out(gate);
}

TEST_F(start_gate_test, a_lane_is_avoided_only_while_another_has_room) {
  start_gate gate(time, {{0, 1s, pacing::burst}, {1, 1s, pacing::burst}}, {{0, 1}, {1, 1}}, 0);
  std::vector<std::size_t> lanes;
  for (int i = 0; i < 3; ++i) {
    asio::co_spawn(
        loop, [&]() -> asio::awaitable<void> { lanes.push_back((co_await gate.enter(0))->lane); },
        asio::detached);
    poll();
  }
  EXPECT_EQ(lanes, (std::vector<std::size_t>{1, 0, 0}));
  clear_out(gate);
}

TEST_F(start_gate_test, lanes_of_one_window_use_the_largest_gap) {
  start_gate gate(time, {{0, 1s, pacing::burst}}, {{0, 1}, {0, 1}}, 0);
  gate.space(2s, 0);
  gate.space(0s, 1);
  for (int name : {1, 2}) enter(gate, name);
  EXPECT_EQ(entered, std::vector{1});
  advance(2s);
  EXPECT_EQ(entered, (std::vector{1, 2}));
  clear_out(gate);
}

TEST_F(start_gate_test, next_start_is_unknown_while_it_depends_on_an_unsent_attempt) {
  start_gate gate(time, {1, 1s, pacing::burst}, 64);
  for (int name : {1, 2}) enter(gate, name);
  EXPECT_FALSE(gate.now().next_start.has_value());
  gate.sent(held.at(1));
  EXPECT_TRUE(gate.now().next_start.has_value());
  clear_out(gate);
}

TEST_F(start_gate_test, a_pause_and_a_trial_apply_only_to_their_lane) {
  start_gate gate(time, {{0, 1s, pacing::burst}, {0, 1s, pacing::burst}}, {{0, 1}, {1, 1}}, 0);
  gate.pause(time.now() + 5s, 0);
  for (int name : {1, 2}) enter(gate, name);
  EXPECT_EQ(held.at(1).lane + held.at(2).lane, 2U);
  gate.one_at_a_time(true, 1);
  enter(gate, 3);
  enter(gate, 4);
  EXPECT_EQ(entered, (std::vector{1, 2, 3}));
  EXPECT_FALSE(gate.now().full);
  advance(5s);
  EXPECT_EQ(held.at(4).lane, 0U);
  clear_out(gate);
}

TEST_F(start_gate_test, closing_a_group_affects_only_its_own_attempts) {
  start_gate gate(time, {0, 1s, pacing::burst}, 1);
  start_gate::group first(gate);
  start_gate::group second(gate);
  enter(gate, 1, &first);
  enter(gate, 2, &second);
  enter(gate, 3, &first);
  enter(gate, 4, &second);
  EXPECT_EQ(gate.now(first).in_flight, 1U);
  EXPECT_EQ(gate.now(first).waiting, 1U);
  EXPECT_EQ(gate.now(second).in_flight, 0U);
  EXPECT_EQ(gate.now(second).waiting, 2U);
  gate.close(second);
  poll();
  EXPECT_EQ(turned_away, (std::vector{2, 4}));
  EXPECT_EQ(gate.now(second).waiting, 0U);
  enter(gate, 5, &second);
  EXPECT_EQ(turned_away, (std::vector{2, 4, 5})) << "nothing starts in a closed group";
  leave(gate, 1);
  EXPECT_EQ(entered, (std::vector{1, 3})) << "the remaining waiter has its turn";
  leave(gate, 3);
  gate.close(first);
  clear_out(gate);
  EXPECT_EQ(time.calls_to_come(), 0U);
}

TEST_F(start_gate_test, if_a_called_waiters_group_closes_the_next_one_starts) {
  start_gate gate(time, {1, 1s, pacing::burst}, 64);
  start_gate::group first(gate);
  start_gate::group second(gate);
  enter(gate, 1, &first);
  make(gate, 1);
  enter(gate, 2, &first);
  enter(gate, 3, &second);
  loop.restart();
  time.advance(61s);  // the first waiter gets the turn, and has not resumed yet
  gate.close(first);
  poll();
  EXPECT_EQ(turned_away, std::vector{2});
  EXPECT_EQ(entered, (std::vector{1, 3}));
  leave(gate, 3);
  gate.close(second);
  clear_out(gate);
}

TEST_F(start_gate_test, starts_are_counted_for_each_group_and_for_all) {
  start_gate gate(time, {0, 1s, pacing::burst}, 0);
  start_gate::group first(gate);
  start_gate::group second(gate);
  for (int name : {1, 2, 3}) enter(gate, name, &first);
  enter(gate, 4, &second);
  for (int name : {1, 2, 3, 4}) make(gate, name);
  EXPECT_EQ(gate.now(first).started_last_minute, 3U);
  EXPECT_EQ(gate.now(second).most_in_a_minute, 1U);
  EXPECT_EQ(gate.now().most_in_a_minute, 4U);
}

TEST_F(start_gate_test, a_destroyed_waiter_leaves_the_queue) {
  start_gate gate(time, {0, 1s, pacing::burst}, 1);
  enter(gate, 1);
  {
    asio::io_context gone{1};
    begin(gone, gate, 2);
    gone.poll();
    enter(gate, 3);
    EXPECT_EQ(gate.now().waiting, 2U);
  }
  EXPECT_EQ(gate.now().waiting, 1U);
  leave(gate, 1);
  EXPECT_EQ(entered, (std::vector{1, 3}));
  leave(gate, 3);
  clear_out(gate);
}

TEST_F(start_gate_test, if_a_called_waiter_is_destroyed_the_next_one_starts) {
  start_gate gate(time, {0, 1s, pacing::burst}, 1);
  enter(gate, 1);
  {
    asio::io_context gone{1};
    begin(gone, gate, 2);
    gone.poll();
    enter(gate, 3);
    // Gives the turn to the first waiter. The event loop of this waiter never runs again.
    leave(gate, 1);
    EXPECT_EQ(entered, std::vector{1});
  }
  poll();
  EXPECT_EQ(entered, (std::vector{1, 3}));
  leave(gate, 3);
  clear_out(gate);
}

TEST_F(start_gate_test, urgent_attempts_start_before_the_others_that_wait) {
  start_gate gate(time, {0, 1s, pacing::burst}, 1);
  start_gate::group urgent(gate, start_gate::urgency::urgent);
  start_gate::group usual(gate);
  for (int name : {1, 2, 3}) enter(gate, name, &usual);
  for (int name : {4, 5}) enter(gate, name, &urgent);
  EXPECT_EQ(gate.now(urgent).waiting, 2U);
  for (int name : {1, 4, 5, 2, 3}) leave(gate, name);
  EXPECT_EQ(entered, (std::vector{1, 4, 5, 2, 3}));
}

TEST_F(start_gate_test, an_urgent_attempt_takes_the_next_slot_of_the_window) {
  start_gate gate(time, {1, 1s, pacing::burst}, 64);
  start_gate::group urgent(gate, start_gate::urgency::urgent);
  start_gate::group usual(gate);
  for (int name : {1, 2}) enter(gate, name, &usual);
  make(gate, 1);
  advance(30s);
  enter(gate, 3, &urgent);
  advance(31s);
  EXPECT_EQ(entered, (std::vector{1, 3}));
  make(gate, 3);
  advance(61s);
  EXPECT_EQ(entered, (std::vector{1, 3, 2}));
}

TEST_F(start_gate_test, the_reserve_of_a_window_is_for_urgent_attempts_alone) {
  start_gate gate(time, {5, 1s, pacing::burst}, 64);
  gate.set_reserve(2);
  start_gate::group urgent(gate, start_gate::urgency::urgent);
  start_gate::group usual(gate);
  for (int name = 1; name <= 5; ++name) {
    enter(gate, name, &usual);
    if (held.contains(name)) make(gate, name);
  }
  EXPECT_EQ(entered, (std::vector{1, 2, 3}));
  EXPECT_TRUE(gate.now(usual).next_start) << "the others wait for the limit";
  for (int name : {6, 7, 8}) {
    enter(gate, name, &urgent);
    if (held.contains(name)) make(gate, name);
  }
  EXPECT_EQ(entered, (std::vector{1, 2, 3, 6, 7})) << "five in a minute, and never a sixth";
  advance(61s);
  ASSERT_TRUE(held.contains(8));
  EXPECT_EQ(entered, (std::vector{1, 2, 3, 6, 7, 8, 4, 5}));
}

TEST_F(start_gate_test, the_reserve_of_the_concurrency_is_for_urgent_attempts_alone) {
  start_gate gate(time, {0, 1s, pacing::burst}, 3);
  gate.set_reserve(1);
  start_gate::group urgent(gate, start_gate::urgency::urgent);
  start_gate::group usual(gate);
  for (int name : {1, 2, 3}) enter(gate, name, &usual);
  EXPECT_EQ(entered, (std::vector{1, 2}));
  EXPECT_TRUE(gate.now(usual).full);
  enter(gate, 4, &urgent);
  EXPECT_EQ(entered, (std::vector{1, 2, 4}));
  leave(gate, 4);
  EXPECT_EQ(entered, (std::vector{1, 2, 4})) << "two others are still in flight";
  leave(gate, 1);
  EXPECT_EQ(entered, (std::vector{1, 2, 4, 3}));
}

TEST_F(start_gate_test, a_reserve_as_large_as_the_limit_leaves_the_others_one_place) {
  start_gate gate(time, {2, 1s, pacing::burst}, 2);
  gate.set_reserve(9);
  start_gate::group usual(gate);
  for (int name : {1, 2}) enter(gate, name, &usual);
  EXPECT_EQ(entered, std::vector{1});
  make(gate, 1);
  EXPECT_EQ(entered, std::vector{1}) << "the slot of the minute is taken, too";
  advance(61s);
  EXPECT_EQ(entered, (std::vector{1, 2}));
}

TEST_F(start_gate_test, an_attempt_that_does_not_wait_passes_nobody_of_its_kind) {
  start_gate gate(time, {0, 1s, pacing::burst}, 2);
  gate.set_reserve(1);
  start_gate::group urgent(gate, start_gate::urgency::urgent);
  start_gate::group usual(gate);
  for (int name : {1, 2}) enter(gate, name, &usual);
  EXPECT_FALSE(gate.try_enter(usual, std::nullopt, {}));
  const auto turn = gate.try_enter(urgent, std::nullopt, {});
  ASSERT_TRUE(turn);
  EXPECT_FALSE(gate.try_enter(urgent, std::nullopt, {})) << "there is no place";
  gate.leave(*turn, false);
  leave(gate, 1);
  EXPECT_EQ(entered, (std::vector{1, 2}));
  gate.close(urgent);
  EXPECT_FALSE(gate.try_enter(urgent, std::nullopt, {})) << "the group is closed";
}

TEST_F(start_gate_test, a_cancelled_urgent_waiter_lets_the_others_start) {
  start_gate gate(time, {0, 1s, pacing::burst}, 1);
  start_gate::group urgent(gate, start_gate::urgency::urgent);
  start_gate::group usual(gate);
  enter(gate, 1, &usual);
  asio::cancellation_signal client_gone;
  bool ended = false;
  asio::co_spawn(
      loop,
      [&]() -> asio::awaitable<void> {
        const auto turn = co_await gate.enter(urgent);
        EXPECT_FALSE(turn) << "it was cancelled";
      },
      asio::bind_cancellation_slot(client_gone.slot(), [&](const std::exception_ptr& thrown) {
        ended = true;
        EXPECT_NE(thrown, nullptr);
      }));
  poll();
  enter(gate, 2, &usual);
  client_gone.emit(asio::cancellation_type::terminal);
  poll();
  EXPECT_TRUE(ended);
  EXPECT_EQ(gate.now(urgent).waiting, 0U);
  leave(gate, 1);
  EXPECT_EQ(entered, (std::vector{1, 2}));
}

// A window with a lock that another process holds, for example because that process was stopped.
struct kept_window_test : start_gate_test {
  test::temp_dir dir;
  std::vector<std::optional<lock_holder>> held_up;
  limit_store own{dir / "window", host, 1s, callbacks()};
  limit_store other{dir / "window", host, 1s, callbacks()};
  std::optional<limit_store::hold> kept;

  static constexpr host_id host{.boot = {1}, .machine = {1}};
  limit_store::reports callbacks() {
    return {.not_shared = [](const std::string& why) { ADD_FAILURE() << why; },
            .held_up = [this](const std::optional<lock_holder>& who) { held_up.push_back(who); }};
  }
  void keep() { kept.emplace(other, time.now()); }
};

TEST_F(kept_window_test, nothing_starts_until_the_lock_is_free_and_then_the_clock_starts_waiters) {
  start_gate gate(time, {2, 1s, pacing::burst, 0, &own}, 64);
  keep();
  for (int name : {1, 2, 3}) enter(gate, name);
  advance(1900ms);
  EXPECT_TRUE(entered.empty());
  EXPECT_TRUE(held_up.empty()) << "the lock may be free soon";
  advance(60s);
  EXPECT_TRUE(entered.empty());
  EXPECT_EQ(held_up.size(), 1U) << "reported once";
  ASSERT_TRUE(held_up.front());
  EXPECT_EQ(held_up.front()->process, ::getpid());
  EXPECT_FALSE(held_up.front()->stopped);
  EXPECT_FALSE(gate.now().next_start) << "the time is unknown";
  kept.reset();
  advance(100ms);
  EXPECT_EQ(entered, (std::vector{1, 2}));
  clear_out(gate);
}

TEST_F(kept_window_test, the_window_gets_all_events_even_if_nobody_waits) {
  start_gate gate(time, {1, 1s, pacing::burst, 0, &own}, 64);
  enter(gate, 1);
  keep();
  advance(5s);
  gate.sent(held.at(1));
  gate.answered(held.at(1));
  leave(gate, 1);
  const time_point answered = time.now();
  advance(5s);
  kept.reset();
  advance(100ms);
  EXPECT_EQ(time.calls_to_come(), 0U) << "all events were passed on";
  rate_limiter seen({1, 1s, pacing::burst, 0, &other});
  const time_point free = seen.next_start(time.now());
  EXPECT_GE(free, answered + 60s);
  EXPECT_LE(free, answered + 60s + 100ms) << "the time of the event counts";
}

TEST_F(kept_window_test, a_refused_start_is_given_back_when_the_lock_is_free) {
  test::refusing_limit machines;
  machines.on_take = [this] { keep(); };
  start_gate gate(time, {1, 1s, pacing::burst, 0, &own, &machines}, 64);
  start_gate::group calls(gate, start_gate::urgency::urgent);
  EXPECT_FALSE(gate.try_enter(calls, std::nullopt, {})) << "the machines have no start left";
  ASSERT_TRUE(kept);
  kept.reset();
  advance(100ms);  // no request waits
  rate_limiter seen({1, 1s, pacing::burst, 0, &other});
  EXPECT_TRUE(seen.try_start(time.now())) << "the slot is free for other processes";
}

TEST_F(kept_window_test, closing_does_not_wait_for_the_lock) {
  start_gate gate(time, {1, 1s, pacing::burst, 0, &own}, 64);
  enter(gate, 1);
  keep();
  enter(gate, 2);
  gate.close();
  poll();
  EXPECT_EQ(turned_away, std::vector{2});
  gate.sent(held.at(1));
  EXPECT_EQ(time.calls_to_come(), 1U) << "events of the attempt in flight must still be passed on";
  leave(gate, 1);
  EXPECT_EQ(time.calls_to_come(), 0U) << "a pending call would keep the event loop alive";
  EXPECT_TRUE(loop.stopped());
}

TEST_F(kept_window_test, another_lane_is_used_meanwhile) {
  start_gate gate(time, {{5, 1s, pacing::burst, 0, &own}, {5, 1s, pacing::burst}}, {{0, 1}, {1, 1}},
                  0);
  keep();
  for (int name : {1, 2}) enter(gate, name);
  EXPECT_EQ(held.at(1).lane + held.at(2).lane, 2U);
  kept.reset();
  clear_out(gate);
}

}  // namespace
}  // namespace sluice
