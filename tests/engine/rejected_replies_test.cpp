// Tests what the engine does if its sink rejects a complete reply.
#include <gmock/gmock.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "sluice/engine.hpp"
#include "support/engine_rig.hpp"

namespace sluice {
namespace {

using test::completion_plan;
using test::engine_rig;
using test::exchange_call;
using test::refusal_plan;
using step = reply_verdict::step;

// Rejects the first `count` replies of each request, and gives up after `most`.
auto rejecting(std::map<std::string, unsigned>& seen, unsigned count, unsigned most) {
  return [&seen, count, most](request& asked, const result& finished) -> reply_verdict {
    EXPECT_EQ(asked.custom_id, finished.custom_id);
    EXPECT_TRUE(finished.outcome);
    const unsigned number = ++seen[finished.custom_id];
    if (number > count) return {};
    ++asked.rejections;
    return {number > most ? step::give_up : step::again, "wrong shape"};
  };
}

TEST(rejected_replies, are_asked_for_again_until_one_is_accepted) {
  engine_rig test;
  test.add(20);
  std::map<std::string, unsigned> seen;
  test.sink.examiner = rejecting(seen, 2, 5);
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.succeeded(), 20U);
  EXPECT_EQ(test.sink.attempts, 60U);
  EXPECT_EQ(test.sink.retries, 40U);
  EXPECT_EQ(test.sink.lost, 0U);
  EXPECT_TRUE(test.sink.ends.empty()) << "the sink itself ends the attempt of a rejected reply";
  EXPECT_EQ(test.result_of("0-7").attempts, 3U);
}

TEST(rejected_replies, fail_the_request_with_the_last_reply_once_it_was_sent_often_enough) {
  engine_rig test;
  test.add(1);
  std::map<std::string, unsigned> seen;
  test.sink.examiner = rejecting(seen, 9, 2);
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  ASSERT_EQ(test.sink.results.size(), 1U);
  const result& failed = test.sink.results.front();
  EXPECT_EQ(failed.attempts, 3U);
  ASSERT_FALSE(failed.outcome);
  EXPECT_EQ(failed.outcome.error().code, errc::reply_rejected);
  EXPECT_EQ(failed.outcome.error().message, "wrong shape");
  EXPECT_EQ(failed.outcome.error().http_status, 200);
  EXPECT_EQ(failed.outcome.error().request_id, "req_fake");
  EXPECT_NE(failed.outcome.error().body.find("choices"), std::string::npos);
  EXPECT_FALSE(failed.retryable);
}

TEST(rejected_replies, do_not_use_up_the_attempts_of_failures) {
  engine_rig test;
  test.add(1);
  test.options.pace.max_attempts = 2;
  test.relay.plan = [](const exchange_call& call) {
    return call.number % 2 == 0 ? refusal_plan(500) : completion_plan();
  };
  std::map<std::string, unsigned> seen;
  test.sink.examiner = rejecting(seen, 3, 5);
  test.run();
  EXPECT_EQ(test.succeeded(), 1U);
  EXPECT_EQ(test.sink.attempts, 8U);
}

TEST(rejected_replies, give_the_next_attempt_another_key_and_perhaps_another_body) {
  engine_rig test;
  test.add(1);
  std::map<std::string, unsigned> seen;
  const auto reject = rejecting(seen, 2, 5);
  test.sink.examiner = [&](request& asked, const result& finished) {
    const auto verdict = reject(asked, finished);
    if (verdict.next == step::again) asked.body.insert(asked.body.size() - 1, R"(,"more":1)");
    return verdict;
  };
  test.run();
  ASSERT_EQ(test.relay.calls.size(), 3U);
  std::set<std::string> keys;
  for (const auto& call : test.relay.calls) keys.insert(call.idempotency_key);
  EXPECT_EQ(keys.size(), 3U);
  EXPECT_EQ(test.relay.calls[2].body.size(), test.relay.calls[0].body.size() + 18);
  EXPECT_EQ(test.result_of("0-1").digest, test.source.requests[0].digest);
}

TEST(rejected_replies, keep_the_key_over_a_failure_and_a_restart) {
  engine_rig test;
  test.add(1);
  test.relay.plan = [](const exchange_call& call) {
    return call.number == 1 ? refusal_plan(500) : completion_plan();
  };
  std::map<std::string, unsigned> seen;
  test.sink.examiner = rejecting(seen, 1, 5);
  test.run();
  ASSERT_EQ(test.relay.calls.size(), 3U);
  EXPECT_NE(test.relay.calls[0].idempotency_key, test.relay.calls[1].idempotency_key);
  EXPECT_EQ(test.relay.calls[1].idempotency_key, test.relay.calls[2].idempotency_key);

  engine_rig again;  // the next run knows from the records that one reply was rejected
  again.add(1);
  again.source.requests[0].rejections = 1;
  again.run();
  EXPECT_EQ(again.relay.calls[0].idempotency_key, test.relay.calls[1].idempotency_key);
}

// With --tell-why. The reason is in no record, so after a kill the body is the original one again.
TEST(rejected_replies, get_another_key_if_their_reason_is_lost_in_a_restart) {
  engine_rig test;
  test.add(1);
  std::map<std::string, unsigned> seen;
  const auto reject = rejecting(seen, 1, 5);
  test.sink.examiner = [&](request& asked, const result& finished) {
    const auto verdict = reject(asked, finished);
    if (verdict.next == step::again) asked.body.insert(asked.body.size() - 1, R"(,"more":1)");
    return verdict;
  };
  test.run();
  ASSERT_EQ(test.relay.calls.size(), 2U);

  engine_rig again;
  again.add(1);
  again.source.requests[0].rejections = 1;
  again.source.requests[0].attempts = 1;
  again.run();
  for (const auto& call : test.relay.calls) {
    EXPECT_NE(again.relay.calls[0].idempotency_key, call.idempotency_key);
  }
}

// The previous run died after the last rejection and before it wrote the line of the request.
TEST(rejected_replies, do_not_cost_one_more_attempt_after_a_kill) {
  for (const bool examines : {true, false}) {
    engine_rig test;
    test.add(2);
    test.source.requests[0].rejections = 3;
    test.source.requests[0].attempts = 3;
    test.source.requests[1].rejections = 2;
    std::map<std::string, unsigned> seen;
    if (examines) test.sink.examiner = rejecting(seen, 0, 2);
    test.run();
    EXPECT_EQ(test.outcome.reason, stop_reason::none);
    ASSERT_EQ(test.sink.results.size(), 2U);
    EXPECT_EQ(test.relay.calls.size(), examines ? 1U : 2U);
    const result& rejected = test.result_of("0-1");
    EXPECT_EQ(rejected.outcome.has_value(), !examines) << "without --expect it is asked again";
    if (!examines) continue;
    EXPECT_EQ(rejected.outcome.error().code, errc::reply_rejected);
    EXPECT_EQ(rejected.outcome.error().body, "null");
    EXPECT_EQ(rejected.attempts, 3U);
    EXPECT_EQ(rejected.latency_ms, 0);
    EXPECT_FALSE(rejected.retryable);
  }
}

TEST(rejected_replies, count_as_a_sign_of_life_of_the_relay) {
  engine_rig test;
  test.add(40);
  std::map<std::string, unsigned> seen;
  test.sink.examiner = rejecting(seen, 9, 0);
  test.run();
  EXPECT_EQ(test.outcome.reason, stop_reason::none);
  EXPECT_EQ(test.sink.results.size(), 40U);
  EXPECT_EQ(test.succeeded(), 0U);
}

// If records must be on disk: the cost of a rejected reply is on disk before the next attempt is
// sent.
TEST(rejected_replies, must_be_on_record_before_the_next_attempt) {
  engine_rig test;
  test.add(1);
  std::map<std::string, unsigned> seen;
  const auto reject = rejecting(seen, 1, 5);
  test.sink.examiner = [&](request& asked, const result& finished) {
    const auto verdict = reject(asked, finished);
    test.sink.broken_records = true;  // from here on, nothing can be recorded
    return verdict;
  };
  test.run();
  EXPECT_EQ(test.relay.calls.size(), 1U);
  EXPECT_NE(test.fault, nullptr);
}

}  // namespace
}  // namespace sluice
