// Tests when failures of many requests end the run, and when a failure ends only its request. All
// tests run in virtual time.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "support/engine_rig.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using test::completion_plan;
using test::engine_rig;
using test::exchange_call;
using test::exchange_plan;
using test::refusal_plan;
using test::unreachable_plan;

std::uint64_t line_of(const exchange_call& call) {
  const std::size_t begin = call.body.find("\"user\":\"") + 8;
  return std::stoull(call.body.substr(call.body.find('-', begin) + 1));
}

std::size_t job_of(const exchange_call& call) {
  return std::stoull(call.body.substr(call.body.find("\"user\":\"") + 8));
}

std::string model_of(const exchange_call& call) {
  const std::size_t begin = call.body.find("\"model\":\"") + 9;
  return call.body.substr(begin, call.body.find('"', begin) - begin);
}

void give_model(request& item, const std::string& model) {
  const std::string named = R"({"model":")";
  const std::size_t begin = named.size();
  item.body.replace(begin, item.body.find('"', begin) - begin, model);
  item.model = model;
}

exchange_plan no_such_model() {
  return refusal_plan(404, "The model `m` does not exist", "model_not_found");
}
// A refusal with a message that is not in the table of known errors.
exchange_plan barred(int status = 403) {
  return refusal_plan(status, "Your workspace is frozen (request id: 2026a1)");
}

exchange_plan no_channel() {
  return refusal_plan(503, "no available channel for model a", "model_not_found");
}

// Requests for models `a` and `b`, alternately.
void add_two_models(engine_rig& test, std::size_t count) {
  test.add(count);
  test.source.several_models = true;
  for (std::size_t i = 0; i < count; ++i) {
    give_model(test.source.requests[i], i % 2 == 0 ? "a" : "b");
  }
}

constexpr std::string_view stream_fields =
    R"(,"stream":true,"stream_options":{"include_usage":true})";

void add_streamed(engine_rig& test, std::size_t count) {
  test.add(count);
  for (auto& item : test.source.requests) {
    item.streamed = true;
    item.stream_fields = stream_fields.size();
    item.body.insert(item.body.size() - 1, stream_fields);
  }
}

bool asks_for_a_stream(const exchange_call& call) {
  return call.streamed && call.body.find("\"stream\":true") != std::string::npos;
}

// --- all requests of a job are refused with the same message

TEST(stop_rules_test, twenty_equal_refusals_without_a_success_stop_the_run_without_results) {
  for (const unsigned places : {1U, 8U, 64U}) {
    engine_rig test;
    test.add(5000);
    test.options.pace.requests_per_minute = 0;
    test.options.pace.concurrency = places;
    test.relay.plan = [](const exchange_call&) { return no_such_model(); };
    test.run();
    EXPECT_EQ(test.outcome.reason, stop_reason::refused_alike) << places;
    EXPECT_NE(test.outcome.message.find("model m"), std::string::npos) << test.outcome.message;
    EXPECT_NE(test.outcome.message.find("https://api.openai.com/v1"), std::string::npos);
    EXPECT_NE(test.outcome.message.find("does not exist"), std::string::npos);
    EXPECT_TRUE(test.sink.results.empty()) << places;
    EXPECT_GE(test.relay.calls.size(), 20U);
    EXPECT_LT(test.relay.calls.size(), 20U + places) << places;
  }
}

TEST(stop_rules_test, fewer_than_twenty_refusals_fail_their_requests) {
  engine_rig test;
  test.add(19);
  test.relay.plan = [](const exchange_call&) { return no_such_model(); };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 19U);
  for (const auto& one : test.sink.results) EXPECT_FALSE(one.retryable);
}

TEST(stop_rules_test, after_one_success_refusals_fail_their_requests) {
  for (const std::uint64_t good : {1U, 20U}) {
    engine_rig test;
    test.add(200);
    test.options.pace.concurrency = 1;
    test.relay.plan = [&](const exchange_call& call) {
      return line_of(call) == good ? completion_plan() : no_such_model();
    };
    test.run();
    EXPECT_EQ(test.outcome.reason, stop_reason::none) << good;
    EXPECT_EQ(test.sink.results.size(), 200U) << good;
  }
}

TEST(stop_rules_test, a_success_in_an_earlier_run_counts_for_the_job) {
  engine_rig test;
  test.add(50);
  test.source.earlier_successes = {{0, "m"}};
  test.relay.plan = [](const exchange_call&) { return no_such_model(); };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 50U);
}

// With several threads, the source also knows the successes of the other engines.
TEST(stop_rules_test, a_success_in_another_engine_settles_the_requests_that_are_held) {
  engine_rig test;
  test.add(60);
  test.options.pace.concurrency = 4;
  test.relay.plan = [&](const exchange_call& call) {
    if (call.number == 10) test.source.earlier_successes = {{0, "m"}};
    return no_such_model();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  ASSERT_EQ(test.sink.results.size(), 60U);
  const auto first = std::find_if(test.sink.results.begin(), test.sink.results.end(),
                                  [](const result& one) { return one.line == 1; });
  EXPECT_LT(first - test.sink.results.begin(), 20) << "not only at the end of the run";
}

TEST(stop_rules_test, different_refusals_do_not_form_a_row) {
  engine_rig test;
  test.add(200);
  test.options.pace.concurrency = 1;
  test.relay.plan = [](const exchange_call& call) {
    return call.number % 19 == 18 ? refusal_plan(422, "another") : no_such_model();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 200U);
}

TEST(stop_rules_test, with_keep_going_each_request_gets_a_line) {
  engine_rig test;
  test.add(200);
  test.options.pace.keep_going = true;
  test.relay.plan = [](const exchange_call& call) {
    return call.number < 100 ? no_such_model() : barred();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 200U);
}

void add_two_jobs(engine_rig& test, std::uint64_t lines) {
  test.source.number_of_jobs = 2;
  for (std::uint64_t line = 1; line <= lines; ++line) {
    for (const std::size_t job : {0U, 1U}) {
      test.source.requests.push_back(test::make_request(job, line));
    }
  }
}

TEST(stop_rules_test, a_refused_job_does_not_stop_the_others) {
  engine_rig test;
  add_two_jobs(test, 100);
  test.relay.plan = [](const exchange_call& call) {
    return job_of(call) == 0 ? completion_plan() : no_such_model();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::refused_alike);
  EXPECT_EQ(test.succeeded(), 100U);
  EXPECT_EQ(test.sink.results.size(), 100U) << "nothing is written for the other job";
  EXPECT_LT(test.relay.calls.size(), 100U + 20 + 64);
}

// The outcome has both reasons, so that the exit status can follow the stronger one.
TEST(stop_rules_test, a_refused_job_is_reported_beside_a_later_stop) {
  engine_rig test;
  add_two_jobs(test, 300);
  test.relay.plan = [](const exchange_call& call) {
    if (job_of(call) == 1) return no_such_model();
    return line_of(call) < 200 ? completion_plan() : refusal_plan(401, "bad key");
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::key_ended);
  EXPECT_EQ(test.outcome.gave_up, stop_reason::refused_alike);
  EXPECT_NE(test.outcome.gave_up_message.find("does not exist"), std::string::npos);
}

TEST(stop_rules_test, a_refused_job_counts_more_than_a_model_that_was_given_up_before) {
  engine_rig test;
  add_two_models(test, 200);
  test.source.number_of_jobs = 2;
  test.add(100, 1);
  test.source.earlier_successes = {{0, "a"}, {0, "b"}};
  test.relay.plan = [](const exchange_call& call) {
    if (job_of(call) == 0) return model_of(call) == "a" ? no_channel() : completion_plan();
    exchange_plan late = no_such_model();
    late.before_head = 20min;  // the model is given up before
    return late;
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::refused_alike);
  EXPECT_NE(test.outcome.message.find("does not exist"), std::string::npos);
  EXPECT_EQ(test.outcome.gave_up, stop_reason::model_out);
  EXPECT_NE(test.outcome.gave_up_message.find("no available channel"), std::string::npos);
}

// --- an account that ends with an unknown message

TEST(stop_rules_test, thirty_unknown_refusals_after_successes_end_the_key) {
  for (const int status : {403, 412, 500, 503}) {
    for (const unsigned places : {1U, 64U}) {
      for (const bool looks_ahead : {true, false}) {
        engine_rig test;
        test.add(3000);
        test.source.looks_ahead = looks_ahead;
        test.options.pace.concurrency = places;
        test.options.pace.max_attempts = 1;
        test.relay.plan = [&](const exchange_call& call) {
          return call.number < 100 ? completion_plan() : barred(status);
        };
        test.run();
        const std::string what =
            fmt::format("{}, {} in flight, looks ahead: {}", status, places, looks_ahead);
        EXPECT_EQ(test.outcome.reason, stop_reason::key_ended) << what;
        EXPECT_NE(test.outcome.message.find("workspace is frozen"), std::string::npos) << what;
        EXPECT_EQ(test.sink.results.size(), 100U) << what << ": refused requests stay pending";
        EXPECT_LE(test.relay.calls.size(), 100U + 25 + places + 5) << what;
      }
    }
  }
}

// If a source cannot look ahead, the sample comes from the reader's queue, which holds 64 or more
// requests.
TEST(stop_rules_test, a_block_of_bad_rows_is_detected_by_requests_from_another_part) {
  for (const bool looks_ahead : {true, false}) {
    for (const unsigned places : {1U, 16U, 64U}) {
      engine_rig test;
      test.add(400);
      test.source.looks_ahead = looks_ahead;
      test.options.pace.concurrency = places;
      const std::uint64_t last = looks_ahead ? 220 : 150;
      test.relay.plan = [&](const exchange_call& call) {
        const auto line = line_of(call);
        return line > 100 && line <= last ? barred() : completion_plan();
      };
      test.run();
      const std::string what = fmt::format("{} in flight, looks ahead: {}", places, looks_ahead);
      EXPECT_EQ(test.outcome.reason, stop_reason::none) << what << test.outcome.message;
      EXPECT_EQ(test.sink.results.size(), 400U) << what;
      EXPECT_EQ(test.succeeded(), 400 - (last - 100)) << what;
      EXPECT_EQ(test.relay.calls.size(), 400U) << what << ": each is sent once";
      EXPECT_FALSE(test.result_of("0-110").retryable) << what << ": only this request fails";
    }
  }
}

TEST(stop_rules_test, fewer_than_thirty_refusals_at_the_end_of_a_job_are_tried_by_a_later_run) {
  engine_rig test;
  test.add(120);
  test.relay.plan = [](const exchange_call& call) {
    return call.number < 100 ? completion_plan() : barred();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 120U);
  EXPECT_TRUE(test.result_of("0-120").retryable);
}

TEST(stop_rules_test, refusals_among_successes_are_written) {
  engine_rig test;
  test.add(300);
  test.options.pace.concurrency = 4;
  test.relay.plan = [](const exchange_call& call) {
    return call.number % 10 == 0 ? completion_plan() : barred();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 300U);
  EXPECT_FALSE(test.result_of("0-2").retryable);
}

TEST(stop_rules_test, bad_requests_after_successes_do_not_end_the_run) {
  engine_rig test;
  test.add(300);
  test.relay.plan = [](const exchange_call& call) {
    return call.number < 10 ? completion_plan() : refusal_plan(400, "prompt too long");
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 300U);
}

TEST(stop_rules_test, a_member_with_equal_refusals_rests_and_the_others_take_over) {
  engine_rig test;
  test.add(400);
  test.make_pool({"a", "b"});
  test.relay.plan = [](const exchange_call& call) {
    return call.number < 20 ? completion_plan() : barred();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.succeeded(), 400U) << "no request fails because of the member's account";
  EXPECT_EQ(test.served_by("a"), 20U);
}

TEST(stop_rules_test, a_block_of_bad_rows_does_not_end_a_pool) {
  engine_rig test;
  test.add(600);
  test.make_pool({"a", "b"});
  test.source.looks_ahead = true;
  const auto plan = [](const exchange_call& call) {
    const auto line = line_of(call);
    return line > 200 && line <= 320 ? barred() : completion_plan();
  };
  test.relay.plan = plan;
  test.others.front().plan = plan;
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none) << test.outcome.message;
  EXPECT_EQ(test.sink.results.size(), 600U);
  EXPECT_EQ(test.succeeded(), 480U);
}

TEST(stop_rules_test, enough_refusals_of_the_last_requests_in_flight_stop_the_run) {
  engine_rig test;
  test.add(200);
  test.options.pace.requests_per_minute = 0;
  test.relay.plan = [](const exchange_call& call) {
    return line_of(call) <= 140 ? completion_plan() : barred();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::key_ended);
  EXPECT_EQ(test.sink.results.size(), 140U) << "the other requests stay pending";
}

// A trial of a model and a sample for a series of refusals happen at the same time.
TEST(stop_rules_test, a_sample_does_not_wait_for_a_model_that_is_out) {
  engine_rig test;
  add_two_models(test, 2000);
  test.source.looks_ahead = true;
  test.options.pace.concurrency = 8;
  test.options.pace.requests_per_minute = 0;
  test.relay.plan = [&](const exchange_call& call) {
    const auto line = line_of(call);
    if (model_of(call) == "a") {
      return line > 60 && test.time.since_start() < 180 ? no_channel() : completion_plan();
    }
    return line > 100 && line <= 300 ? barred() : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none) << test.outcome.message;
  EXPECT_EQ(test.sink.results.size(), 2000U);
  EXPECT_EQ(test.succeeded(), 1900U);
}

TEST(stop_rules_test, after_a_job_is_refused_the_others_make_the_trials_of_a_model) {
  engine_rig test;
  test.source.number_of_jobs = 2;
  for (std::uint64_t line = 1; line <= 60; ++line) {
    for (const std::size_t job : {0U, 1U}) {
      test.source.requests.push_back(test::make_request(job, line));
      const bool other = job == 0 && line > 10;
      give_model(test.source.requests.back(), other ? "b" : "a");
    }
  }
  test.source.several_models = true;
  test.relay.plan = [&](const exchange_call& call) {
    if (model_of(call) == "b") return no_such_model();
    const bool out = test.time.since_start() > 0.5 && test.time.since_start() < 120;
    return job_of(call) == 0 || out ? no_channel() : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::refused_alike);
  EXPECT_EQ(test.succeeded(), 60U) << "all requests of the other job";
}

TEST(stop_rules_test, a_model_whose_trials_all_fail_for_other_reasons_is_given_up) {
  engine_rig test;
  add_two_models(test, 400);
  test.relay.plan = [&](const exchange_call& call) {
    if (model_of(call) == "b" || call.number < 50) return completion_plan();
    return test.time.since_start() < 3 ? no_channel() : refusal_plan(500, "busy");
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::model_out);
  EXPECT_EQ(test.sink.results.size(), test.succeeded());
}

// 40 requests, four at a time. The model is out from 0.9 s to 5 s after the start, so the first
// trial is due at 1.9 s. From 1.5 s on no other attempt is in flight.
struct trial_rig : engine_rig {
  trial_rig() {
    add(40);
    options.pace.concurrency = 4;
    options.pace.requests_per_minute = 0;
    relay.plan = [this](const exchange_call& call) {
      return call.number > 10 && time.since_start() < 5 ? no_channel() : completion_plan();
    };
  }
  /// False for the first trial alone.
  bool allows_trial() {
    const double now = time.since_start();
    if (now < 1.5) return true;
    if (!first_trial) {
      first_trial = now;
      return false;
    }
    if (!next_trial) next_trial = now;
    return true;
  }
  void expect_next_trial_at_once() const {
    EXPECT_EQ(outcome.reason, stop_reason::none);
    EXPECT_EQ(succeeded(), 39U) << "one request stays pending";
    ASSERT_TRUE(first_trial && next_trial);
    EXPECT_EQ(*next_trial, *first_trial) << "nothing was asked, so no backoff is needed";
  }
  std::optional<double> first_trial;
  std::optional<double> next_trial;
};

// The lease of the request is lost, or there is no money for it.
TEST(stop_rules_test, a_trial_that_gets_no_money_is_made_by_the_next_request) {
  trial_rig test;
  test.sink.purse = [&](const request& /*next*/) {
    return test.allows_trial() ? funds::reserved : funds::never;
  };
  test.run();
  test.expect_next_trial_at_once();
}

TEST(stop_rules_test, a_trial_that_may_not_be_sent_is_made_by_the_next_request) {
  trial_rig test;
  test.sink.permits = [&](const attempt_record& /*attempt*/) { return test.allows_trial(); };
  test.run();
  test.expect_next_trial_at_once();
}

TEST(stop_rules_test, a_job_without_an_answer_of_the_model_makes_its_trials_too) {
  engine_rig test;
  test.source.number_of_jobs = 2;
  for (std::uint64_t line = 1; line <= 60; ++line) {
    const std::size_t job = line <= 10 || line % 10 == 0 ? 0 : 1;
    test.source.requests.push_back(test::make_request(job, line));
  }
  test.options.pace.concurrency = 4;
  test.relay.plan = [&](const exchange_call& call) {
    return call.number > 9 && test.time.since_start() < 60 ? no_channel() : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 60U);
  for (const auto& one : test.sink.results) {
    EXPECT_TRUE(one.outcome || one.job == 1) << one.custom_id;
  }
}

TEST(stop_rules_test, a_request_that_its_model_refuses_among_successes_fails_alone) {
  engine_rig test;
  test.add(400);
  test.options.pace.concurrency = 4;
  std::size_t refused = 0;
  test.relay.plan = [&](const exchange_call& call) {
    if (line_of(call) != 50) return completion_plan();
    ++refused;
    return no_channel();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.succeeded(), 399U);
  EXPECT_EQ(test.sink.results.size(), 400U);
  EXPECT_LT(refused, 10U);
}

TEST(stop_rules_test, a_model_that_answered_only_in_another_job_gets_three_attempts) {
  engine_rig test;
  test.source.number_of_jobs = 2;
  for (std::uint64_t line = 1; line <= 40; ++line) {
    for (const std::size_t job : {0U, 1U}) {
      if (job == 0 || line > 30) test.source.requests.push_back(test::make_request(job, line));
    }
  }
  test.relay.plan = [](const exchange_call& call) {
    return job_of(call) == 1 ? no_channel() : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.succeeded(), 40U);
  EXPECT_EQ(test.result_of("1-35").attempts, 3U);
}

// A long reply that was in flight when the account ended does not prove that the account works.
TEST(stop_rules_test, replies_to_earlier_attempts_say_nothing_about_later_refusals) {
  engine_rig test;
  test.add(2000);
  test.options.pace.requests_per_minute = 0;
  test.options.pace.concurrency = 8;
  const time_point start = test.time.now();
  test.relay.plan = [&](const exchange_call& call) {
    if (call.at - start > 5s) return barred();
    return completion_plan("x", line_of(call) % 7 == 0 ? 6s : 300ms);
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::key_ended);
  EXPECT_EQ(test.sink.results.size(), test.succeeded());
}

TEST(stop_rules_test, a_permanent_failure_does_not_count_as_an_answer_of_the_model) {
  engine_rig test;
  test.add(10);
  test.options.pace.concurrency = 1;
  test.relay.plan = [](const exchange_call& call) {
    return line_of(call) < 5 ? refusal_plan(400, "too long") : no_channel();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 10U);
  EXPECT_EQ(test.result_of("0-9").attempts, 3U);
}

TEST(stop_rules_test, the_trial_without_a_stream_goes_to_the_relay_whose_streams_failed) {
  engine_rig test;
  add_streamed(test, 400);
  test.make_pool({"a", "b"});
  test.relay.plan = [](const exchange_call& call) {
    return asks_for_a_stream(call) ? refusal_plan(500, "stream failed") : completion_plan();
  };
  std::size_t unstreamed_at_b = 0;
  test.others.front().plan = [&](const exchange_call& call) {
    if (!asks_for_a_stream(call)) ++unstreamed_at_b;
    return completion_plan();
  };
  test.run();
  EXPECT_EQ(test.succeeded(), 400U);
  EXPECT_EQ(unstreamed_at_b, 0U);
}

TEST(stop_rules_test, after_an_interrupt_held_requests_stay_pending) {
  engine_rig test;
  test.add(2000);
  test.options.pace.concurrency = 4;
  test.relay.plan = [](const exchange_call& call) {
    return call.number < 15 ? no_such_model() : completion_plan("x", 1h);
  };
  test.run([&] { return test.relay.calls.size() >= 18; }, [](engine& running) { running.abort(); });
  EXPECT_EQ(test.outcome.reason, stop_reason::interrupted);
  EXPECT_TRUE(test.sink.results.empty());
}

// The wait for the cause is no part of the attempt.
TEST(stop_rules_test, the_latency_of_a_held_failure_is_that_of_its_attempt) {
  engine_rig test;
  test.add(2);
  test.relay.plan = [](const exchange_call& call) {
    return line_of(call) == 1 ? no_such_model() : completion_plan("x", 1h);
  };
  test.run();
  ASSERT_EQ(test.sink.results.size(), 2U);
  EXPECT_NEAR(test.result_of("0-1").latency_ms, 300, 1e-6);
  EXPECT_NEAR(test.result_of("0-2").latency_ms, 3'600'000, 1e-6);
}

// --- the end of a key is confirmed

TEST(stop_rules_test, a_short_refusal_of_the_key_does_not_end_the_run) {
  for (const int status : {401, 402, 429}) {
    engine_rig test;
    test.add(2000);
    test.options.pace.requests_per_minute = 0;
    std::size_t refused = 0;
    const time_point start = test.time.now();
    test.relay.plan = [&](const exchange_call& call) {
      const duration passed = call.at - start;
      if (passed < 3s || passed > 3200ms) return completion_plan();
      ++refused;
      return refusal_plan(status, "quota", status == 429 ? "insufficient_quota" : "");
    };
    test.run();
    EXPECT_GE(refused, 10U) << status;
    EXPECT_EQ(test.outcome.reason, stop_reason::none) << status;
    EXPECT_EQ(test.succeeded(), 2000U) << status;
  }
}

TEST(stop_rules_test, a_used_up_quota_is_confirmed_within_seconds) {
  engine_rig test;
  test.add(2000);
  const time_point start = test.time.now();
  test.relay.plan = [&](const exchange_call& call) {
    return call.at - start < 3s ? completion_plan()
                                : refusal_plan(429, "spent", "insufficient_quota");
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::quota_spent);
  EXPECT_LT(test.time.now() - start, 3s + 90s) << "the trial may have to wait for the window";
  EXPECT_EQ(test.sink.results.size(), test.succeeded());
}

// --- certificates and proxies

exchange_plan expired() {
  exchange_plan planned = unreachable_plan();
  planned.end = exchange_end::how::bad_certificate;
  planned.message = "certificate has expired";
  return planned;
}

TEST(stop_rules_test, after_successes_a_bad_certificate_is_tried_again) {
  for (const bool proxy : {false, true}) {
    engine_rig test;
    test.add(600);
    const time_point start = test.time.now();
    test.relay.plan = [&](const exchange_call& call) {
      const duration passed = call.at - start;
      if (passed < 60s || passed > 5min) return completion_plan();
      auto planned = expired();
      if (proxy) planned.end = exchange_end::how::refused_by_proxy;
      return planned;
    };
    test.run();
    EXPECT_EQ(test.outcome.reason, stop_reason::none) << proxy;
    EXPECT_EQ(test.succeeded(), 600U) << proxy;
  }
}

TEST(stop_rules_test, a_certificate_that_stays_bad_means_a_dead_relay_and_the_cause_is_reported) {
  engine_rig test;
  test.add(600);
  test.relay.plan = [&](const exchange_call& call) {
    return call.number < 50 ? completion_plan() : expired();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::relay_down);
  EXPECT_EQ(test.outcome.message, "certificate has expired");
  EXPECT_EQ(test.sink.results.size(), 50U);
}

// --- models

TEST(stop_rules_test, requests_for_a_model_that_is_out_wait_and_the_others_continue) {
  engine_rig test;
  add_two_models(test, 600);
  const time_point start = test.time.now();
  std::size_t refused = 0;
  std::size_t others = 0;
  test.relay.plan = [&](const exchange_call& call) {
    const duration passed = call.at - start;
    if (model_of(call) == "a" && passed > 20s && passed < 6min) {
      ++refused;
      return no_channel();
    }
    if (passed > 20s && passed < 6min) ++others;
    return completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.succeeded(), 600U) << "no request failed";
  EXPECT_LT(refused, 64U + 20U) << "the attempts in flight, and one trial at a time";
  EXPECT_GT(others, 100U);
  for (const auto& one : test.sink.results) EXPECT_LE(one.attempts, 30U);
}

TEST(stop_rules_test, if_a_model_stays_out_its_requests_stay_pending_and_the_rest_is_done) {
  engine_rig test;
  add_two_models(test, 600);
  test.relay.plan = [&](const exchange_call& call) {
    return model_of(call) == "a" && call.number > 50 ? no_channel() : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::model_out);
  EXPECT_NE(test.outcome.message.find("no available channel"), std::string::npos);
  EXPECT_EQ(test.sink.results.size(), test.succeeded()) << "nothing is written as failed";
  std::size_t of_b = 0;
  for (const auto& one : test.sink.results) of_b += one.model == "b" ? 1 : 0;
  EXPECT_EQ(of_b, 300U);
}

TEST(stop_rules_test, if_the_only_model_stays_out_the_run_stops) {
  engine_rig test;
  test.add(2000);
  test.relay.plan = [&](const exchange_call& call) {
    return call.number > 50 ? no_channel() : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::model_out);
  EXPECT_EQ(test.sink.results.size(), test.succeeded());
}

TEST(stop_rules_test, a_model_that_never_answered_gets_three_attempts) {
  engine_rig test;
  add_two_models(test, 20);
  test.relay.plan = [&](const exchange_call& call) {
    return model_of(call) == "a" ? no_channel() : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 20U);
  EXPECT_EQ(test.result_of("0-1").attempts, 3U);
  EXPECT_EQ(test.result_of("0-1").outcome.error().http_status, 503);
}

TEST(stop_rules_test, a_model_that_answered_in_an_earlier_run_counts_as_out) {
  engine_rig test;
  test.add(20);
  test.source.earlier_successes = {{0, "m"}};
  const time_point start = test.time.now();
  test.relay.plan = [&](const exchange_call& call) {
    return call.at - start < 2min ? no_channel() : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.succeeded(), 20U);
}

TEST(stop_rules_test, if_one_member_loses_a_model_the_others_serve_it) {
  engine_rig test;
  test.add(300);
  test.make_pool({"a", "b"});
  test.relay.plan = [](const exchange_call& call) {
    return call.number > 30 ? no_channel() : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.succeeded(), 300U);
}

TEST(stop_rules_test, if_all_members_lose_a_model_it_is_out) {
  engine_rig test;
  test.add(2000);
  std::size_t refused = 0;
  test.make_pool({"a", "b"});
  const time_point start = test.time.now();
  const auto plan = [&](const exchange_call& call) {
    const duration passed = call.at - start;
    if (passed < 30s || passed > 4min) return completion_plan();
    ++refused;
    return no_channel();
  };
  test.relay.plan = plan;
  test.others.front().plan = plan;
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.succeeded(), 2000U);
  EXPECT_GT(refused, 10U);
  EXPECT_LT(refused, 4 * 64U);
}

TEST(stop_rules_test, a_404_for_one_of_several_models_does_not_mean_a_wrong_address) {
  engine_rig test;
  test.add(60);
  test.source.several_models = true;
  for (std::size_t i = 0; i < 60; ++i) {
    give_model(test.source.requests[i], i < 10 ? "a" : "b");
  }
  test.options.pace.concurrency = 1;
  test.relay.plan = [](const exchange_call& call) {
    return model_of(call) == "a" ? refusal_plan(404, "Not found") : completion_plan();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.succeeded(), 50U);
  EXPECT_EQ(test.sink.results.size(), 60U);

  engine_rig wrong;
  wrong.add(60);
  wrong.source.several_models = true;
  for (std::size_t i = 0; i < 60; ++i) {
    give_model(wrong.source.requests[i], i < 10 ? "a" : "b");
  }
  wrong.options.pace.concurrency = 1;
  wrong.relay.plan = [](const exchange_call&) { return refusal_plan(404, "Not found"); };
  wrong.run();
  EXPECT_EQ(wrong.outcome.reason, stop_reason::wrong_address);
  EXPECT_TRUE(wrong.sink.results.empty());
}

// --- relays that cannot stream

TEST(stop_rules_test, a_relay_that_cannot_stream_gets_requests_without_streams) {
  // A 400 is a permanent failure: without the trial, the engine would give up the whole job.
  for (const int status : {500, 502, 400, 501}) {
    engine_rig test;
    add_streamed(test, 120);
    const std::string plain = R"({"model":"m","messages":[],"user":"0-7"})";
    std::set<std::string> keys;
    test.relay.plan = [&](const exchange_call& call) {
      if (asks_for_a_stream(call)) return refusal_plan(status, "stream failed");
      EXPECT_FALSE(call.streamed);
      if (line_of(call) == 7) {
        EXPECT_EQ(call.body, plain);
      }
      keys.insert(call.idempotency_key);
      return completion_plan();
    };
    test.run();
    EXPECT_EQ(test.outcome.reason, stop_reason::none) << status << test.outcome.message;
    EXPECT_EQ(test.succeeded(), 120U) << status;
    EXPECT_EQ(keys.size(), 120U);
    EXPECT_FALSE(test.result_of("0-100").streamed);
    EXPECT_LT(test.relay.calls.size(), 120U + 2 * 64) << status;
  }
}

TEST(stop_rules_test, a_failed_trial_without_a_stream_changes_nothing) {
  engine_rig test;
  add_streamed(test, 120);
  std::size_t unstreamed = 0;
  test.relay.plan = [&](const exchange_call& call) {
    if (!asks_for_a_stream(call)) ++unstreamed;
    return refusal_plan(500, "down");
  };
  test.run();
  EXPECT_EQ(unstreamed, 1U);
  EXPECT_EQ(test.outcome.reason, stop_reason::relay_down);
}

TEST(stop_rules_test, a_relay_that_has_streamed_gets_no_trial_without_a_stream) {
  engine_rig test;
  add_streamed(test, 200);
  std::size_t unstreamed = 0;
  test.relay.plan = [&](const exchange_call& call) {
    if (!asks_for_a_stream(call)) ++unstreamed;
    return call.number < 5 || call.number > 90 ? completion_plan() : refusal_plan(500, "down");
  };
  test.run();
  EXPECT_EQ(unstreamed, 0U);
}

// Its failure is not about streams. The run holds it like the others, so none may wait for it.
TEST(stop_rules_test, a_refused_trial_without_a_stream_does_not_hold_up_the_run) {
  engine_rig test;
  add_streamed(test, 30);
  test.options.pace.requests_per_minute = 0;
  test.relay.plan = [](const exchange_call& call) {
    return call.number < 20 ? refusal_plan(500, "starting up") : no_such_model();
  };
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::refused_alike);
  EXPECT_TRUE(test.sink.results.empty());
}

TEST(stop_rules_test, the_last_request_may_be_a_refused_trial_without_a_stream) {
  for (const std::size_t count : {20U, 25U}) {
    engine_rig test;
    add_streamed(test, count);
    test.options.pace.requests_per_minute = 0;
    std::size_t unstreamed = 0;
    test.relay.plan = [&](const exchange_call& call) {
      if (asks_for_a_stream(call)) return refusal_plan(400, "not verified to stream");
      ++unstreamed;
      return refusal_plan(403, "not allowed to use this model", "forbidden");
    };
    test.run();
    EXPECT_GE(unstreamed, 1U);
    // Nineteen equal refusals are the requests' own, more are not.
    const bool own = count == 20;
    EXPECT_EQ(test.outcome.reason, own ? stop_reason::none : stop_reason::refused_alike) << count;
    EXPECT_EQ(test.sink.results.size(), own ? count : 0U);
  }
}

TEST(stop_rules_test, lines_that_set_stream_themselves_are_always_streamed) {
  engine_rig test;
  add_streamed(test, 60);
  for (auto& item : test.source.requests) item.stream_fields = 0;
  std::size_t unstreamed = 0;
  test.relay.plan = [&](const exchange_call& call) {
    if (!asks_for_a_stream(call)) ++unstreamed;
    return refusal_plan(500, "down");
  };
  test.run();
  EXPECT_EQ(unstreamed, 0U);
}

// --- hints and replies

TEST(stop_rules_test, a_hint_of_more_than_a_day_gives_no_time) {
  for (const bool beyond : {false, true}) {
    engine_rig test;
    test.add(10);
    test.relay.plan = [&](const exchange_call&) {
      return refusal_plan(429, "wait", "", {{"retry-after", beyond ? "86401" : "86400"}});
    };
    test.run();
    EXPECT_EQ(test.outcome.reason, stop_reason::come_back_later);
    EXPECT_EQ(test.outcome.again_at.has_value(), !beyond);
  }
}

TEST(stop_rules_test, a_reply_that_cannot_be_parsed_twice_ends_the_retries) {
  engine_rig test;
  test.add(3);
  test.relay.plan = [](const exchange_call& call) {
    if (line_of(call) != 2) return completion_plan();
    exchange_plan planned = completion_plan();
    planned.body = {{duration{}, R"({"choices": [)"}};
    return planned;
  };
  test.run();
  EXPECT_EQ(test.succeeded(), 2U);
  const result& one = test.result_of("0-2");
  EXPECT_EQ(one.attempts, 2U);
  EXPECT_FALSE(one.retryable);
  EXPECT_EQ(one.outcome.error().code, errc::invalid_response);
}

}  // namespace
}  // namespace sluice
