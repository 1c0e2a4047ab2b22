#include "upstream/relay_health.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr time_point noon = time_point{} + 12h;

failure of_kind(failure_class kind, std::string message = "why") {
  failure why;
  why.kind = kind;
  why.message = std::move(message);
  if (kind == failure_class::unreachable) why.code = errc::connection_failed;
  if (kind == failure_class::bad_certificate) why.code = errc::tls_failed;
  return why;
}

failure timeout() {
  failure why;
  why.code = errc::request_timeout;
  why.kind = failure_class::passing;
  return why;
}

relay_health::options defaults() {
  return {};
}

TEST(relay_health, five_strange_answers_and_the_address_is_wrong) {
  relay_health health(defaults());
  for (int i = 0; i < 4; ++i) {
    const auto told = health.failed(of_kind(failure_class::wrong_address), noon, noon);
    EXPECT_EQ(told.stop, stop_reason::none);
    EXPECT_TRUE(told.suspect);
    EXPECT_FALSE(told.charge);
  }
  const auto told = health.failed(of_kind(failure_class::wrong_address, "HTTP 404"), noon, noon);
  EXPECT_EQ(told.stop, stop_reason::wrong_address);
  EXPECT_EQ(told.reason, "HTTP 404");
}

TEST(relay_health, a_success_confirms_the_address_for_good) {
  relay_health health(defaults());
  EXPECT_FALSE(health.address_confirmed());
  health.succeeded(noon);
  EXPECT_TRUE(health.address_confirmed());
  for (int i = 0; i < 50; ++i) {
    const auto told = health.failed(of_kind(failure_class::wrong_address), noon, noon);
    EXPECT_EQ(told.stop, stop_reason::none);
    EXPECT_FALSE(told.suspect);
    EXPECT_TRUE(told.charge);
  }
}

TEST(relay_health, an_error_of_this_api_confirms_the_address_too) {
  for (const auto kind : {failure_class::permanent, failure_class::throttled,
                          failure_class::passing, failure_class::key_ended}) {
    relay_health health(defaults());
    health.failed(of_kind(kind), noon, noon);
    EXPECT_TRUE(health.address_confirmed());
  }
}

TEST(relay_health, a_broken_connection_confirms_nothing) {
  relay_health health(defaults());
  health.failed(timeout(), noon, noon);
  health.failed(of_kind(failure_class::unreachable), noon, noon);
  EXPECT_FALSE(health.address_confirmed());
}

TEST(relay_health, only_suspects_left_is_a_wrong_address) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::wrong_address, "HTTP 301 redirects to /login"), noon, noon);
  const auto told = health.only_suspects_left();
  EXPECT_EQ(told.stop, stop_reason::wrong_address);
  EXPECT_EQ(told.reason, "HTTP 301 redirects to /login");
}

TEST(relay_health, two_refusals_of_the_key_end_it) {
  relay_health health(defaults());
  const auto first = health.failed(of_kind(failure_class::key_ended), noon, noon);
  EXPECT_EQ(first.stop, stop_reason::none);
  EXPECT_FALSE(first.charge);
  EXPECT_EQ(first.pause_until, noon + 1s) << "a blink is over by then";
  EXPECT_TRUE(health.trial());
  EXPECT_EQ(health.failed(of_kind(failure_class::key_ended, "no quota"), noon + 1s, noon + 2s).stop,
            stop_reason::key_ended);
}

TEST(relay_health, refusals_that_were_on_their_way_with_the_first_confirm_nothing) {
  relay_health health(defaults());
  for (int i = 0; i < 64; ++i) {
    const auto told = health.failed(of_kind(failure_class::key_ended), noon + i * 1ms, noon + 1s);
    EXPECT_EQ(told.stop, stop_reason::none) << i;
    EXPECT_FALSE(told.charge);
  }
  health.succeeded(noon + 2s);
  EXPECT_FALSE(health.trial());
  EXPECT_EQ(health.failed(of_kind(failure_class::key_ended), noon + 3s, noon + 4s).stop,
            stop_reason::none)
      << "a success in between: that one is the first again";
  EXPECT_EQ(health.failed(of_kind(failure_class::key_ended), noon + 5s, noon + 6s).stop,
            stop_reason::key_ended);
}

TEST(relay_health, a_success_between_two_refusals_keeps_the_key) {
  relay_health health(defaults());
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(health.failed(of_kind(failure_class::key_ended), noon, noon).stop, stop_reason::none);
    health.succeeded(noon);
  }
  EXPECT_FALSE(health.failed(of_kind(failure_class::key_ended), noon, noon).charge)
      << "no request fails for the key; with nobody left who succeeds, the key has ended";
}

TEST(relay_health, a_certificate_that_does_not_verify_stops_at_once) {
  relay_health health(defaults());
  EXPECT_EQ(health.failed(of_kind(failure_class::bad_certificate), noon, noon).stop,
            stop_reason::bad_certificate);
  EXPECT_EQ(health.failed(of_kind(failure_class::bad_proxy), noon, noon).stop,
            stop_reason::bad_proxy);
}

TEST(relay_health, after_a_success_a_bad_certificate_or_proxy_is_trouble_like_no_connection) {
  for (const auto kind : {failure_class::bad_certificate, failure_class::bad_proxy}) {
    relay_health health(defaults());
    health.succeeded(noon);
    const auto told = health.failed(of_kind(kind, "expired"), noon + 1h, noon + 1h);
    EXPECT_EQ(told.stop, stop_reason::none);
    EXPECT_FALSE(told.charge);
    EXPECT_EQ(told.pause_until, noon + 1h + 1s);
    EXPECT_TRUE(health.trial());
    const auto last = health.failed(of_kind(kind, "expired"), noon + 1h, noon + 1h + 10min);
    EXPECT_EQ(last.stop, stop_reason::relay_down);
    EXPECT_EQ(last.reason, "expired") << "the cause is kept";
  }
}

TEST(relay_health, where_jobs_ask_for_several_models_two_must_agree_on_a_wrong_address) {
  const auto strange = [](relay_health& health, std::string_view model) {
    return health.failed(of_kind(failure_class::wrong_address), noon, noon, 0, false, model);
  };
  relay_health one(defaults());
  for (int i = 1; i < 5; ++i) EXPECT_TRUE(strange(one, "a").suspect) << i;
  for (int i = 0; i < 20; ++i) {
    const auto told = strange(one, "a");
    EXPECT_EQ(told.stop, stop_reason::none);
    EXPECT_FALSE(told.suspect) << "it may be the model's alone: the request fails for itself";
  }
  EXPECT_EQ(strange(one, "b").stop, stop_reason::wrong_address);

  relay_health both(defaults());
  for (int i = 1; i < 5; ++i) EXPECT_TRUE(strange(both, i % 2 == 0 ? "a" : "b").suspect) << i;
  EXPECT_EQ(strange(both, "a").stop, stop_reason::wrong_address);
}

TEST(relay_health, a_full_tier_is_no_trouble_of_the_relay) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::passing);
  why.http_status = 498;
  why.tier_full = true;
  why.retry_after = 2h;
  for (unsigned i = 0; i < 2 * relay_health::options{}.failures_before_trial; ++i) {
    const auto told = health.failed(why, noon, noon);
    EXPECT_TRUE(told.charge);
    EXPECT_FALSE(told.pause_until) << "its hint is for requests of that tier";
    EXPECT_EQ(told.stop, stop_reason::none);
  }
  EXPECT_FALSE(health.trial());
}

TEST(relay_health, a_hint_beyond_the_longest_wait_stops) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::throttled, "try again tomorrow");
  why.retry_after = 10min;
  EXPECT_EQ(health.failed(why, noon, noon).stop, stop_reason::none);
  why.retry_after = 10min + 1ns;
  const auto told = health.failed(why, noon, noon);
  EXPECT_EQ(told.stop, stop_reason::come_back_later);
  EXPECT_EQ(told.reason, "try again tomorrow");
}

TEST(relay_health, a_refusal_pauses_the_key_as_its_hint_says) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::throttled);
  why.retry_after = 37s;
  const auto told = health.failed(why, noon, noon + 1s);
  EXPECT_EQ(told.pause_until, noon + 38s);
  EXPECT_FALSE(told.charge);
}

TEST(relay_health, a_hint_on_a_server_error_pauses_the_key_as_well) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::passing);
  why.retry_after = 5s;
  const auto told = health.failed(why, noon, noon);
  EXPECT_EQ(told.pause_until, noon + 5s);
  EXPECT_TRUE(told.charge);
  EXPECT_FALSE(health.trial());
}

TEST(relay_health, refusals_without_a_hint_slow_down_by_doubling) {
  relay_health health(defaults());
  time_point now = noon;
  duration expected = 1s;
  for (int i = 0; i < 9; ++i) {
    const auto told = health.failed(of_kind(failure_class::throttled), now, now);
    ASSERT_TRUE(told.pause_until);
    EXPECT_EQ(*told.pause_until - now, expected) << i;
    EXPECT_TRUE(health.trial());
    now = *told.pause_until;
    expected = std::min(expected * 2, duration{60s});
  }
  health.succeeded(now);
  EXPECT_FALSE(health.trial());
  EXPECT_EQ(*health.failed(of_kind(failure_class::throttled), now, now).pause_until, now + 1s);
}

TEST(relay_health, attempts_sent_before_the_trouble_do_not_make_it_worse) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::throttled), noon, noon + 1s);
  for (int i = 0; i < 63; ++i) {
    const auto told = health.failed(of_kind(failure_class::throttled), noon, noon + 1100ms);
    EXPECT_EQ(told.pause_until, noon + 2s);
  }
}

TEST(relay_health, a_success_sent_before_the_trouble_does_not_end_it) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::throttled), noon + 1s, noon + 2s);
  health.succeeded(noon);
  EXPECT_TRUE(health.trial());
  health.succeeded(noon + 3s);
  EXPECT_FALSE(health.trial());
}

TEST(relay_health, no_connection_costs_nobody_an_attempt) {
  relay_health health(defaults());
  time_point now = noon;
  duration expected = 1s;
  for (int i = 0; i < 8; ++i) {
    const auto told = health.failed(of_kind(failure_class::unreachable), now, now);
    EXPECT_FALSE(told.charge);
    ASSERT_TRUE(told.pause_until);
    EXPECT_EQ(*told.pause_until - now, expected);
    EXPECT_TRUE(health.trial());
    now = *told.pause_until;
    expected = std::min(expected * 2, duration{60s});
  }
}

TEST(relay_health, ten_minutes_without_a_connection_and_the_relay_is_down) {
  relay_health health(defaults());
  EXPECT_EQ(health.failed(of_kind(failure_class::unreachable), noon, noon).stop, stop_reason::none);
  EXPECT_EQ(health.failed(of_kind(failure_class::unreachable), noon, noon + 10min - 1ns).stop,
            stop_reason::none);
  const auto told = health.failed(of_kind(failure_class::unreachable), noon, noon + 10min);
  EXPECT_EQ(told.stop, stop_reason::relay_down);
  EXPECT_FALSE(told.charge);
}

TEST(relay_health, a_success_begins_the_ten_minutes_anew) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::unreachable), noon, noon);
  health.succeeded(noon + 9min);
  EXPECT_EQ(health.failed(of_kind(failure_class::unreachable), noon, noon + 11min).stop,
            stop_reason::none);
  EXPECT_EQ(health.failed(of_kind(failure_class::unreachable), noon, noon + 20min).stop,
            stop_reason::none);
  EXPECT_EQ(health.failed(of_kind(failure_class::unreachable), noon, noon + 21min).stop,
            stop_reason::relay_down);
}

TEST(relay_health, a_hundred_passing_failures_in_a_row_and_one_at_a_time) {
  relay_health health(defaults());
  for (unsigned i = 1; i < relay_health::options{}.failures_before_trial; ++i) {
    const auto told = health.failed(of_kind(failure_class::passing), noon, noon);
    EXPECT_TRUE(told.charge);
    EXPECT_FALSE(told.pause_until);
    EXPECT_FALSE(health.trial()) << i;
  }
  EXPECT_TRUE(health.failed(of_kind(failure_class::passing), noon, noon).charge);
  EXPECT_TRUE(health.trial());
  const auto told = health.failed(of_kind(failure_class::passing), noon, noon);
  EXPECT_FALSE(told.charge) << "trials are free";
  EXPECT_TRUE(told.pause_until);
  health.succeeded(noon);
  EXPECT_FALSE(health.trial());
}

TEST(relay_health, a_rest_ends_the_troubles_that_led_to_it) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::throttled), noon, noon);
  EXPECT_TRUE(health.trial());
  health.rested();
  EXPECT_FALSE(health.trial());
  const time_point later = noon + 2h;
  const auto told = health.failed(of_kind(failure_class::unreachable), later, later);
  EXPECT_EQ(told.stop, stop_reason::none) << "hours at rest were no hours of trouble";
}

TEST(relay_health, a_model_without_an_upstream_is_no_trouble_of_the_relay) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::passing);
  why.http_status = 503;
  why.model_out = true;
  for (unsigned i = 0; i < 2 * relay_health::options{}.failures_before_trial; ++i) {
    EXPECT_TRUE(health.failed(why, noon, noon).charge);
  }
  EXPECT_FALSE(health.trial());
}

TEST(relay_health, the_crowd_that_was_on_its_way_does_not_make_the_pause_longer) {
  relay_health health(defaults());
  for (unsigned i = 0; i < relay_health::options{}.failures_before_trial; ++i) {
    health.failed(of_kind(failure_class::passing), noon, noon + 1s);
  }
  for (int i = 0; i < 63; ++i) {
    const auto told = health.failed(of_kind(failure_class::passing), noon, noon + 1100ms);
    EXPECT_EQ(told.pause_until, noon + 2s);
  }
  EXPECT_EQ(health.failed(of_kind(failure_class::passing), noon + 2s, noon + 3s).pause_until,
            noon + 5s);
}

TEST(relay_health, failures_after_a_refusal_are_charged) {
  relay_health health(defaults());
  EXPECT_FALSE(health.failed(of_kind(failure_class::throttled), noon, noon).charge);
  EXPECT_TRUE(health.failed(of_kind(failure_class::passing), noon + 1s, noon + 2s).charge);
  EXPECT_FALSE(health.trial()) << "it was let in";
}

TEST(relay_health, the_head_of_a_good_reply_ends_a_refusal) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::throttled), noon, noon + 1s);
  health.answered(noon, noon + 2s);
  EXPECT_TRUE(health.trial()) << "that one was let in before";
  health.answered(noon + 2s, noon + 3s);
  EXPECT_FALSE(health.trial());
}

TEST(relay_health, a_hint_that_promised_too_much_is_not_believed_again) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::throttled);
  why.retry_after = 10ms;
  EXPECT_EQ(health.failed(why, noon, noon).pause_until, noon + 10ms);
  EXPECT_EQ(health.failed(why, noon + 10ms, noon + 20ms).pause_until, noon + 20ms + 2s);
  EXPECT_EQ(health.failed(why, noon + 3s, noon + 3s).pause_until, noon + 3s + 4s);
}

TEST(relay_health, refusals_spread_the_starts) {
  relay_health::options options;
  options.requests_per_minute = 200;
  relay_health health(options);
  EXPECT_EQ(health.rate().gap(), 0s);
  health.failed(of_kind(failure_class::throttled), noon, noon);
  const duration first = health.rate().gap();
  EXPECT_GT(first, 300ms);
  health.answered(noon + 1s, noon + 1s);
  health.failed(of_kind(failure_class::throttled), noon + 2s, noon + 2s);
  EXPECT_GT(health.rate().gap(), first);
}

TEST(relay_health, a_first_hint_is_taken_at_its_word_and_the_next_one_spreads_the_starts) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::throttled);
  why.retry_after = 30s;
  health.failed(why, noon, noon);
  EXPECT_FALSE(health.rate().limits());
  health.answered(noon + 30s, noon + 31s);
  health.failed(why, noon + 40s, noon + 40s);
  EXPECT_TRUE(health.rate().limits());
}

TEST(relay_health, a_refusal_among_spread_starts_is_no_trial_but_two_are) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::throttled), noon, noon);
  EXPECT_TRUE(health.trial());
  health.answered(noon + 1s, noon + 1s);
  EXPECT_FALSE(health.trial());
  health.failed(of_kind(failure_class::throttled), noon + 9s, noon + 9s);
  EXPECT_FALSE(health.trial()) << "that is how the rate is found";
  health.failed(of_kind(failure_class::throttled), noon + 12s, noon + 12s);
  EXPECT_TRUE(health.trial());
}

// nginx's limit_req, which counts in thousandths: at 200 a minute it refuses a start that comes
// exactly 300 ms after the one before.
TEST(relay_health, a_leaky_bucket_that_refuses_the_even_pace_is_kept_clear_of) {
  for (const int status : {429, 503}) {
    relay_health::options options;
    options.requests_per_minute = 200;
    relay_health health(options);
    failure why = of_kind(status == 429 ? failure_class::throttled : failure_class::passing);
    why.http_status = status;
    time_point now = noon;
    time_point let_in = noon - 1h;
    int refused = 0;
    for (int i = 0; i < 400; ++i) {
      if (now - let_in > 300ms) {
        let_in = now;
        health.answered(now, now);
        health.succeeded(now);
      } else {
        const auto told = health.failed(why, now, now);
        now = std::max(now, told.pause_until.value_or(now));
        ++refused;
      }
      now += std::max<duration>(300ms, health.rate().gap());
    }
    EXPECT_LE(refused, 16) << status;
    EXPECT_LE(health.rate().gap(), 350ms) << status << ": and no slower than it must";
  }
}

TEST(relay_health, an_overloaded_relay_is_spread_over_too) {
  relay_health::options options;
  options.requests_per_minute = 200;
  relay_health health(options);
  failure why = of_kind(failure_class::passing);
  why.http_status = 503;
  why.model_out = true;
  health.failed(why, noon, noon);
  EXPECT_EQ(health.rate().gap(), 0s) << "no channel for a model is no overload";
  why.model_out = false;
  health.failed(why, noon, noon);
  EXPECT_EQ(health.rate().gap(), 0s) << "one may be anything";
  for (int i = 0; i < 2; ++i) health.failed(why, noon, noon);
  EXPECT_GT(health.rate().gap(), 300ms);
}

TEST(relay_health, a_page_that_refuses_makes_the_address_suspect) {
  relay_health health(defaults());
  failure page = of_kind(failure_class::key_ended);
  page.foreign = true;
  for (unsigned i = 1; i < relay_health::suspicious_answers; ++i) {
    const auto told = health.failed(page, noon, noon);
    EXPECT_TRUE(told.suspect);
    EXPECT_EQ(told.stop, stop_reason::none);
  }
  EXPECT_EQ(health.failed(page, noon, noon).stop, stop_reason::wrong_address);
}

TEST(relay_health, a_success_ends_the_row_of_failures) {
  relay_health health(defaults());
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 99; ++i) health.failed(of_kind(failure_class::passing), noon, noon);
    EXPECT_FALSE(health.trial());
    health.succeeded(noon);
  }
}

TEST(relay_health, a_few_passing_failures_far_apart_are_no_dead_relay) {
  relay_health health(defaults());
  for (int i = 0; i < 99; ++i) {
    EXPECT_EQ(health.failed(timeout(), noon, noon + i * 10min).stop, stop_reason::none) << i;
  }
}

TEST(relay_health, trials_that_fail_for_ten_minutes_are) {
  relay_health health(defaults());
  for (int i = 0; i < 100; ++i) health.failed(timeout(), noon, noon);
  EXPECT_EQ(health.failed(timeout(), noon, noon + 10min - 1ns).stop, stop_reason::none);
  EXPECT_EQ(health.failed(timeout(), noon, noon + 10min).stop, stop_reason::relay_down);
}

TEST(relay_health, permanent_failures_say_nothing_of_the_relay) {
  relay_health health(defaults());
  for (int i = 0; i < 500; ++i) {
    const auto told = health.failed(of_kind(failure_class::permanent), noon, noon + i * 1min);
    EXPECT_TRUE(told.charge);
    EXPECT_EQ(told.stop, stop_reason::none);
    EXPECT_FALSE(told.pause_until);
  }
  EXPECT_FALSE(health.trial());
}

TEST(relay_health, an_answer_of_any_kind_shows_that_connections_open) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::unreachable), noon, noon);
  EXPECT_TRUE(health.trial());
  health.failed(of_kind(failure_class::passing), noon + 1s, noon + 1s);
  EXPECT_FALSE(health.trial());
}

}  // namespace
}  // namespace sluice
