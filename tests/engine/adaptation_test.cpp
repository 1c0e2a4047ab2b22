// Tests how the engine adapts to relays that serve less than the configured limit. All tests run in
// virtual time.

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "engine/adaptation_trial.hpp"
#include "support/engine_rig.hpp"
#include "support/relay_models.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using test::completion_plan;
using test::engine_rig;
using test::exchange_call;
using test::exchange_plan;
using test::refusal_plan;

// Counts served and refused requests in each minute.
class ledger {
 public:
  explicit ledger(const test::manual_clock& time) : time_(time) {}
  bool note(bool let_in) {
    const auto minute = static_cast<std::size_t>(time_.since_start() / 60);
    if (minutes_.size() <= minute) minutes_.resize(minute + 1);
    ++(let_in ? minutes_[minute].served : minutes_[minute].refused);
    return let_in;
  }
  double served_a_minute(std::size_t first, std::size_t last) const {
    return sum(first, last).served / static_cast<double>(last - first);
  }
  double share_refused(std::size_t first, std::size_t last) const {
    const auto [served, refused] = sum(first, last);
    return refused / (served + refused);
  }
  std::string text() const {
    std::string text;
    for (const auto& [served, refused] : minutes_) text += fmt::format("{}/{} ", served, refused);
    return text;
  }

 private:
  struct tally {
    double served = 0;
    double refused = 0;
  };
  tally sum(std::size_t first, std::size_t last) const {
    tally all;
    for (std::size_t i = first; i < std::min(last, minutes_.size()); ++i) {
      all.served += minutes_[i].served;
      all.refused += minutes_[i].refused;
    }
    return all;
  }

  const test::manual_clock& time_;
  std::vector<tally> minutes_;
};

void run_for(engine_rig& test, duration time) {
  const time_point end = test.time.now() + time;
  test.run([&] { return test.time.now() >= end; }, [](engine& running) { running.abort(); });
}

struct relay_model {
  std::string counts;
  test::admission admits;
  double serves;  // requests per minute
  int refuses_with = 429;
  bool hints = false;
};

std::vector<relay_model> models() {
  return {
      {"a sliding window of 60", test::sliding_window(60), 60},
      {"a sliding window of 60 that hints", test::sliding_window(60), 60, 429, true},
      {"a sliding window of 20", test::sliding_window(20), 20},
      {"minutes of its clock, 60 each", test::fixed_window(60, 25s), 60},
      {"a bucket of 10 tokens, 60 a minute", test::token_bucket(60, 10), 60},
      {"a leaky bucket, 60 a minute", test::leaky_bucket(1s), 60},
      {"nginx's leaky bucket, 60 a minute", test::leaky_bucket(1s), 60, 503},
      {"nginx's leaky bucket at the configured limit", test::leaky_bucket(300ms), 200, 503},
  };
}

// The engine may use the first ten minutes to find the rate.
TEST(adaptation_test, the_rate_of_a_relay_is_found) {
  for (const unsigned limit : {200U, 0U}) {
    for (const duration head : {duration{300ms}, duration{5s}}) {
      for (auto& model : models()) {
        engine_rig test;
        test.add(200 * 40);
        test.options.pace.requests_per_minute = limit;
        ledger book(test.time);
        test.relay.plan = [&](const exchange_call& call) {
          if (book.note(model.admits(call.at))) return completion_plan("x", head);
          auto refused = refusal_plan(model.refuses_with);
          if (model.hints) {
            refused.head.fields.add("retry-after",
                                    std::to_string(test::seconds_to_wait(model.admits, call.at)));
          }
          return refused;
        };
        run_for(test, 30min);
        const std::string what = fmt::format("{}, limit {}, heads after {} ms: {}", model.counts,
                                             limit, head / 1ms, book.text());
        EXPECT_LT(book.share_refused(10, 30), 0.02) << what;
        EXPECT_GT(book.served_a_minute(10, 30), 0.88 * model.serves) << what;
        EXPECT_GT(book.served_a_minute(1, 10), 0.75 * model.serves) << what;
      }
    }
  }
}

TEST(adaptation_test, a_limit_that_is_lifted_is_used_again) {
  engine_rig test;
  test.add(200 * 40);
  ledger book(test.time);
  auto low = test::sliding_window(60);
  auto high = test::sliding_window(200);
  test.relay.plan = [&](const exchange_call& call) {
    const bool lifted = test.time.since_start() >= 10 * 60;
    return book.note(high(call.at) && (lifted || low(call.at))) ? completion_plan()
                                                                : refusal_plan(429);
  };
  run_for(test, 30min);
  EXPECT_LT(book.served_a_minute(5, 10), 61) << book.text();
  EXPECT_GT(book.served_a_minute(21, 30), 195) << book.text();
  EXPECT_LT(book.share_refused(10, 30), 0.005) << book.text();
}

TEST(adaptation_test, refusals_that_do_not_depend_on_the_rate_are_tolerated) {
  engine_rig test;
  test.add(200 * 31);
  ledger book(test.time);
  std::mt19937_64 random(4);
  test.relay.plan = [&](const exchange_call&) {
    return book.note(random() % 50 != 0) ? completion_plan() : refusal_plan(429);
  };
  run_for(test, 30min);
  EXPECT_GT(book.served_a_minute(10, 30), 0.9 * 200) << book.text();
}

TEST(adaptation_test, a_saturated_upstream_gets_as_many_requests_as_it_can_serve) {
  std::mt19937_64 random(3);
  const auto even = [&](duration least, duration most) {
    return least + duration{static_cast<duration::rep>(random() % (most - least).count())};
  };
  struct upstream_model {
    std::string replies;
    std::function<duration()> takes;
    int refuses_with;
  };
  const std::vector<upstream_model> upstreams{
      {"of 5 s", [] { return 5s; }, 503},
      {"of 4.5 to 5.5 s", [&] { return even(4500ms, 5500ms); }, 503},
      {"of 2 to 8 s", [&] { return even(2s, 8s); }, 429},
      {"of any length, 5 s in the mean",
       [&] {
         const double seconds = std::exponential_distribution<>(1.0 / 5)(random);
         return std::chrono::duration_cast<duration>(std::chrono::duration<double>(seconds));
       },
       503},
  };
  for (const auto& model : upstreams) {
    engine_rig test;
    test.add(200 * 40);
    ledger book(test.time);
    test::saturated_upstream upstream(8);
    test.relay.plan = [&](const exchange_call& call) {
      const duration takes = model.takes();
      return book.note(upstream.admits(call.at, takes)) ? completion_plan("x", takes)
                                                        : refusal_plan(model.refuses_with);
    };
    run_for(test, 30min);
    const std::string what = fmt::format("replies {}: {}", model.replies, book.text());
    EXPECT_LT(book.share_refused(10, 30), 0.01) << what;
    EXPECT_GT(book.served_a_minute(10, 30), 0.93 * 96) << what;
  }
}

TEST(adaptation_test, new_capacity_of_an_upstream_is_used) {
  engine_rig test;
  test.add(200 * 40);
  ledger book(test.time);
  test::saturated_upstream few(4);
  test::saturated_upstream many(40);
  test.relay.plan = [&](const exchange_call& call) {
    const bool grown = test.time.since_start() >= 20 * 60;
    return book.note((grown ? many : few).admits(call.at, 5s)) ? completion_plan("x", 5s)
                                                               : refusal_plan(503);
  };
  run_for(test, 30min);
  EXPECT_LT(book.share_refused(10, 20), 0.02) << book.text();
  EXPECT_GT(book.served_a_minute(10, 20), 0.93 * 48) << book.text();
  EXPECT_GT(book.served_a_minute(26, 30), 195) << book.text();
}

// The relay handles two requests at a time, 20 s each. With 64 requests in flight, an answer would
// take eleven minutes.
TEST(adaptation_test, a_slow_relay_gets_only_as_many_requests_as_it_answers_in_time) {
  engine_rig test;
  test.add(200 * 10);
  test.options.pace.requests_per_minute = 0;
  test.options.relay.total_timeout = 120s;
  test::queueing_upstream upstream(2, 20s);
  std::size_t late = 0;
  std::size_t late_in_the_end = 0;
  test.relay.plan = [&](const exchange_call& call) {
    const duration head = upstream.answered_after(call.at);
    if (head <= 120s) return completion_plan("x", head);
    ++late;
    if (test.time.since_start() > 20 * 60) ++late_in_the_end;
    exchange_plan timeout;
    timeout.before_head = 120s;
    timeout.with_head = false;
    timeout.end = exchange_end::how::timed_out;
    return timeout;
  };
  run_for(test, 90min);
  EXPECT_LT(late, 32U) << "only of the first requests";
  EXPECT_EQ(late_in_the_end, 0U);
  EXPECT_GT(test.succeeded(), 90U * 6 * 85 / 100) << "the relay is never idle";
}

TEST(adaptation_test, when_answers_are_fast_again_the_full_concurrency_is_used) {
  engine_rig test;
  test.add(40'000);
  test.options.pace.requests_per_minute = 0;
  test.options.relay.total_timeout = 120s;
  test::queueing_upstream upstream(4, 20s);
  std::size_t most_late = 0;
  test.relay.plan = [&](const exchange_call& call) {
    if (test.time.since_start() >= 30 * 60) {
      upstream.take(100ms);
      if (test.time.since_start() >= 35 * 60) most_late = std::max(most_late, call.in_flight);
    }
    return completion_plan("x", upstream.answered_after(call.at));
  };
  run_for(test, 36min);
  EXPECT_EQ(most_late, 64U);
}

TEST(adaptation_test, only_the_throttled_member_of_a_pool_slows_down) {
  engine_rig test;
  test.add(8000);
  test.make_pool({"slow", "b"});
  ledger slow(test.time);
  ledger other(test.time);
  auto admits = test::sliding_window(60);
  test.relay.plan = [&](const exchange_call& call) {
    return slow.note(admits(call.at)) ? completion_plan() : refusal_plan(429);
  };
  test.others.front().plan = [&](const exchange_call&) {
    other.note(true);
    return completion_plan();
  };
  run_for(test, 20min);
  EXPECT_LT(slow.share_refused(10, 20), 0.02) << slow.text();
  EXPECT_GT(slow.served_a_minute(10, 20), 0.88 * 60) << slow.text();
  EXPECT_GT(other.served_a_minute(1, 20), 198) << other.text();
}

// Runs some of the trials of adaptation_trials with only a few seeds (adaptation_trials uses 200).
// One trial may fail by chance.
template <typename Trial>
void expect_found(const std::vector<Trial>& trials, const std::vector<std::string>& names) {
  constexpr std::uint64_t seeds = 4;
  constexpr std::uint64_t passing = seeds - 1;
  for (const auto& name : names) {
    const auto trial = std::find_if(trials.begin(), trials.end(),
                                    [&](const Trial& one) { return one.name == name; });
    ASSERT_NE(trial, trials.end()) << name;
    std::uint64_t passed = 0;
    std::string failed;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      const auto one = test::play(*trial, seed);
      if (test::passes(*trial, one)) {
        ++passed;
      } else {
        failed += fmt::format("\n seed {}: {}", seed, one.minute_by_minute);
      }
    }
    EXPECT_GE(passed, passing) << name << failed;
  }
}

TEST(adaptation_test, the_rate_of_a_relay_with_hints_and_slow_heads_is_found_soon) {
  expect_found(test::rate_trials(),
               {"sliding 60, hints, heads 2.0 s", "sliding 60, hints, heads 5.0 s",
                "sliding 60, hints, heads 10.0 s", "bucket 60, hints, heads 5.0 s"});
}

TEST(adaptation_test, random_refusals_are_soon_distinguished_from_a_limit) {
  expect_found(test::rate_trials(), {"random 3 %, heads 0.3 s", "random 5 %, heads 0.3 s",
                                     "random 5 %, heads 5.0 s", "random 8 %, heads 0.3 s"});
}

TEST(adaptation_test, after_late_answers_and_a_stall_the_full_concurrency_is_soon_used_again) {
  expect_found(test::places_trials(), {"1000 wanted, 256 places of 30 s, timeout 120 s",
                                       "stall of 60 s, 256 places of 20 s, timeout 60 s",
                                       "64 wanted, 40 places of 20 s, timeout 60 s"});
}

}  // namespace
}  // namespace sluice
