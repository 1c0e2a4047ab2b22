// Tests of upstream::relays: which state all runs share, and which state is reset when a run
// begins.
#include "upstream/relays.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "async/sleeper.hpp"
#include "support/fake_client.hpp"
#include "support/manual_clock.hpp"
#include "support/relay_models.hpp"
#include "support/temp_dir.hpp"
#include "upstream/limit_store.hpp"
#include "upstream/shared_window.hpp"

namespace sluice::upstream {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A run that only records its events.
struct listener final : relays::user {
  bool stopping() const noexcept override { return ended.has_value(); }
  bool waits_for_address() const noexcept override { return waits; }
  void on_relays_ended(stop_reason reason, const std::string& message,
                       std::optional<double> again) override {
    ended = reason;
    words = message;
    again_at = again;
  }
  void on_success(std::size_t relay, time_point) override { successes.push_back(relay); }
  void on_rest(std::size_t relay) override { rests.push_back(relay); }
  void on_address_settled() override { ++address_settled; }
  void on_streams_off(std::size_t relay) override { streams_off.push_back(relay); }
  void on_others_settled() override { ++others_settled; }

  bool waits = false;
  std::optional<stop_reason> ended;
  std::string words;
  std::optional<double> again_at;
  std::vector<std::size_t> successes;
  std::vector<std::size_t> rests;
  std::vector<std::size_t> streams_off;
  unsigned address_settled = 0;
  unsigned others_settled = 0;
};

struct notice_log final : observer {
  void on_notice(const notice& event) override { sentences.emplace_back(event.text); }
  std::vector<std::string> sentences;
};

struct relays_test : testing::Test {
  relays_test() {
    pace.requests_per_minute = 0;
    pace.seed = 1;
  }
  relays& pool(std::size_t members = 1) {
    std::vector<relay_member> list(members);
    std::vector<http_client*> clients;
    for (std::size_t i = 0; i < members; ++i) {
      if (members > 1) list[i].name = std::string(1, static_cast<char>('a' + i));
      list[i].relay.base_url = "https://" + std::to_string(i) + ".example/v1";
      clients.push_back(&fakes.emplace_back(time));
    }
    made.emplace(loop, time, list, pace, clients, &notices);
    return *made;
  }
  // Gets a permit for an attempt at this relay. Meanwhile, the other relays are closed.
  start_gate::permit turn_at(std::size_t relay, start_gate::group& of) {
    auto& gate = made->gate();
    std::vector<std::size_t> closed;
    for (std::size_t i = 0; i < made->size(); ++i) {
      if (i == relay || (*made)[i].resting) continue;
      gate.set_open(i, false);
      closed.push_back(i);
    }
    std::optional<start_gate::permit> turn;
    asio::co_spawn(
        loop, [&]() -> asio::awaitable<void> { turn = co_await gate.enter(of); }, asio::detached);
    loop.restart();
    loop.poll();
    for (const std::size_t i : closed) gate.set_open(i, true);
    EXPECT_TRUE(turn.has_value()) << "relay " << relay << " gives no permit";
    return turn.value_or(start_gate::permit{});
  }
  // Makes an attempt at the relay that ends with this failure.
  void fail(std::size_t relay, const failure& why, start_gate::group& of) {
    const auto turn = turn_at(relay, of);
    if (turn.of == nullptr) return;
    time.advance(1s);
    made->failed(turn, "m", false, why, time.now() - 1s, 0);
    made->gate().leave(turn, false);
    time.advance(5s);  // longer than a possible pause
  }
  static failure key_refused() {
    failure why;
    why.kind = failure_class::key_ended;
    why.code = errc::http_error;
    why.http_status = 401;
    why.message = "401: bad key";
    return why;
  }

  asio::io_context loop{1};
  test::manual_clock time;
  pace_options pace;
  std::list<test::fake_client> fakes;
  notice_log notices;
  std::optional<relays> made;
  listener first;
  listener second;
};

TEST_F(relays_test, a_long_pause_that_another_process_began_is_no_time_without_success) {
  const test::temp_dir dir;
  pace.limit_folder = dir / "limits";
  pace.give_up_after = 5min;
  relays& all = pool();
  start_gate::group turns(all.gate());
  all.join(first);
  failure why;
  why.kind = failure_class::throttled;
  why.code = errc::http_error;
  why.http_status = 429;
  fail(0, why, turns);
  limit_store window(dir / ("limits/" + window_name(all[0].options.relay)), current_host(),
                     pace.window_margin, {[](const std::string& told) { ADD_FAILURE() << told; }});
  rate_limiter other({.per_minute = 0, .store = &window});
  other.pause(time.now() + 9min, time.now());
  time.advance(9min);
  fail(0, why, turns);
  EXPECT_FALSE(first.ended);
  time.advance(5min);
  fail(0, why, turns);
  EXPECT_EQ(first.ended, stop_reason::relay_down);
}

TEST_F(relays_test, a_refused_key_ends_every_run) {
  relays& all = pool();
  start_gate::group turns(all.gate());
  all.join(first);
  all.join(second);
  fail(0, key_refused(), turns);
  EXPECT_FALSE(first.ended) << "one refusal may be a short error";
  fail(0, key_refused(), turns);
  EXPECT_EQ(first.ended, stop_reason::key_ended);
  EXPECT_EQ(second.ended, stop_reason::key_ended);
  all.leave(first);
  all.leave(second);
}

TEST_F(relays_test, the_next_run_uses_a_resting_member_without_a_return_time_again) {
  relays& all = pool(2);
  start_gate::group turns(all.gate());
  all.join(first);
  fail(0, key_refused(), turns);
  fail(0, key_refused(), turns);
  EXPECT_TRUE(all[0].resting);
  EXPECT_THAT(first.rests, ElementsAre(0U));
  EXPECT_FALSE(first.ended) << "the other member continues";
  all.join(second);
  EXPECT_FALSE(all[0].resting) << "a new run uses it again";
  EXPECT_TRUE(fakes.front().sending);
  turn_at(0, turns);
  all.leave(first);
  all.leave(second);
}

TEST_F(relays_test, a_member_that_asked_to_wait_gets_nothing_until_then) {
  relays& all = pool(2);
  start_gate::group turns(all.gate());
  all.join(first);
  relay_health::verdict later;
  later.stop = stop_reason::come_back_later;
  later.reason = "429: tomorrow";
  later.wait = 3600s;
  all.end(0, later);
  all.join(second);
  EXPECT_TRUE(all[0].resting);
  all.leave(first);
  all.leave(second);
  EXPECT_EQ(time.calls_to_come(), 0U) << "without a run, no return is scheduled";
  time.advance(1800s);
  all.join(first);
  EXPECT_TRUE(all[0].resting) << "the next run also waits";
  time.advance(1801s);
  EXPECT_FALSE(all[0].resting);
  all.leave(first);
}

TEST_F(relays_test, a_run_that_joins_after_the_end_of_all_relays_starts_without_old_problems) {
  relays& all = pool();
  start_gate::group turns(all.gate());
  all.join(first);
  const auto on_its_way = turn_at(0, turns);
  fail(0, key_refused(), turns);
  fail(0, key_refused(), turns);
  ASSERT_TRUE(first.ended);
  notices.sentences.clear();
  all.join(second);
  EXPECT_THAT(notices.sentences, IsEmpty()) << "nothing has happened in this run yet";
  // An attempt that was sent earlier shows nothing about the current state of the key.
  all.failed(on_its_way, "m", false, key_refused(), time.now() - 10s, 0);
  all.gate().leave(on_its_way, false);
  EXPECT_FALSE(second.ended);
  all.leave(first);
  EXPECT_EQ(second.others_settled, 1U);
  all.leave(second);
}

TEST_F(relays_test, an_address_is_wrong_only_if_no_run_can_show_that_it_is_right) {
  relays& all = pool();
  start_gate::group turns(all.gate());
  all.join(first);
  all.join(second);
  failure suspicious;
  suspicious.kind = failure_class::wrong_address;
  suspicious.http_status = 404;
  suspicious.message = "404: a web page";
  fail(0, suspicious, turns);
  first.waits = true;
  all.only_suspects_left(0);
  EXPECT_FALSE(first.ended || second.ended) << "the second run may show that it is right";
  EXPECT_EQ(first.address_settled, 0U);
  second.waits = true;
  all.only_suspects_left(0);
  EXPECT_GE(first.address_settled, 1U)
      << "no run can show it: all end, or each request finds out on its own";
  all.leave(first);
  all.leave(second);
}

TEST_F(relays_test, after_the_last_run_connections_are_closed_and_no_call_is_pending) {
  relays& all = pool(2);
  all.join(first);
  all.join(second);
  all.leave(first);
  EXPECT_EQ(fakes.front().aborts, 0U) << "another run uses it";
  all.leave(second);
  EXPECT_EQ(fakes.front().aborts, 1U);
  EXPECT_EQ(time.calls_to_come(), 0U);
}

// Requests through the gate to a relay, each until it is served. A configured limit of 200.
struct traffic_test : relays_test {
  traffic_test() {
    pace.requests_per_minute = 200;
    pool().join(first);
    turns.emplace(made->gate());
  }
  ~traffic_test() override {
    turns.reset();
    made->leave(first);
  }

  asio::awaitable<void> request() {
    for (unsigned refusals = 0;; ++refusals) {
      const auto turn = co_await made->gate().enter(*turns);
      if (!turn) co_return;
      const time_point started = time.now();
      made->gate().sent(*turn);
      const bool admitted = admits(started);
      co_await sleeps.sleep_until(started + (admitted ? head : 200ms));
      made->gate().answered(*turn);
      if (admitted) made->answered(*turn, started, false);
      made->gate().leave(*turn, false);
      (admitted ? served : refused).push_back(started);
      if (admitted) {
        made->succeeded(turn->lane, started);
        co_return;
      }
      failure why;
      why.kind = failure_class::throttled;
      why.code = errc::http_error;
      why.http_status = 429;
      made->failed(*turn, "m", false, why, started, refusals);
    }
  }
  asio::awaitable<void> worker(std::size_t& left) {
    for (; left > 0; co_await request()) --left;
  }
  void work_off(std::size_t requests, std::size_t workers) {
    const std::size_t all = served.size() + requests;
    for (std::size_t i = 0; i < workers; ++i)
      asio::co_spawn(loop, worker(requests), asio::detached);
    test::run_virtual(loop, time, [&] { return served.size() == all; });
  }
  void send_one_each(duration gap, std::size_t requests) {
    for (std::size_t i = 0; i < requests; ++i) {
      const time_point next = time.now() + gap;
      work_off(1, 1);
      time.advance_to(next);
    }
  }
  // Served starts, or refused ones, in the minutes after `from`.
  static double a_minute(const std::vector<time_point>& starts, time_point from, int first,
                         int last) {
    const auto count = std::count_if(starts.begin(), starts.end(), [&](time_point one) {
      return one >= from + first * 1min && one < from + last * 1min;
    });
    return static_cast<double>(count) / (last - first);
  }

  std::optional<start_gate::group> turns;
  sleeper sleeps{time};
  std::function<bool(time_point)> admits = [](time_point) { return true; };
  duration head = 1s;
  std::vector<time_point> served;
  std::vector<time_point> refused;
};

TEST_F(traffic_test, one_refusal_during_slow_traffic_does_not_slow_the_work_after_it) {
  for (const bool slow_answers : {false, true}) {
    head = slow_answers ? 60s : 1s;
    const auto slow = [&] {
      if (slow_answers) {
        work_off(80, 8);
      } else {
        send_one_each(10s, 100);
      }
    };
    slow();
    admits = [this](time_point) { return !refused.empty(); };
    slow();
    EXPECT_EQ(refused.size(), 1U);
    EXPECT_THAT(notices.sentences, Not(Contains(HasSubstr("requests a minute"))));
    head = 1s;
    const time_point begin = time.now();
    work_off(1000, 64);
    EXPECT_LT(time.now() - begin, 5min + 40s) << slow_answers;
    refused.clear();
  }
}

TEST_F(traffic_test, a_slow_relay_is_found_after_light_traffic) {
  for (const duration answers : {duration{300ms}, duration{5s}}) {
    served.clear();
    refused.clear();
    head = answers;
    admits = test::sliding_window(40);
    send_one_each(7500ms, 100);
    ASSERT_TRUE(refused.empty());
    const time_point begin = time.now();
    work_off(40 * 20, 64);
    EXPECT_GT(a_minute(served, begin, 1, 6), 0.65 * 40) << answers / 1ms;
    EXPECT_GT(a_minute(served, begin, 6, 16), 0.8 * 40) << answers / 1ms;
    EXPECT_LT(a_minute(refused, begin, 6, 16), 0.02 * 40) << answers / 1ms;
    time.advance(10min);
  }
}

}  // namespace
}  // namespace sluice::upstream
