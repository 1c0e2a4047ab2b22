#include "sluice/engine.hpp"

#include <gmock/gmock.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <list>
#include <map>
#include <random>
#include <set>

#include "support/engine_rig.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;
using test::completion_plan;
using test::engine_rig;
using test::exchange_call;
using test::exchange_plan;
using test::refusal_plan;
using test::unreachable_plan;
using testing::HasSubstr;

// The id of the request in a call.
std::string id_in(const exchange_call& call) {
  const std::size_t at = call.body.find(R"("user":")") + 8;
  return call.body.substr(at, call.body.find('"', at) - at);
}

TEST(engine_test, gives_every_request_its_result) {
  engine_rig test;
  test.add(500);
  test.options.pace.requests_per_minute = 0;
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.fault, nullptr);
  EXPECT_EQ(test.succeeded(), 500U);
  EXPECT_EQ(test.sink.attempts, 500U);
  EXPECT_EQ(test.sink.retries, 0U);
  EXPECT_EQ(test.sink.lost, 0U);
  EXPECT_GE(test.sink.flushes, 1U);
  const result& one = test.result_of("0-7");
  EXPECT_EQ(one.line, 7U);
  EXPECT_EQ(one.attempts, 1U);
  EXPECT_EQ(one.model, "m");
  EXPECT_NEAR(one.latency_ms, 300, 1e-6);
  EXPECT_EQ(one.outcome->usage->completion_tokens, 5);
  EXPECT_EQ(one.outcome->request_id, "req_fake");
}

TEST(engine_test, a_job_without_requests_ends_at_once) {
  engine_rig test;
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_TRUE(test.sink.results.empty());
}

// Random delays, and a few temporary failures of every kind.
exchange_plan troubled(std::mt19937_64& random) {
  const auto between = [&](duration least, duration most) {
    return duration{
        std::uniform_int_distribution<duration::rep>(least.count(), most.count())(random)};
  };
  exchange_plan planned = completion_plan();
  switch (random() % 40) {
    case 0:
      planned = refusal_plan(500);
      break;
    case 1:
      planned = refusal_plan(503);
      break;
    case 2:
      planned.with_head = false;
      planned.end = exchange_end::how::broken;
      break;
    case 3:
      planned.with_head = false;
      planned.end = exchange_end::how::timed_out;
      break;
    case 4:
      planned.sent_whole = planned.with_head = false;
      planned.end = exchange_end::how::broken;
      break;
    default:
      break;
  }
  planned.before_sent = between(0s, 100ms);
  planned.on_the_way = between(0s, 1s);
  planned.before_head = planned.on_the_way + between(1ms, 3s);
  return planned;
}

struct hour_of_trouble {
  std::vector<std::string> trace;
  std::size_t most = 0;
  std::size_t calls = 0;
  std::size_t results = 0;
  double seconds = 0;
  std::uint64_t most_reported = 0;
};

hour_of_trouble spend_an_hour(std::uint64_t seed) {
  engine_rig test;
  constexpr std::size_t an_hour = 200 * 60;
  test.add(an_hour);
  std::mt19937_64 random(seed);
  test.relay.plan = [&](const exchange_call&) { return troubled(random); };
  test.options.pace.seed = seed;
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), an_hour);
  hour_of_trouble hour;
  for (const auto& call : test.relay.calls) {
    hour.trace.push_back(fmt::format("{} {}", call.at.time_since_epoch().count(), id_in(call)));
  }
  for (std::size_t i = 0; i < test.sink.results.size(); ++i) {
    hour.trace.push_back(fmt::format("{} {} {}", test.sink.put_at[i].time_since_epoch().count(),
                                     test.sink.results[i].custom_id,
                                     test.sink.results[i].attempts));
  }
  hour.most = test.most_counted_in_a_minute();
  hour.calls = test.relay.counted.size();
  hour.seconds = test.time.since_start();
  hour.most_reported = test.status.most_in_a_minute;
  return hour;
}

TEST(engine_test, an_hour_with_failures_never_exceeds_the_limit_and_is_reproducible) {
  const auto first = spend_an_hour(5);
  EXPECT_LE(first.most, 200U) << "in any 60 s on the relay's clock";
  EXPECT_LE(first.most_reported, 200U);
  EXPECT_GT(first.calls, 12'000U) << "some were tried again";
  const double allowed = 200 * (first.seconds / 60 + 1);
  EXPECT_GE(static_cast<double>(first.calls), 0.95 * allowed - 200);
  const auto second = spend_an_hour(5);
  EXPECT_EQ(first.trace, second.trace);
  const auto other = spend_an_hour(6);
  EXPECT_LE(other.most, 200U);
  EXPECT_NE(first.trace, other.trace);
}

TEST(engine_test, connections_that_break_while_sending_do_not_use_up_the_window) {
  engine_rig test;
  test.add(20);
  test.options.pace.requests_per_minute = 4;
  test.relay.plan = [](const exchange_call& call) {
    exchange_plan planned = completion_plan();
    if (call.number < 8) {
      planned.sent_whole = planned.with_head = false;
      planned.end = exchange_end::how::broken;
    }
    return planned;
  };
  test.run([&] { return test.time.since_start() > 3600; }, [](engine& running) { running.stop(); });
  EXPECT_EQ(test.succeeded(), 20U);
  EXPECT_LE(test.most_counted_in_a_minute(), 4U);
}

TEST(engine_test, keeps_the_concurrency_limit) {
  for (const unsigned places : {1U, 7U, 64U}) {
    engine_rig test;
    test.add(300);
    test.options.pace.requests_per_minute = 0;
    test.options.pace.concurrency = places;
    std::mt19937_64 random(3);
    test.relay.plan = [&](const exchange_call&) {
      return random() % 5 == 0 ? refusal_plan(500)
                               : completion_plan("x", 1ms * static_cast<int>(random() % 5000));
    };
    test.run();
    EXPECT_EQ(test.relay.most_in_flight, places);
    EXPECT_EQ(test.sink.results.size(), 300U);
  }
}

TEST(engine_test, a_request_in_backoff_does_not_count_as_in_flight) {
  engine_rig test;
  test.add(50);
  test.options.pace.requests_per_minute = 0;
  test.options.pace.concurrency = 1;
  test.options.pace.backoff_base = 60s;
  test.relay.plan = [](const exchange_call& call) {
    return call.number == 0 ? refusal_plan(500) : completion_plan("x", 1ms);
  };
  test.run();
  EXPECT_EQ(test.relay.most_in_flight, 1U);
  EXPECT_EQ(test.succeeded(), 50U);
  EXPECT_EQ(test.sink.results.back().custom_id, "0-1");
  EXPECT_EQ(test.sink.results.back().attempts, 2U);
}

TEST(engine_test, the_failure_of_the_last_attempt_is_the_result) {
  engine_rig test;
  test.add(1);
  test.relay.plan = [](const exchange_call&) { return refusal_plan(500, "boom"); };
  test.run();
  ASSERT_EQ(test.sink.results.size(), 1U);
  const result& one = test.sink.results[0];
  EXPECT_EQ(test.relay.calls.size(), 5U);
  EXPECT_EQ(one.attempts, 5U);
  EXPECT_TRUE(one.retryable);
  EXPECT_EQ(one.outcome.error().http_status, 500);
  EXPECT_EQ(one.outcome.error().message, "boom");
  EXPECT_EQ(test.sink.attempts, 5U);
  EXPECT_EQ(test.sink.retries, 4U);
  EXPECT_EQ(test.sink.lost, 0U) << "an HTTP error is not billed";
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
}

TEST(engine_test, a_permanent_failure_is_the_result_at_once) {
  for (const int status : {400, 413, 422, 501}) {
    engine_rig test;
    test.add(3);
    test.relay.plan = [&](const exchange_call&) { return refusal_plan(status); };
    test.run();
    EXPECT_EQ(test.relay.calls.size(), 3U) << status;
    ASSERT_EQ(test.sink.results.size(), 3U) << status;
    EXPECT_FALSE(test.sink.results[0].retryable) << status;
    EXPECT_EQ(test.outcome.reason, stop_reason::none) << status;
  }
}

TEST(engine_test, a_refusal_with_a_hint_pauses_the_key) {
  engine_rig test;
  test.add(100);
  test.options.pace.requests_per_minute = 0;
  test.options.pace.concurrency = 8;
  time_point refused{};
  test.relay.plan = [&](const exchange_call& call) {
    if (call.number != 20) return completion_plan();
    refused = call.at + 300ms;
    return refusal_plan(429, "slow down", "", {{"retry-after", "37"}});
  };
  test.run();
  EXPECT_EQ(test.succeeded(), 100U);
  for (const auto& call : test.relay.calls) {
    EXPECT_FALSE(call.at > refused && call.at < refused + 37s) << "a start during the pause";
  }
  const auto again = std::find_if(test.relay.calls.begin(), test.relay.calls.end(),
                                  [&](const auto& call) { return call.at > refused; });
  ASSERT_NE(again, test.relay.calls.end());
  EXPECT_GE(again->at, refused + 37s);
  EXPECT_LE(again->at, refused + 40s) << "a random time later";
  EXPECT_EQ(test.sink.attempts, 101U);
}

TEST(engine_test, refusals_without_a_hint_slow_the_engine_down_until_a_success) {
  engine_rig test;
  test.add(40);
  test.options.pace.requests_per_minute = 0;
  test.options.pace.concurrency = 8;
  const time_point start = test.time.now();
  test.relay.plan = [&](const exchange_call& call) {
    return call.at < start + 100s ? refusal_plan(429) : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.succeeded(), 40U) << "refusals use up no attempt";
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  const auto early = std::count_if(test.relay.calls.begin(), test.relay.calls.end(),
                                   [&](const auto& call) { return call.at < start + 100s; });
  EXPECT_LT(early, 8 + 10) << "the first eight, then one at a time with doubling pauses";
}

TEST(engine_test, starts_are_spread_for_a_relay_with_a_leaky_bucket) {
  engine_rig test;
  test.add(150);
  test.options.pace.requests_per_minute = 200;
  time_point last{};
  std::size_t refused = 0;
  test.relay.plan = [&](const exchange_call& call) {  // one every 300 ms, without a burst
    if (call.at - last < 300ms) {
      ++refused;
      return refusal_plan(429);
    }
    last = call.at;
    return completion_plan("ok", 50ms);
  };
  const time_point start = test.time.now();
  test.run();
  EXPECT_EQ(test.succeeded(), 150U);
  EXPECT_LT(refused, 75U) << "the first 64, and few after them";
  EXPECT_LT(test.time.now() - start, 2min);
}

TEST(engine_test, two_refusals_of_the_key_stop_the_run_without_results) {
  for (const int status : {401, 402}) {
    engine_rig test;
    test.add(100);
    test.relay.plan = [&](const exchange_call&) { return refusal_plan(status, "bad key"); };
    test.run();
    EXPECT_EQ(test.outcome.reason,
              status == 402 ? stop_reason::quota_spent : stop_reason::key_ended);
    EXPECT_EQ(test.outcome.message, fmt::format("HTTP {} for m: bad key", status));
    EXPECT_TRUE(test.sink.results.empty());
    EXPECT_LE(test.relay.calls.size(), 64U + 1);
  }
}

TEST(engine_test, a_used_up_quota_stops_the_run_with_any_status) {
  for (const int status : {429, 403}) {
    engine_rig test;
    test.add(10);
    test.options.pace.concurrency = 1;
    test.relay.plan = [&](const exchange_call& call) {
      return call.number < 3 ? completion_plan()
                             : refusal_plan(status, "spent", "insufficient_quota");
    };
    test.run();
    EXPECT_EQ(test.outcome.reason, stop_reason::quota_spent) << status;
    EXPECT_EQ(test.sink.results.size(), 3U);
    EXPECT_EQ(test.relay.calls.size(), 5U);
  }
}

TEST(engine_test, a_single_refusal_of_the_key_is_tried_again) {
  engine_rig test;
  test.add(20);
  test.options.pace.concurrency = 1;
  test.relay.plan = [](const exchange_call& call) {
    return call.number == 3 ? refusal_plan(401) : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.succeeded(), 20U);
}

TEST(engine_test, even_with_one_attempt_no_request_fails_because_of_the_key) {
  engine_rig test;
  test.add(20);
  test.options.pace.concurrency = 1;
  test.options.pace.max_attempts = 1;
  test.relay.plan = [](const exchange_call& call) {
    return call.number == 3 || call.number == 9 ? refusal_plan(401) : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.succeeded(), 20U);
}

// A quota that is almost used up is still enough for small requests.
TEST(engine_test, a_request_that_the_key_cannot_pay_waits_until_the_others_have_ended) {
  engine_rig test;
  test.add(200);
  test.options.pace.concurrency = 2;
  const std::string large = test.source.requests[4].body = R"({"model":"m","large":true})";
  test.relay.plan = [&](const exchange_call& call) {
    return call.body == large ? refusal_plan(403, "spent", "insufficient_user_quota")
                              : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::quota_spent);
  EXPECT_EQ(test.sink.results.size(), 199U);
  EXPECT_EQ(test.succeeded(), 199U);
}

exchange_plan page_not_found() {
  exchange_plan planned;
  planned.head.status = 404;
  planned.head.fields.add("Content-Type", "text/html");
  planned.body = {{duration{}, "<html><h1>404 page not found</h1></html>"}};
  return planned;
}

TEST(engine_test, five_strange_answers_mean_a_wrong_address_and_no_results) {
  for (const unsigned places : {1U, 2U, 64U}) {
    engine_rig test;
    test.add(100);
    test.options.pace.concurrency = places;
    test.relay.plan = [](const exchange_call&) { return page_not_found(); };
    test.run();
    EXPECT_EQ(test.outcome.reason, stop_reason::wrong_address) << places;
    EXPECT_TRUE(test.sink.results.empty()) << places;
    EXPECT_GE(test.relay.calls.size(), 5U) << places;
  }
}

TEST(engine_test, a_404_with_the_models_name_fails_only_its_request) {
  engine_rig test;
  test.add(10);
  test.relay.plan = [](const exchange_call&) { return refusal_plan(404, "m: gone"); };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 10U);
  EXPECT_EQ(test.succeeded(), 0U);
}

TEST(engine_test, strange_answers_in_a_short_job_mean_a_wrong_address_too) {
  for (const std::size_t requests : {1U, 2U, 4U}) {
    for (const unsigned places : {1U, 64U}) {
      engine_rig test;
      test.add(requests);
      test.options.pace.concurrency = places;
      test.relay.plan = [](const exchange_call&) { return page_not_found(); };
      test.run();
      EXPECT_EQ(test.outcome.reason, stop_reason::wrong_address) << requests << " at " << places;
      EXPECT_TRUE(test.sink.results.empty());
      EXPECT_EQ(test.relay.calls.size(), requests);
    }
  }
}

TEST(engine_test, a_strange_answer_among_good_ones_fails_only_its_request) {
  engine_rig test;
  test.add(20);
  test.options.pace.concurrency = 4;
  test.relay.plan = [](const exchange_call& call) {
    return call.number < 3 ? page_not_found() : completion_plan("x", 5s);
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.succeeded(), 17U);
  EXPECT_EQ(test.sink.results.size(), 20U);
  EXPECT_EQ(test.result_of("0-1").outcome.error().http_status, 404);
}

TEST(engine_test, a_404_about_the_model_is_permanent) {
  engine_rig test;
  test.add(10);
  test.relay.plan = [](const exchange_call&) {
    return refusal_plan(404, "The model `m` does not exist", "model_not_found");
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 10U);
  EXPECT_EQ(test.relay.calls.size(), 10U);
}

TEST(engine_test, a_relay_that_cannot_be_reached_stops_the_run_after_ten_minutes) {
  engine_rig test;
  test.add(100);
  test.relay.plan = [](const exchange_call&) { return unreachable_plan(); };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::unreachable);
  EXPECT_EQ(test.outcome.message, "connection refused");
  EXPECT_TRUE(test.sink.results.empty());
  EXPECT_EQ(test.sink.attempts, 0U) << "nothing was sent";
  EXPECT_GE(test.time.since_start(), 600);
  EXPECT_LE(test.time.since_start(), 600 + 120);
  EXPECT_LE(test.relay.calls.size(), 64U + 25) << "after the first attempts, one trial at a time";
}

TEST(engine_test, after_an_outage_of_the_relay_no_attempt_is_charged) {
  engine_rig test;
  test.add(100);
  const time_point start = test.time.now();
  test.relay.plan = [&](const exchange_call& call) {
    return call.at < start + 5min ? unreachable_plan() : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.succeeded(), 100U);
  EXPECT_EQ(test.sink.attempts, 100U);
  for (const auto& one : test.sink.results) EXPECT_EQ(one.attempts, 1U);
  EXPECT_LE(test.time.since_start(), 300 + 60 + 60 + 10);
}

TEST(engine_test, attempts_without_a_connection_are_not_counted_as_sent) {
  engine_rig test;
  test.add(30);
  test.options.pace.requests_per_minute = 10;
  test.relay.plan = [](const exchange_call& call) {
    return call.number < 20 ? unreachable_plan() : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.succeeded(), 30U);
  EXPECT_LE(test.most_counted_in_a_minute(), 10U);
  EXPECT_LE(test.status.most_in_a_minute, 10U) << "the totals count what the relay received";
}

TEST(engine_test, an_invalid_certificate_stops_at_once) {
  engine_rig test;
  test.add(10);
  test.relay.plan = [](const exchange_call&) {
    exchange_plan planned = unreachable_plan();
    planned.end = exchange_end::how::bad_certificate;
    return planned;
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::bad_certificate);
  EXPECT_TRUE(test.sink.results.empty());
}

TEST(engine_test, a_hint_longer_than_max_wait_means_come_back_later) {
  engine_rig test;
  test.add(10);
  test.options.pace.concurrency = 1;
  test.relay.plan = [](const exchange_call& call) {
    return call.number < 2 ? completion_plan()
                           : refusal_plan(429, "tomorrow", "", {{"retry-after", "3600"}});
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::come_back_later);
  EXPECT_EQ(test.sink.results.size(), 2U);
  EXPECT_EQ(test.relay.calls.size(), 3U);
}

// The process that got the hint waits for it, with a random part added to the pause. So others wait
// for this pause, too.
TEST(engine_test, a_hint_of_max_wait_is_also_followed_by_other_processes) {
  const test::temp_dir folder;
  engine_rig first;
  engine_rig second;
  for (engine_rig* one : {&first, &second}) {
    one->add(3);
    one->options.pace.limit_folder = folder / "limits";
    one->options.pace.concurrency = 1;
  }
  first.relay.plan = [](const exchange_call& call) {
    return call.number > 0 ? completion_plan()
                           : refusal_plan(429, "wait", "", {{"retry-after", "600"}});
  };
  first.run([&] { return first.relay.calls.size() == 1 && first.relay.in_flight == 0; },
            [&](engine&) {
              second.time.advance(first.time.now() - second.time.now());
              second.run();
            });
  EXPECT_EQ(second.outcome.reason, stop_reason::none) << second.outcome.message;
  EXPECT_EQ(second.sink.results.size(), 3U);
  EXPECT_GT(second.time.since_start(), 600);
  EXPECT_EQ(first.outcome.reason, stop_reason::none);
}

TEST(engine_test, a_hint_for_a_model_alone_is_followed_up_to_max_wait) {
  engine_rig test;
  test.add(2);
  test.relay.plan = [](const exchange_call&) {
    return refusal_plan(429,
                        "No deployments available for selected model, Try again in 7200 seconds. "
                        "Passed model=m. pre-call-checks=False");
  };
  test.run();
  EXPECT_EQ(test.sink.results.size(), 2U);
  EXPECT_LT(test.time.since_start(), 600);
}

TEST(engine_test, a_refusal_does_not_give_a_request_more_attempts) {
  engine_rig test;
  test.add(1);
  test.relay.plan = [&](const exchange_call& call) {
    if (call.number == 0) return refusal_plan(429);
    return refusal_plan(500);
  };
  test.run();
  ASSERT_EQ(test.sink.results.size(), 1U);
  EXPECT_EQ(test.relay.calls.size(), 1U + test.options.pace.max_attempts);
}

TEST(engine_test, after_a_hundred_failures_in_a_row_there_is_one_trial_at_a_time) {
  engine_rig test;
  test.add(400);
  test.options.pace.requests_per_minute = 0;
  test.options.pace.concurrency = 20;
  const time_point start = test.time.now();
  bool calm = false;
  std::size_t crowd = 0;
  std::size_t failures = 0;
  test.relay.plan = [&](const exchange_call& call) {
    calm = calm || call.at > start + 3min;
    if (calm) return completion_plan();
    if (++failures > 100 + 20) crowd = std::max(crowd, call.in_flight);
    return refusal_plan(500);
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(crowd, 1U);
  EXPECT_LT(failures, 200U);
  EXPECT_EQ(test.sink.results.size(), 400U);
  EXPECT_EQ(test.succeeded(), 400U) << "trials use up no attempt";
}

TEST(engine_test, endless_failures_stop_the_run) {
  engine_rig test;
  test.add(1000);
  test.relay.plan = [](const exchange_call&) { return refusal_plan(503, "overloaded"); };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::relay_down);
  EXPECT_LT(test.sink.results.size(), 100U);
}

TEST(engine_test, two_slow_timeouts_do_not_mean_a_dead_relay) {
  engine_rig test;
  test.add(1);
  test.options.pace.concurrency = 1;
  test.relay.plan = [](const exchange_call& call) {
    exchange_plan planned = completion_plan();
    if (call.number < 3) {
      planned.before_head = 600s;
      planned.with_head = false;
      planned.end = exchange_end::how::timed_out;
    }
    return planned;
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none)
      << "connections can be opened, and there are fewer than a hundred failures";
  EXPECT_EQ(test.succeeded(), 1U);
}

TEST(engine_test, after_stop_attempts_in_flight_finish) {
  engine_rig test;
  test.add(200);
  test.options.pace.concurrency = 8;
  test.run([&] { return test.sink.results.size() >= 20; }, [](engine& running) { running.stop(); });
  EXPECT_EQ(test.outcome.reason, stop_reason::interrupted);
  EXPECT_EQ(test.sink.results.size(), test.relay.calls.size())
      << "each attempt that began has a result";
  EXPECT_LE(test.relay.calls.size(), 20U + 8 + 8);
  EXPECT_EQ(test.sink.lost, 0U);
}

TEST(engine_test, abort_ends_attempts_in_flight) {
  engine_rig test;
  test.add(200);
  test.options.pace.concurrency = 8;
  test.relay.plan = [&](const exchange_call& call) {
    // A point in time at which the run can stop.
    if (call.number == 0) test.time.call_at(call.at + 1s, [] {});
    return completion_plan("x", 100s);
  };
  test.run([&] { return !test.relay.calls.empty() && test.time.since_start() >= 1; },
           [](engine& running) { running.abort(); });
  EXPECT_EQ(test.outcome.reason, stop_reason::interrupted);
  EXPECT_TRUE(test.sink.results.empty()) << "they stay pending";
  EXPECT_LT(test.time.since_start(), 10);
  EXPECT_EQ(test.sink.attempts, 8U);
  EXPECT_EQ(test.sink.lost, 8U) << "the relay may have billed them";
}

TEST(engine_test, stop_ends_backoffs_and_waits_for_the_limit) {
  engine_rig test;
  test.add(50);
  test.options.pace.requests_per_minute = 10;
  test.relay.plan = [](const exchange_call& call) {
    return call.number % 2 == 0 ? refusal_plan(500) : completion_plan();
  };
  test.run([&] { return test.sink.results.size() >= 5; }, [](engine& running) { running.stop(); });
  EXPECT_EQ(test.outcome.reason, stop_reason::interrupted);
  EXPECT_LT(test.time.since_start(), 20);
}

TEST(engine_test, an_engine_can_run_again_and_keeps_the_limit) {
  engine_rig test;
  test.add(10);
  test.options.pace.requests_per_minute = 10;
  engine runner(test.loop, test.options, test.time, {&test.relay});
  for (int round = 0; round < 2; ++round) {
    test::memory_source source;
    for (std::uint64_t line = 1; line <= 10; ++line)
      source.requests.push_back(test::make_request(0, line));
    bool ended = false;
    asio::co_spawn(test.loop, runner.run(source, test.sink),
                   [&](std::exception_ptr, run_outcome) { ended = true; });
    test::run_virtual(
        test.loop, test.time, [&] { return ended; }, [&] { return source.quiet(); });
    ASSERT_TRUE(ended);
  }
  EXPECT_EQ(test.sink.results.size(), 20U);
  EXPECT_LE(test.most_counted_in_a_minute(), 10U);
  EXPECT_GE(test.time.since_start(), 60);
}

TEST(engine_test, jobs_that_alternate_start_alternately) {
  engine_rig test;
  // The same order as in job_set: requests of both jobs alternate as long as both have requests.
  for (std::uint64_t line = 1; line <= 1000; ++line) {
    test.source.requests.push_back(test::make_request(0, line));
    if (line <= 50) test.source.requests.push_back(test::make_request(1, line));
  }
  test.options.pace.requests_per_minute = 60;
  test.options.pace.concurrency = 16;
  std::mt19937_64 random(11);
  test.relay.plan = [&](const exchange_call&) {
    return completion_plan("x", 1ms * static_cast<int>(random() % 3000));
  };
  test.run([&] { return test.relay.calls.size() >= 200; }, [](engine& running) { running.stop(); });
  int large = 0;
  int small = 0;
  for (std::size_t i = 0; i < 100; ++i)
    ++(id_in(test.relay.calls[i]).starts_with("0-") ? large : small);
  EXPECT_EQ(large, 50);
  EXPECT_EQ(small, 50);
}

exchange_plan event_stream(const std::string& events) {
  exchange_plan planned;
  planned.head.status = 200;
  planned.head.fields.add("Content-Type", "text/event-stream");
  planned.body = {{200ms, events.substr(0, events.size() / 2)},
                  {100ms, events.substr(events.size() / 2)}};
  return planned;
}

TEST(engine_test, a_cut_stream_is_tried_again_and_counts_as_maybe_billed) {
  engine_rig test;
  test.add(1);
  test.source.requests[0].streamed = true;
  const std::string begun =
      "data: "
      "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
      "\"choices\":[{\"index\":0,"
      "\"delta\":{\"role\":\"assistant\",\"content\":\"hel\"},\"finish_reason\":null}]}\n\n";
  const std::string rest =
      "data: "
      "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
      "\"choices\":[{\"index\":0,"
      "\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,"
      "\"completion_tokens\":2,\"total_tokens\":5}}\n\ndata: [DONE]\n\n";
  test.relay.plan = [&](const exchange_call& call) {
    EXPECT_TRUE(call.streamed);
    if (call.number >= 2) return event_stream(begun + rest);
    exchange_plan cut = event_stream(begun);
    if (call.number == 1)
      // Call 0 ends normally, but its reply is incomplete.
      cut.end = exchange_end::how::broken;
    return cut;
  };
  test.run();
  ASSERT_EQ(test.sink.results.size(), 1U);
  const result& one = test.sink.results[0];
  ASSERT_TRUE(one.outcome);
  EXPECT_EQ(one.attempts, 3U);
  EXPECT_EQ(test.sink.lost, 2U);
  EXPECT_TRUE(one.streamed);
  EXPECT_THAT(one.outcome->body, HasSubstr(R"("content":"hello")"));
  ASSERT_TRUE(one.ttft_ms);
  EXPECT_NEAR(*one.ttft_ms, 300 + 200, 1)
      << "last attempt: the time of the head, and then of the first piece";
}

TEST(engine_test, attempts_that_may_be_billed_are_counted) {
  const struct {
    const char* what;
    std::uint64_t lost;
    std::function<exchange_plan()> first;
  } rows[] = {
      {"an HTTP error is not billed", 0, [] { return refusal_plan(500); }},
      {"without a connection nothing is billed", 0, [] { return unreachable_plan(); }},
      {"a request that was not sent completely is not billed", 0,
       [] {
         exchange_plan planned = completion_plan();
         planned.sent_whole = planned.with_head = false;
         planned.end = exchange_end::how::broken;
         return planned;
       }},
      {"a connection that broke before the head", 1,
       [] {
         exchange_plan planned = completion_plan();
         planned.with_head = false;
         planned.end = exchange_end::how::broken;
         return planned;
       }},
      {"a timeout", 1,
       [] {
         exchange_plan planned = completion_plan();
         planned.with_head = false;
         planned.end = exchange_end::how::timed_out;
         return planned;
       }},
      {"an error inside a 200", 1,
       [] {
         exchange_plan planned = completion_plan();
         planned.body = {{duration{}, R"({"error":{"message":"upstream"}})"}};
         return planned;
       }},
  };
  for (const auto& row : rows) {
    engine_rig test;
    test.add(1);
    test.relay.plan = [&](const exchange_call& call) {
      return call.number == 0 ? row.first() : completion_plan();
    };
    test.run();
    EXPECT_EQ(test.succeeded(), 1U) << row.what;
    EXPECT_EQ(test.sink.lost, row.lost) << row.what;
  }
}

TEST(engine_test, after_a_gateway_timeout_the_attempt_may_be_billed) {
  for (const int status : {408, 504, 524, 500, 502, 503, 429}) {
    engine_rig test;
    test.add(1);
    test.relay.plan = [&](const exchange_call& call) {
      if (call.number == 0) return refusal_plan(status);
      if (call.number == 1) {
        exchange_plan early = refusal_plan(status);
        early.sent_whole = false;
        return early;
      }
      return completion_plan();
    };
    test.run();
    const bool unknown = status == 408 || status == 504 || status == 524;
    EXPECT_THAT(test.sink.ends,
                testing::ElementsAre(unknown ? attempt_end::given_up : attempt_end::answered,
                                     attempt_end::answered))
        << status;
    EXPECT_EQ(test.sink.lost, 0U) << status;
  }
}

TEST(engine_test, each_request_has_one_idempotency_key_for_all_attempts) {
  engine_rig test;
  test.add(40);
  test.add(40, 1);
  test.options.pace.requests_per_minute = 0;
  test.relay.plan = [](const exchange_call& call) {
    return call.number < 60 ? refusal_plan(500) : completion_plan();
  };
  test.run();
  std::map<std::string, std::set<std::string>> keys;
  std::set<std::string> all;
  for (const auto& call : test.relay.calls) {
    keys[id_in(call)].insert(call.idempotency_key);
    all.insert(call.idempotency_key);
    EXPECT_FALSE(call.idempotency_key.empty());
  }
  EXPECT_EQ(keys.size(), 80U);
  for (const auto& [id, own] : keys) EXPECT_EQ(own.size(), 1U) << id;
  EXPECT_EQ(all.size(), 80U);
}

TEST(engine_test, a_request_in_flight_at_a_crash_keeps_its_idempotency_key) {
  std::set<std::string> keys;
  for (const std::uint32_t attempts : {0U, 2U}) {
    engine_rig test;
    test.add(1);
    test.source.requests[0].attempts = attempts;
    test.run();
    keys.insert(test.relay.calls.at(0).idempotency_key);
    EXPECT_EQ(test.sink.results.at(0).attempts, attempts + 1);
  }
  EXPECT_EQ(keys.size(), 1U);
}

TEST(engine_test, a_request_that_failed_in_an_earlier_run_gets_a_new_idempotency_key) {
  std::set<std::string> keys;
  for (const std::uint32_t attempts : {0U, 0U, 5U}) {
    engine_rig test;
    test.add(1);
    test.source.requests[0].attempts = attempts;
    test.source.requests[0].settled_attempts = attempts;
    test.run();
    keys.insert(test.relay.calls.at(0).idempotency_key);
    EXPECT_EQ(test.sink.results.at(0).attempts, attempts + 1) << "attempts of earlier runs count";
  }
  EXPECT_EQ(keys.size(), 2U);
}

// For example: the run is resumed with --max-tokens, with --no-stream, or the reason of a rejection
// is no longer in the body.
TEST(engine_test, a_request_with_another_body_gets_a_new_idempotency_key) {
  std::set<std::string> keys;
  for (const std::string_view added : {"", R"(,"max_tokens":500)", R"(,"max_tokens":400)"}) {
    for (int run = 0; run < 2; ++run) {
      engine_rig test;
      test.add(1);
      request& only = test.source.requests[0];
      only.body.insert(only.body.size() - 1, added);
      only.attempts = 1;
      test.run();
      keys.insert(test.relay.calls.at(0).idempotency_key);
    }
  }
  EXPECT_EQ(keys.size(), 3U) << "one for each body, the same after a restart";
}

// Members of a pool may know a model by different names, so they get different bodies.
TEST(engine_test, a_body_with_another_model_name_has_its_own_idempotency_key) {
  const auto keys_of = [](const std::vector<std::string>& names) {
    engine_rig test;
    test.add(1);
    test.make_pool({"a", "b"});
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!names[i].empty()) test.options.pool[i].models["m"] = names[i];
    }
    test.relay.plan = test.others.front().plan = [&](const exchange_call&) {
      return test.sink.attempts < 5 ? refusal_plan(500) : completion_plan();
    };
    test.run();
    std::map<std::string, std::set<std::string>> keys;  // by body
    for (const auto* member : {&test.relay, &test.others.front()}) {
      EXPECT_GE(member->calls.size(), 2U);
      for (const auto& call : member->calls) keys[call.body].insert(call.idempotency_key);
    }
    std::set<std::string> all;
    for (const auto& [body, own] : keys) {
      EXPECT_EQ(own.size(), 1U) << body;
      all.insert(own.begin(), own.end());
    }
    EXPECT_EQ(all.size(), keys.size());
    return all;
  };
  EXPECT_EQ(keys_of({"vendor/a", "vendor/b"}).size(), 2U);
  const auto one_mapped = keys_of({"", "vendor/b"});
  const auto none_mapped = keys_of({"", ""});
  EXPECT_EQ(one_mapped.size(), 2U);
  ASSERT_EQ(none_mapped.size(), 1U);
  EXPECT_TRUE(one_mapped.contains(*none_mapped.begin()));
}

TEST(engine_test, requests_with_equal_bodies_for_two_endpoints_have_two_idempotency_keys) {
  std::set<std::string> keys;
  for (const endpoint target : {endpoint::chat_completions, endpoint::completions}) {
    engine_rig test;
    test.add(1);
    test.source.requests[0].target = target;
    test.run();
    keys.insert(test.relay.calls.at(0).idempotency_key);
  }
  EXPECT_EQ(keys.size(), 2U);
}

fatal_error disk_full() {
  return {fatal_error::kind::cannot_write, "disk full"};
}

void expect_fault(const std::exception_ptr& fault, const std::string& sentence) {
  ASSERT_NE(fault, nullptr);
  try {
    std::rethrow_exception(fault);
  } catch (const fatal_error& thrown) {
    EXPECT_EQ(thrown.what(), sentence);
  }
}

TEST(engine_test, a_sink_that_cannot_write_ends_the_run) {
  engine_rig test;
  test.add(300);
  test.sink.put_fault = std::make_exception_ptr(disk_full());
  test.sink.fault_from = 10;
  test.run();
  expect_fault(test.fault, "disk full");
  EXPECT_EQ(test.sink.results.size(), 10U);
  EXPECT_LE(test.relay.calls.size(), 10U + 64 + 64);
}

TEST(engine_test, a_failed_flush_ends_the_run) {
  engine_rig test;
  test.add(300);
  test.sink.flush_fault = std::make_exception_ptr(disk_full());
  test.run();
  expect_fault(test.fault, "disk full");
}

TEST(engine_test, an_attempt_that_cannot_be_recorded_leaves_the_gate_only_once) {
  engine_rig test;
  test.add(10);
  test.options.pace.concurrency = 4;
  test.sink.record_fault = std::make_exception_ptr(disk_full());
  test.sink.ended_fault = test.sink.record_fault;
  test.run();
  expect_fault(test.fault, "disk full");
  EXPECT_TRUE(test.relay.calls.empty());
  EXPECT_EQ(test.status.in_flight, 0U);
}

TEST(engine_test, a_worker_sends_nothing_before_its_last_result_is_durable) {
  engine_rig test;
  test.add(30);
  test.options.pace.concurrency = 3;
  test.options.pace.requests_per_minute = 0;
  test.sink.durable = true;
  std::size_t on_disk = 0;
  test.sink.on_flush = [&] { on_disk = test.sink.results.size(); };
  test.relay.plan = [&](const exchange_call& call) {
    EXPECT_LE(call.number + 1 - call.in_flight, on_disk) << "each of these has a result on disk";
    return completion_plan("x", 300ms + 1ms * (call.number % 7));
  };
  test.run();
  EXPECT_EQ(test.succeeded(), 30U);
}

TEST(engine_test, a_failed_flush_ends_a_run_that_waits_for_it) {
  engine_rig test;
  test.add(300);
  test.sink.durable = true;
  test.sink.flush_fault = std::make_exception_ptr(disk_full());
  test.run();
  expect_fault(test.fault, "disk full");
}

TEST(engine_test, a_source_that_cannot_be_read_ends_the_run) {
  engine_rig test;
  test.add(30);
  test.source.fault =
      std::make_exception_ptr(fatal_error(fatal_error::kind::cannot_start, "bad gzip"));
  test.run();
  expect_fault(test.fault, "bad gzip");
}

TEST(engine_test, the_status_shows_what_the_run_waits_for) {
  engine_rig test;
  test.add(30);
  test.options.pace.requests_per_minute = 10;
  run_status status;
  test.run([&] { return test.sink.results.size() >= 10; },
           [&](engine& running) { status = running.now(); });
  EXPECT_EQ(status.started_last_minute, 10U);
  EXPECT_EQ(status.in_flight, 0U);
  EXPECT_EQ(status.waiting, 20U);
  ASSERT_TRUE(status.next_start);
  EXPECT_FALSE(status.full);
  EXPECT_EQ(test.sink.results.size(), 30U);
}

TEST(engine_test, the_status_names_the_cause_of_a_wait) {
  engine_rig test;
  test.add(30);
  test.options.pace.requests_per_minute = 10;
  run_status status;
  test.run([&] { return test.sink.results.size() >= 10; },
           [&](engine& running) { status = running.now(); });
  EXPECT_EQ(status.cause, wait_cause::limit);
  EXPECT_EQ(status.started_by_others, 0U);
  EXPECT_FALSE(status.pause);
}

TEST(engine_test, a_pause_that_the_relay_asked_for_is_named) {
  engine_rig test;
  test.add(3);
  test.options.pace.concurrency = 1;
  bool refused = false;
  test.relay.plan = [&](const exchange_call&) {
    if (std::exchange(refused, true)) return completion_plan();
    return refusal_plan(429, "slow down", "", {{"retry-after", "120"}});
  };
  run_status status;
  test.run([&] { return refused && test.time.calls_to_come() > 0 && test.relay.in_flight == 0; },
           [&](engine& running) { status = running.now(); });
  EXPECT_EQ(status.cause, wait_cause::pause);
  ASSERT_TRUE(status.pause);
  EXPECT_EQ(status.pause->http_status, 429);
  EXPECT_EQ(status.pause->asked, std::chrono::seconds{120});
  EXPECT_EQ(test.succeeded(), 3U);
}

TEST(engine_test, a_higher_limit_during_a_run_is_used_at_once) {
  engine_rig test;
  test.add(100);
  test.options.pace.requests_per_minute = 10;
  const time_point begin = test.time.now();
  test.run([&] { return test.sink.results.size() >= 10; },
           [&](engine& running) {
             EXPECT_EQ(running.limits().requests_per_minute, std::vector<unsigned>{10});
             running.set_limits({{60}, 0, 64});
             EXPECT_EQ(running.requests_per_minute(), 60U);
           });
  EXPECT_EQ(test.succeeded(), 100U);
  EXPECT_LE(test.most_counted_in_a_minute(), 60U);
  EXPECT_LT(test.time.now() - begin, std::chrono::minutes{3}) << "ten minutes at the old limit";
}

TEST(engine_test, a_lower_limit_during_a_run_is_kept) {
  engine_rig test;
  test.add(60);
  test.options.pace.requests_per_minute = 30;
  test.run([&] { return test.sink.results.size() >= 30; },
           [&](engine& running) {
             running.set_limits({{5}, 0, 64});
           });
  EXPECT_EQ(test.succeeded(), 60U);
  auto events = test.relay.counted;
  std::sort(events.begin(), events.end());
  for (std::size_t i = 30; i + 5 < events.size(); ++i) {
    EXPECT_GE(events[i + 5] - events[i], std::chrono::seconds{60}) << i;
  }
}

TEST(engine_test, another_concurrency_during_a_run) {
  for (const unsigned fresh : {2U, 40U}) {
    engine_rig test;
    test.add(400);
    test.options.pace.requests_per_minute = 0;
    test.options.pace.concurrency = 10;
    std::size_t before = 0;  // number of calls before the change
    test.run([&] { return test.sink.results.size() >= 100; },
             [&](engine& running) {
               running.set_limits({{0}, 0, fresh});
               EXPECT_EQ(running.limits().concurrency, fresh);
               before = test.relay.calls.size();
             });
    EXPECT_EQ(test.succeeded(), 400U);
    std::size_t most = 0;
    for (std::size_t i = before + 20; i < test.relay.calls.size(); ++i) {
      most = std::max(most, test.relay.calls[i].in_flight);
    }
    EXPECT_EQ(most, fresh);
  }
}

TEST(engine_test, a_concurrency_without_the_open_files_is_refused) {
  engine_rig test;
  test.add(30);
  test.options.pace.requests_per_minute = 10;
  test.run([&] { return test.sink.results.size() >= 10; },
           [&](engine& running) {
             EXPECT_THROW(running.set_limits({{5}, 0, 1'000'000'000}), fatal_error);
             EXPECT_EQ(running.requests_per_minute(), 10U) << "nothing has changed";
           });
  EXPECT_EQ(test.succeeded(), 30U);
}

TEST(engine_test, a_job_may_end_before_its_workers_have_started) {
  // The reader may end before the engine has started its workers, if there are no requests or fewer
  // requests than workers.
  for (int round = 0; round < 300; ++round) {
    engine_rig test;
    test.add(static_cast<std::size_t>(round % 3));
    test.run();
    ASSERT_EQ(test.sink.results.size(), static_cast<std::size_t>(round % 3));
  }
}

TEST(engine_test, invalid_options_are_refused) {
  engine_rig test;
  test.options.relay.base_url = "nonsense";
  EXPECT_THROW(engine(test.loop, test.options, test.time, {&test.relay}), fatal_error);
}

// ---------------------------------------------------------------- pools

TEST(pool_test, members_share_the_work_by_their_weights) {
  engine_rig test;
  // So few requests are in flight that the latency limit of a member does not matter.
  test.add(300);
  test.make_pool({"a", "b"});
  test.options.pool[1].weight = 2;
  test.options.pace.requests_per_minute = 0;
  test.options.pace.concurrency = 16;
  test.run();
  EXPECT_EQ(test.succeeded(), 300U);
  EXPECT_NEAR(static_cast<double>(test.served_by("a")), 100, 2);
  EXPECT_NEAR(static_cast<double>(test.served_by("b")), 200, 2);
  EXPECT_EQ(test.relay.calls.size() + test.others.front().calls.size(), 300U);
}

TEST(pool_test, each_member_keeps_its_own_limit) {
  engine_rig test;
  test.add(900);
  test.make_pool({"a", "b"});
  test.options.pace.requests_per_minute = 200;
  test.options.pool[1].requests_per_minute = 60;
  test.run();
  EXPECT_EQ(test.succeeded(), 900U);
  EXPECT_EQ(test.most_counted_in_a_minute(), 200U);
  std::swap(test.relay.counted, test.others.front().counted);
  EXPECT_EQ(test.most_counted_in_a_minute(), 60U);
  EXPECT_LT(test.time.since_start(), 4 * 60) << "260 in each minute";
  EXPECT_EQ(test.status.most_in_a_minute, 260U);
}

TEST(pool_test, members_of_one_origin_and_key_share_one_window) {
  engine_rig test;
  test.add(250);
  test.make_pool({"a", "b"});
  test.options.pool[1].relay.base_url = "https://A.Example";
  test.options.pace.requests_per_minute = 100;
  test.run();
  EXPECT_EQ(test.succeeded(), 250U);
  for (const auto moment : test.others.front().counted) test.relay.counted.push_back(moment);
  EXPECT_EQ(test.most_counted_in_a_minute(), 100U);
  EXPECT_GT(test.served_by("b"), 0U);
}

TEST(limit_test, runs_share_a_window_only_with_the_same_key_and_relay) {
  const test::temp_dir dir;
  duration begin{};
  // Duration in seconds of a run that begins ten seconds after the previous one.
  const auto run = [&](unsigned requests, const std::function<void(config&)>& change) {
    engine_rig test;
    test.time.advance(begin += 10s);
    test.add(requests);
    test.options.pace.limit_folder = dir / "limits";
    test.options.pace.requests_per_minute = 100;
    test.options.relay.api_key = "sk-one";
    change(test.options);
    const double before = test.time.since_start();
    test.run();
    EXPECT_EQ(test.succeeded(), requests);
    return test.time.since_start() - before;
  };
  const auto as_it_is = [](config&) {};
  EXPECT_LT(run(60, as_it_is), 9);
  EXPECT_LT(run(40, as_it_is), 9) << "there was room for 40 more";
  EXPECT_LT(run(100, [](config& other) { other.relay.api_key = "sk-two"; }), 9);
  EXPECT_LT(run(100, [](config& other) { other.relay.base_url = "https://other.example/v1"; }), 9);
  EXPECT_GT(run(1,
                [](config& same) {
                  same.relay.headers = {{"authorization", "bearer sk-one"}};
                }),
            15)
      << "the same key, set in another way";
}

// Every prompt has 3 tokens and every reply 12. Before the first reply, 256 are expected.
TEST(limit_test, the_token_limit_counts_actual_tokens) {
  engine_rig test;
  test.add(18);
  test.options.pace.requests_per_minute = 0;
  test.options.pace.tokens_per_minute = 100;
  test.relay.plan = [](const exchange_call&) {
    exchange_plan planned = completion_plan();
    std::string& body = planned.body.front().second;
    const std::size_t usage = body.find(R"("usage")");
    body.replace(usage, std::string::npos,
                 R"("usage":{"prompt_tokens":3,"completion_tokens":12,"total_tokens":15}})");
    return planned;
  };
  test.run();
  EXPECT_EQ(test.succeeded(), 18U);
  EXPECT_LE(test.most_counted_in_a_minute(), 6U);
  EXPECT_LT(test.time.since_start(), 2 * 62) << "six requests in each of three minutes";
}

TEST(limit_test, a_limit_folder_that_cannot_be_used_does_not_stop_a_run) {
  const test::temp_dir dir;
  engine_rig test;
  test.add(10);
  test.options.pace.limit_folder = dir.write("file", "") + "/limits";
  test.run();
  EXPECT_EQ(test.succeeded(), 10U);
}

TEST(pool_test, a_model_may_have_another_name_at_a_member) {
  engine_rig test;
  test.add(20);
  test.make_pool({"a", "b"});
  test.options.pool[1].models = {{"m", "m-0613 \"old\""}, {"other", "x"}};
  test.run();
  for (const auto& call : test.relay.calls) {
    EXPECT_THAT(call.body, testing::StartsWith(R"({"model":"m",)"));
  }
  for (const auto& call : test.others.front().calls) {
    EXPECT_THAT(call.body, testing::StartsWith(R"({"model":"m-0613 \"old\"","messages":[])"));
  }
  EXPECT_GT(test.served_by("b"), 0U);
  for (const auto& one : test.sink.results)
    EXPECT_EQ(one.model, "m") << "the price depends on the model in the job";
}

TEST(pool_test, a_404_with_the_members_name_for_the_model_fails_only_its_request) {
  engine_rig test;
  test.add(20);
  test.make_pool({"a", "b"});
  test.options.pool[0].models = {{"m", "acme-9"}};
  test.relay.plan = [](const exchange_call&) { return refusal_plan(404, "acme-9: gone"); };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 20U);
  EXPECT_EQ(test.succeeded(), test.served_by("b"));
  EXPECT_LT(test.succeeded(), 20U) << "the other member also serves some";
}

TEST(pool_test, a_member_whose_key_ends_rests_while_the_others_continue) {
  engine_rig test;
  test.add(1000);
  test.make_pool({"a", "b"});
  test.options.pace.requests_per_minute = 0;
  test.relay.plan = [](const exchange_call&) { return refusal_plan(401, "no such key"); };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.served_by("b"), 1000U);
  EXPECT_LE(test.relay.calls.size(), 65U)
      << "the first attempts in flight, and one that confirms the refusal";
  EXPECT_FALSE(test.relay.sending);
}

TEST(pool_test, the_run_stops_when_no_member_is_left) {
  engine_rig test;
  test.add(100);
  test.make_pool({"a", "b"});
  test.options.pace.concurrency = 4;
  test.relay.plan = [](const exchange_call&) { return refusal_plan(401, "no such key"); };
  test.others.front().plan = [](const exchange_call& call) {
    return call.number < 30 ? completion_plan()
                            : refusal_plan(403, "spent", "insufficient_user_quota");
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::quota_spent);
  EXPECT_EQ(test.outcome.message, "HTTP 403 for m: spent");
  EXPECT_EQ(test.sink.results.size(), 30U) << "the other requests stay pending";
}

TEST(pool_test, a_dead_member_uses_up_no_attempts) {
  engine_rig test;
  test.add(200);
  test.make_pool({"dead", "b"});
  test.options.pace.requests_per_minute = 0;
  test.relay.plan = [](const exchange_call&) { return unreachable_plan(); };
  test.run();
  EXPECT_EQ(test.served_by("b"), 200U);
  for (const auto& one : test.sink.results) EXPECT_EQ(one.attempts, 1U);
}

TEST(pool_test, a_member_without_the_model_uses_up_no_attempts_while_the_other_one_is_full) {
  engine_rig test;
  test.add(300);
  test.make_pool({"a", "b"});
  test.options.pace.requests_per_minute = 6000;
  test.options.pool[1].requests_per_minute = 60;
  test.relay.plan = [](const exchange_call&) {
    return refusal_plan(503, "no available channel for model m", "model_not_found");
  };
  test.run();
  EXPECT_EQ(test.served_by("b"), 300U);
  EXPECT_LT(test.time.since_start(), 6 * 60) << "the other one is used as fast as it can be";
  EXPECT_LT(test.relay.calls.size(), 300U * 10) << "a request waits longer each time";
}

TEST(pool_test, a_member_that_always_fails_is_not_used_and_no_request_runs_out_of_attempts) {
  engine_rig test;
  test.add(300);
  test.make_pool({"broken", "b"});
  test.options.pace.requests_per_minute = 0;
  test.options.pace.max_attempts = 2;
  test.relay.plan = [](const exchange_call&) { return refusal_plan(502, "bad gateway"); };
  test.run();
  EXPECT_EQ(test.served_by("b"), 300U);
}

TEST(pool_test, only_the_throttled_member_rests) {
  engine_rig test;
  test.add(120);
  test.make_pool({"a", "b"});
  test.options.pace.requests_per_minute = 0;
  test.options.pace.concurrency = 8;
  test.relay.plan = [](const exchange_call& call) {
    return call.number == 0 ? refusal_plan(429, "slower", "", {{"retry-after", "30"}})
                            : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.succeeded(), 120U);
  EXPECT_LT(test.time.since_start(), 30) << "no request waited for the pause";
}

TEST(pool_test, a_wrong_address_ends_only_its_member) {
  engine_rig test;
  test.add(50);
  test.make_pool({"a", "b"});
  test.options.pace.requests_per_minute = 0;
  test.options.pace.concurrency = 4;
  test.relay.plan = [](const exchange_call&) { return refusal_plan(404, "Invalid URL"); };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.served_by("b"), 50U);
  EXPECT_LE(test.relay.calls.size(), 8U);
}

TEST(pool_test, a_member_that_asks_for_a_long_wait_is_used_again_later) {
  engine_rig test;
  test.add(2000);
  test.make_pool({"a", "b"});
  test.options.pace.requests_per_minute = 60;
  test.relay.plan = [](const exchange_call& call) {
    return call.number == 0 ? refusal_plan(429, "daily", "", {{"retry-after", "900"}})
                            : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.succeeded(), 2000U);
  EXPECT_GT(test.served_by("a"), 100U);
  EXPECT_GE(test.relay.calls[64].at - test.relay.calls[0].at, 800s);
}

TEST(pool_test, a_hint_applies_to_the_member_and_not_to_the_request) {
  engine_rig test;
  test.add(20);
  test.make_pool({"a", "b"});
  test.relay.plan = [](const exchange_call&) {
    return refusal_plan(503, "later", "", {{"retry-after", "86400"}});
  };
  test.run();
  EXPECT_EQ(test.served_by("b"), 20U);
  EXPECT_LT(test.time.since_start(), 60);
}

TEST(pool_test, connections_ended_by_a_rest_do_not_count_as_failures) {
  engine_rig test;
  test.add(40);
  test.make_pool({"a", "b"});
  // Both members share one window, and this window must not be paused.
  test.options.pool[1].relay.base_url = "https://a.example";
  test.options.pace.requests_per_minute = 0;
  test.relay.plan = [](const exchange_call& call) {
    if (call.number < 2) return refusal_plan(401, "no such key");
    exchange_plan planned = unreachable_plan();
    planned.before_sent = 2s;
    planned.message = "interrupted";
    return planned;
  };
  test.run();
  EXPECT_EQ(test.served_by("b"), 40U);
  EXPECT_LT(test.time.since_start(), 4) << "there was no pause";
}

TEST(pool_test, the_outcome_names_the_member_that_comes_back) {
  engine_rig test;
  test.add(40);
  test.make_pool({"a", "b"});
  test.options.pace.concurrency = 4;
  test.relay.plan = [](const exchange_call&) {
    return refusal_plan(429, "daily quota of a", "", {{"retry-after", "2000"}});
  };
  test.others.front().plan = [](const exchange_call&) { return refusal_plan(401, "no such key"); };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::come_back_later);
  EXPECT_EQ(test.outcome.message, "HTTP 429 for m: daily quota of a");
}

TEST(pool_test, if_all_members_ask_to_wait_the_run_stops_with_the_first_time) {
  engine_rig test;
  test.add(10);
  test.make_pool({"a", "b"});
  for (auto* client : {&test.relay, &test.others.front()}) {
    client->plan = [client, &test](const exchange_call&) {
      return refusal_plan(429, "daily", "",
                          {{"retry-after", client == &test.relay ? "2000" : "3000"}});
    };
  }
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::come_back_later);
  ASSERT_TRUE(test.outcome.again_at.has_value());
  EXPECT_NEAR(*test.outcome.again_at, test::manual_clock::unix_start + 2000, 2);
  EXPECT_TRUE(test.sink.results.empty());
}

}  // namespace
}  // namespace sluice
