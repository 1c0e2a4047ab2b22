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

TEST(relay_health, after_five_strange_answers_the_address_is_wrong) {
  relay_health health(defaults());
  for (int i = 0; i < 4; ++i) {
    const auto verdict = health.failed(of_kind(failure_class::wrong_address), noon, noon);
    EXPECT_EQ(verdict.stop, stop_reason::none);
    EXPECT_TRUE(verdict.suspect);
    EXPECT_FALSE(verdict.charge);
  }
  const auto verdict = health.failed(of_kind(failure_class::wrong_address, "HTTP 404"), noon, noon);
  EXPECT_EQ(verdict.stop, stop_reason::wrong_address);
  EXPECT_EQ(verdict.reason, "HTTP 404");
}

TEST(relay_health, a_success_confirms_the_address_for_good) {
  relay_health health(defaults());
  EXPECT_FALSE(health.address_confirmed());
  health.succeeded(noon);
  EXPECT_TRUE(health.address_confirmed());
  for (int i = 0; i < 50; ++i) {
    const auto verdict = health.failed(of_kind(failure_class::wrong_address), noon, noon);
    EXPECT_EQ(verdict.stop, stop_reason::none);
    EXPECT_FALSE(verdict.suspect);
    EXPECT_TRUE(verdict.charge);
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

TEST(relay_health, no_server_at_the_address_ends_the_run_at_once) {
  relay_health health({});
  failure nowhere = of_kind(failure_class::wrong_address, "cannot resolve relay.exmaple");
  nowhere.code = errc::connection_failed;
  const auto verdict = health.failed(nowhere, noon, noon);
  EXPECT_EQ(verdict.stop, stop_reason::wrong_address);
  EXPECT_EQ(verdict.reason, "cannot resolve relay.exmaple");
  EXPECT_FALSE(verdict.charge);
}

TEST(relay_health, only_suspects_left_is_a_wrong_address) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::wrong_address, "HTTP 301 redirects to /login"), noon, noon);
  const auto verdict = health.only_suspects_left();
  EXPECT_EQ(verdict.stop, stop_reason::wrong_address);
  EXPECT_EQ(verdict.reason, "HTTP 301 redirects to /login");
}

TEST(relay_health, two_refusals_end_the_key) {
  relay_health health(defaults());
  const auto first = health.failed(of_kind(failure_class::key_ended), noon, noon);
  EXPECT_EQ(first.stop, stop_reason::none);
  EXPECT_FALSE(first.charge);
  EXPECT_EQ(first.pause_until, noon + 1s) << "a short error is over by then";
  EXPECT_TRUE(health.trial());
  EXPECT_EQ(health.failed(of_kind(failure_class::key_ended, "no quota"), noon + 1s, noon + 2s).stop,
            stop_reason::key_ended);
}

TEST(relay_health, attempts_in_flight_at_the_first_refusal_do_not_confirm_it) {
  relay_health health(defaults());
  for (int i = 0; i < 64; ++i) {
    const auto verdict =
        health.failed(of_kind(failure_class::key_ended), noon + i * 1ms, noon + 1s);
    EXPECT_EQ(verdict.stop, stop_reason::none) << i;
    EXPECT_FALSE(verdict.charge);
  }
  health.succeeded(noon + 2s);
  EXPECT_FALSE(health.trial());
  EXPECT_EQ(health.failed(of_kind(failure_class::key_ended), noon + 3s, noon + 4s).stop,
            stop_reason::none)
      << "after a success in between, this is a first refusal again";
  EXPECT_EQ(health.failed(of_kind(failure_class::key_ended), noon + 5s, noon + 6s).stop,
            stop_reason::key_ended);
}

TEST(relay_health, with_a_success_between_two_refusals_the_key_is_kept) {
  relay_health health(defaults());
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(health.failed(of_kind(failure_class::key_ended), noon, noon).stop, stop_reason::none);
    health.succeeded(noon);
  }
  EXPECT_FALSE(health.failed(of_kind(failure_class::key_ended), noon, noon).charge)
      << "a request never fails because of the key";
}

TEST(relay_health, an_invalid_certificate_stops_at_once) {
  relay_health health(defaults());
  EXPECT_EQ(health.failed(of_kind(failure_class::bad_certificate), noon, noon).stop,
            stop_reason::bad_certificate);
  EXPECT_EQ(health.failed(of_kind(failure_class::bad_proxy), noon, noon).stop,
            stop_reason::bad_proxy);
}

TEST(relay_health, after_a_success_a_bad_certificate_or_proxy_counts_as_no_connection) {
  for (const auto kind : {failure_class::bad_certificate, failure_class::bad_proxy}) {
    relay_health health(defaults());
    health.succeeded(noon);
    const auto verdict = health.failed(of_kind(kind, "expired"), noon + 1h, noon + 1h);
    EXPECT_EQ(verdict.stop, stop_reason::none);
    EXPECT_FALSE(verdict.charge);
    EXPECT_EQ(verdict.pause_until, noon + 1h + 1s);
    EXPECT_TRUE(health.trial());
    const auto last = health.failed(of_kind(kind, "expired"), noon + 1h, noon + 1h + 10min);
    EXPECT_EQ(last.stop, stop_reason::relay_down);
    EXPECT_EQ(last.reason, "expired") << "the message contains the cause";
  }
}

TEST(relay_health, with_several_models_two_of_them_must_agree_on_a_wrong_address) {
  const auto strange = [](relay_health& health, std::string_view model) {
    return health.failed(of_kind(failure_class::wrong_address), noon, noon, 0, false, model);
  };
  relay_health one(defaults());
  for (int i = 1; i < 5; ++i) EXPECT_TRUE(strange(one, "a").suspect) << i;
  for (int i = 0; i < 20; ++i) {
    const auto verdict = strange(one, "a");
    EXPECT_EQ(verdict.stop, stop_reason::none);
    EXPECT_FALSE(verdict.suspect) << "the model may be the cause, so only the request fails";
  }
  EXPECT_EQ(strange(one, "b").stop, stop_reason::wrong_address);

  relay_health both(defaults());
  for (int i = 1; i < 5; ++i) EXPECT_TRUE(strange(both, i % 2 == 0 ? "a" : "b").suspect) << i;
  EXPECT_EQ(strange(both, "a").stop, stop_reason::wrong_address);
}

TEST(relay_health, a_full_service_tier_is_not_a_problem_of_the_relay) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::passing);
  why.http_status = 498;
  why.tier_full = true;
  why.retry_after = 2h;
  for (unsigned i = 0; i < 2 * relay_health::options{}.failures_before_trial; ++i) {
    const auto verdict = health.failed(why, noon, noon);
    EXPECT_TRUE(verdict.charge);
    EXPECT_FALSE(verdict.pause_until) << "its hint applies only to requests of that tier";
    EXPECT_EQ(verdict.stop, stop_reason::none);
  }
  EXPECT_FALSE(health.trial());
}

TEST(relay_health, a_hint_longer_than_max_wait_stops_the_run) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::throttled, "try again tomorrow");
  why.retry_after = 10min;
  EXPECT_EQ(health.failed(why, noon, noon).stop, stop_reason::none);
  why.retry_after = 10min + 1ns;
  const auto verdict = health.failed(why, noon, noon);
  EXPECT_EQ(verdict.stop, stop_reason::come_back_later);
  EXPECT_EQ(verdict.reason, "try again tomorrow");
}

TEST(relay_health, a_refusal_pauses_the_key_for_the_time_of_its_hint) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::throttled);
  why.retry_after = 37s;
  const auto verdict = health.failed(why, noon, noon + 1s);
  EXPECT_EQ(verdict.pause_until, noon + 38s);
  EXPECT_FALSE(verdict.charge);
}

TEST(relay_health, a_hint_in_a_server_error_pauses_the_key_too) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::passing);
  why.retry_after = 5s;
  const auto verdict = health.failed(why, noon, noon);
  EXPECT_EQ(verdict.pause_until, noon + 5s);
  EXPECT_TRUE(verdict.charge);
  EXPECT_FALSE(health.trial());
}

TEST(relay_health, a_wait_that_the_relay_asked_for_is_no_trouble) {
  for (const bool asked_at_once : {true, false}) {
    relay_health health(defaults());
    failure why = of_kind(failure_class::throttled);
    if (!asked_at_once) health.failed(why, noon - 5s, noon - 5s);
    why.retry_after = 9min;
    EXPECT_EQ(health.failed(why, noon, noon).stop, stop_reason::none);
    why.retry_after = 8min;
    EXPECT_EQ(health.failed(why, noon - 1s, noon + 1s).stop, stop_reason::none) << "ends earlier";
    why.retry_after = 1s;
    const time_point later = noon + 10min + 1s;
    EXPECT_EQ(health.failed(why, later, later).stop, stop_reason::none);
    EXPECT_EQ(health.failed(why, later + 8min, later + 8min).stop, stop_reason::none);
    EXPECT_EQ(health.failed(why, later + 10min, later + 10min).stop, stop_reason::relay_down);
  }
}

TEST(relay_health, a_relay_that_asks_to_wait_again_and_again_is_down_in_the_end) {
  for (const duration hint : {duration{1s}, duration{60s}, duration{9min}}) {
    relay_health health(defaults());
    failure why = of_kind(failure_class::throttled);
    why.retry_after = hint;
    time_point now = noon;
    for (auto verdict = health.failed(why, now, now); verdict.stop == stop_reason::none;
         verdict = health.failed(why, now, now)) {
      ASSERT_LT(now, noon + 1h) << hint.count();
      now = *verdict.pause_until + 1s;
    }
    EXPECT_GE(now, noon + 10min) << hint.count();
    EXPECT_LE(now, noon + 10min + 10min + hint + 1min) << "at most --max-wait of it is no trouble";
  }
}

TEST(relay_health, a_success_ends_what_the_relay_may_ask_for) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::throttled);
  time_point now = noon;
  for (int i = 0; i < 10; ++i) {
    why.retry_after = 10min;
    EXPECT_EQ(health.failed(why, now, now).stop, stop_reason::none) << i;
    now += 10min + 1s;
    EXPECT_EQ(health.failed(why, now, now).stop, stop_reason::none) << i;
    now += 10min + 1s;
    health.succeeded(now);
  }
}

TEST(relay_health, a_long_pause_that_another_process_began_is_no_trouble) {
  relay_health health(defaults());
  const failure why = of_kind(failure_class::throttled);
  health.failed(why, noon, noon);
  health.paused_by_others(noon + 9min);
  const time_point later = noon + 10min;
  EXPECT_EQ(health.failed(why, later, later).stop, stop_reason::none);
  EXPECT_EQ(health.failed(why, later + 9min, later + 9min).stop, stop_reason::relay_down);
}

TEST(relay_health, the_backoff_of_another_process_is_trouble) {
  relay_health health(defaults());
  const failure why = of_kind(failure_class::throttled);
  for (time_point now = noon; now < noon + 10min; now += 1min) {
    EXPECT_EQ(health.failed(why, now, now).stop, stop_reason::none);
    health.paused_by_others(now + 1min);
  }
  EXPECT_EQ(health.failed(why, noon + 10min, noon + 10min).stop, stop_reason::relay_down);
}

TEST(relay_health, refusals_without_a_hint_double_the_pause) {
  relay_health health(defaults());
  time_point now = noon;
  duration expected = 1s;
  for (int i = 0; i < 9; ++i) {
    const auto verdict = health.failed(of_kind(failure_class::throttled), now, now);
    ASSERT_TRUE(verdict.pause_until);
    EXPECT_EQ(*verdict.pause_until - now, expected) << i;
    EXPECT_TRUE(health.trial());
    now = *verdict.pause_until;
    expected = std::min(expected * 2, duration{60s});
  }
  health.succeeded(now);
  EXPECT_FALSE(health.trial());
  EXPECT_EQ(*health.failed(of_kind(failure_class::throttled), now, now).pause_until, now + 1s);
}

TEST(relay_health, attempts_sent_before_a_problem_do_not_make_it_worse) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::throttled), noon, noon + 1s);
  for (int i = 0; i < 63; ++i) {
    const auto verdict = health.failed(of_kind(failure_class::throttled), noon, noon + 1100ms);
    EXPECT_EQ(verdict.pause_until, noon + 2s);
  }
}

TEST(relay_health, a_success_sent_before_a_problem_does_not_end_it) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::throttled), noon + 1s, noon + 2s);
  health.succeeded(noon);
  EXPECT_TRUE(health.trial());
  health.succeeded(noon + 3s);
  EXPECT_FALSE(health.trial());
}

TEST(relay_health, without_a_connection_no_attempt_is_charged) {
  relay_health health(defaults());
  time_point now = noon;
  duration expected = 1s;
  for (int i = 0; i < 8; ++i) {
    const auto verdict = health.failed(of_kind(failure_class::unreachable), now, now);
    EXPECT_FALSE(verdict.charge);
    ASSERT_TRUE(verdict.pause_until);
    EXPECT_EQ(*verdict.pause_until - now, expected);
    EXPECT_TRUE(health.trial());
    now = *verdict.pause_until;
    expected = std::min(expected * 2, duration{60s});
  }
}

TEST(relay_health, after_ten_minutes_without_a_connection_the_relay_is_down) {
  relay_health health(defaults());
  EXPECT_EQ(health.failed(of_kind(failure_class::unreachable), noon, noon).stop, stop_reason::none);
  EXPECT_EQ(health.failed(of_kind(failure_class::unreachable), noon, noon + 10min - 1ns).stop,
            stop_reason::none);
  const auto verdict = health.failed(of_kind(failure_class::unreachable), noon, noon + 10min);
  EXPECT_EQ(verdict.stop, stop_reason::unreachable);
  EXPECT_FALSE(verdict.charge);
}

TEST(relay_health, a_relay_that_has_answered_before_is_down_and_not_unreachable) {
  relay_health health(defaults());
  health.succeeded(noon);
  health.failed(of_kind(failure_class::unreachable), noon, noon);
  EXPECT_EQ(health.failed(of_kind(failure_class::unreachable), noon, noon + 10min).stop,
            stop_reason::relay_down);
}

TEST(relay_health, a_gateway_that_blocks_all_requests_is_not_a_wrong_address) {
  relay_health health(defaults());
  failure page = of_kind(failure_class::key_ended);
  page.code = errc::http_error;
  page.http_status = 403;
  page.foreign = true;
  page.ends_with = stop_reason::blocked;
  stop_reason stop = stop_reason::none;
  for (unsigned i = 0; i < relay_health::suspicious_answers; ++i) {
    EXPECT_EQ(stop, stop_reason::none);
    stop = health.failed(page, noon + i * 1s, noon + i * 1s).stop;
  }
  EXPECT_EQ(stop, stop_reason::blocked);
}

TEST(relay_health, a_success_restarts_the_ten_minutes) {
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

TEST(relay_health, after_a_hundred_temporary_failures_there_is_one_trial_at_a_time) {
  relay_health health(defaults());
  for (unsigned i = 1; i < relay_health::options{}.failures_before_trial; ++i) {
    const auto verdict = health.failed(of_kind(failure_class::passing), noon, noon);
    EXPECT_TRUE(verdict.charge);
    EXPECT_FALSE(verdict.pause_until);
    EXPECT_FALSE(health.trial()) << i;
  }
  EXPECT_TRUE(health.failed(of_kind(failure_class::passing), noon, noon).charge);
  EXPECT_TRUE(health.trial());
  const auto verdict = health.failed(of_kind(failure_class::passing), noon, noon);
  EXPECT_FALSE(verdict.charge) << "trials are free";
  EXPECT_TRUE(verdict.pause_until);
  health.succeeded(noon);
  EXPECT_FALSE(health.trial());
}

TEST(relay_health, a_rest_ends_the_problems_that_led_to_it) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::throttled), noon, noon);
  EXPECT_TRUE(health.trial());
  health.rested();
  EXPECT_FALSE(health.trial());
  const time_point later = noon + 2h;
  const auto verdict = health.failed(of_kind(failure_class::unreachable), later, later);
  EXPECT_EQ(verdict.stop, stop_reason::none) << "the time at rest does not count as failure";
}

TEST(relay_health, a_model_without_an_upstream_is_not_a_problem_of_the_relay) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::passing);
  why.http_status = 503;
  why.model_out = true;
  for (unsigned i = 0; i < 2 * relay_health::options{}.failures_before_trial; ++i) {
    EXPECT_TRUE(health.failed(why, noon, noon).charge);
  }
  EXPECT_FALSE(health.trial());
}

TEST(relay_health, attempts_in_flight_do_not_make_the_pause_longer) {
  relay_health health(defaults());
  for (unsigned i = 0; i < relay_health::options{}.failures_before_trial; ++i) {
    health.failed(of_kind(failure_class::passing), noon, noon + 1s);
  }
  for (int i = 0; i < 63; ++i) {
    const auto verdict = health.failed(of_kind(failure_class::passing), noon, noon + 1100ms);
    EXPECT_EQ(verdict.pause_until, noon + 2s);
  }
  EXPECT_EQ(health.failed(of_kind(failure_class::passing), noon + 2s, noon + 3s).pause_until,
            noon + 5s);
}

TEST(relay_health, failures_after_a_refusal_are_charged) {
  relay_health health(defaults());
  EXPECT_FALSE(health.failed(of_kind(failure_class::throttled), noon, noon).charge);
  EXPECT_TRUE(health.failed(of_kind(failure_class::passing), noon + 1s, noon + 2s).charge);
  EXPECT_FALSE(health.trial()) << "the relay accepted it";
}

TEST(relay_health, the_head_of_a_successful_reply_ends_throttling) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::throttled), noon, noon + 1s);
  health.answered(noon, noon + 2s);
  EXPECT_TRUE(health.trial()) << "this attempt started before the refusal";
  health.answered(noon + 2s, noon + 3s);
  EXPECT_FALSE(health.trial());
}

TEST(relay_health, a_hint_that_was_too_short_is_not_believed_again) {
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

TEST(relay_health, the_first_hint_only_pauses_and_the_next_one_lowers_the_rate) {
  relay_health health(defaults());
  failure why = of_kind(failure_class::throttled);
  why.retry_after = 30s;
  health.failed(why, noon, noon);
  EXPECT_FALSE(health.rate().limits());
  health.answered(noon + 30s, noon + 31s);
  health.failed(why, noon + 40s, noon + 40s);
  EXPECT_TRUE(health.rate().limits());
}

TEST(relay_health, among_spread_starts_two_refusals_lead_to_a_trial_but_not_one) {
  relay_health health(defaults());
  health.failed(of_kind(failure_class::throttled), noon, noon);
  EXPECT_TRUE(health.trial());
  health.answered(noon + 1s, noon + 1s);
  EXPECT_FALSE(health.trial());
  health.failed(of_kind(failure_class::throttled), noon + 9s, noon + 9s);
  EXPECT_FALSE(health.trial()) << "a single refusal is how the rate is found";
  health.failed(of_kind(failure_class::throttled), noon + 12s, noon + 12s);
  EXPECT_TRUE(health.trial());
}

// nginx's limit_req counts in thousandths of a request. At 200 a minute it refuses a start that
// comes exactly 300 ms after the previous one.
TEST(relay_health, the_rate_stays_below_a_leaky_bucket_that_refuses_the_even_pace) {
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
        const auto verdict = health.failed(why, now, now);
        now = std::max(now, verdict.pause_until.value_or(now));
        ++refused;
      }
      now += std::max<duration>(300ms, health.rate().gap());
    }
    EXPECT_LE(refused, 16) << status;
    EXPECT_LE(health.rate().gap(), 350ms) << status << ": not slower than needed";
  }
}

TEST(relay_health, overload_also_spreads_the_starts) {
  relay_health::options options;
  options.requests_per_minute = 200;
  relay_health health(options);
  failure why = of_kind(failure_class::passing);
  why.http_status = 503;
  why.model_out = true;
  health.failed(why, noon, noon);
  EXPECT_EQ(health.rate().gap(), 0s) << "no channel for a model is not an overload";
  why.model_out = false;
  health.failed(why, noon, noon);
  EXPECT_EQ(health.rate().gap(), 0s) << "a single one proves nothing";
  for (int i = 0; i < 2; ++i) health.failed(why, noon, noon);
  EXPECT_GT(health.rate().gap(), 300ms);
}

TEST(relay_health, a_web_page_that_refuses_makes_the_address_suspect) {
  relay_health health(defaults());
  failure page = of_kind(failure_class::key_ended);
  page.foreign = true;
  for (unsigned i = 1; i < relay_health::suspicious_answers; ++i) {
    const auto verdict = health.failed(page, noon, noon);
    EXPECT_TRUE(verdict.suspect);
    EXPECT_EQ(verdict.stop, stop_reason::none);
  }
  EXPECT_EQ(health.failed(page, noon, noon).stop, stop_reason::wrong_address);
}

TEST(relay_health, a_success_ends_a_row_of_failures) {
  relay_health health(defaults());
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 99; ++i) health.failed(of_kind(failure_class::passing), noon, noon);
    EXPECT_FALSE(health.trial());
    health.succeeded(noon);
  }
}

TEST(relay_health, a_few_temporary_failures_far_apart_do_not_mean_a_dead_relay) {
  relay_health health(defaults());
  for (int i = 0; i < 99; ++i) {
    EXPECT_EQ(health.failed(timeout(), noon, noon + i * 10min).stop, stop_reason::none) << i;
  }
}

TEST(relay_health, trials_that_fail_for_ten_minutes_mean_a_dead_relay) {
  relay_health health(defaults());
  for (int i = 0; i < 100; ++i) health.failed(timeout(), noon, noon);
  EXPECT_EQ(health.failed(timeout(), noon, noon + 10min - 1ns).stop, stop_reason::none);
  EXPECT_EQ(health.failed(timeout(), noon, noon + 10min).stop, stop_reason::relay_down);
}

TEST(relay_health, permanent_failures_say_nothing_about_the_relay) {
  relay_health health(defaults());
  for (int i = 0; i < 500; ++i) {
    const auto verdict = health.failed(of_kind(failure_class::permanent), noon, noon + i * 1min);
    EXPECT_TRUE(verdict.charge);
    EXPECT_EQ(verdict.stop, stop_reason::none);
    EXPECT_FALSE(verdict.pause_until);
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
