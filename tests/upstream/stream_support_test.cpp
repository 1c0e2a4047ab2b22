#include "upstream/stream_support.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

using namespace std::chrono_literals;

failure server_error(std::string message = "boom") {
  failure why;
  why.http_status = 500;
  why.message = std::move(message);
  return why;
}

failure of_kind(failure_class kind) {
  failure why = server_error();
  why.kind = kind;
  return why;
}

// Makes one failure fewer than needed for a trial.
void fail_nearly_enough(stream_support& streams) {
  for (unsigned i = 1; i < stream_support::failures_before_trial; ++i) {
    EXPECT_FALSE(streams.streamed_attempt_failed(server_error())) << i;
  }
}

TEST(stream_support, twenty_equal_failures_lead_to_one_trial) {
  stream_support streams;
  fail_nearly_enough(streams);
  EXPECT_TRUE(streams.streamed_attempt_failed(server_error()));
  EXPECT_TRUE(streams.on_trial());
  EXPECT_FALSE(streams.off());
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(streams.streamed_attempt_failed(server_error()));
  EXPECT_TRUE(streams.trial_succeeded());
  EXPECT_TRUE(streams.off());
  EXPECT_FALSE(streams.on_trial());
}

TEST(stream_support, a_failed_trial_changes_nothing) {
  stream_support streams;
  fail_nearly_enough(streams);
  EXPECT_TRUE(streams.streamed_attempt_failed(server_error()));
  EXPECT_FALSE(streams.trial_failed(server_error()));
  EXPECT_FALSE(streams.on_trial());
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(streams.streamed_attempt_failed(server_error()));
  EXPECT_FALSE(streams.off());
}

TEST(stream_support, a_trial_that_fails_for_another_reason_continues) {
  stream_support streams;
  fail_nearly_enough(streams);
  EXPECT_TRUE(streams.streamed_attempt_failed(server_error()));
  for (const auto kind :
       {failure_class::throttled, failure_class::unreachable, failure_class::key_ended}) {
    EXPECT_TRUE(streams.trial_failed(of_kind(kind)));
    EXPECT_TRUE(streams.on_trial());
  }
}

TEST(stream_support, an_abandoned_trial_may_be_made_later) {
  stream_support streams;
  fail_nearly_enough(streams);
  EXPECT_TRUE(streams.streamed_attempt_failed(server_error()));
  streams.trial_abandoned();
  EXPECT_FALSE(streams.on_trial());
  EXPECT_TRUE(streams.streamed_attempt_failed(server_error()));
}

TEST(stream_support, one_streamed_reply_shows_that_the_relay_can_stream) {
  stream_support streams;
  streams.streamed_reply_came();
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(streams.streamed_attempt_failed(server_error()));
}

TEST(stream_support, a_complete_stream_during_the_trial_keeps_streams_on) {
  stream_support streams;
  fail_nearly_enough(streams);
  EXPECT_TRUE(streams.streamed_attempt_failed(server_error()));
  streams.streamed_reply_came();
  EXPECT_FALSE(streams.trial_succeeded());
  EXPECT_FALSE(streams.off());
}

TEST(stream_support, a_different_failure_restarts_the_count) {
  stream_support streams;
  fail_nearly_enough(streams);
  EXPECT_FALSE(streams.streamed_attempt_failed(server_error("bang")));
  fail_nearly_enough(streams);
  EXPECT_TRUE(streams.streamed_attempt_failed(server_error()));
}

TEST(stream_support, refusals_of_the_key_the_rate_or_the_model_do_not_count) {
  stream_support streams;
  failure out = server_error();
  out.model_out = true;
  failure tier = server_error();
  tier.tier_full = true;
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(streams.streamed_attempt_failed(of_kind(failure_class::throttled)));
    EXPECT_FALSE(streams.streamed_attempt_failed(of_kind(failure_class::key_ended)));
    EXPECT_FALSE(streams.streamed_attempt_failed(of_kind(failure_class::unreachable)));
    EXPECT_FALSE(streams.streamed_attempt_failed(out));
    EXPECT_FALSE(streams.streamed_attempt_failed(tier));
  }
}

TEST(stream_support, silent_requests_cut_after_the_same_time_lead_to_one_advice) {
  for (const int status : {0, 502, 504, 524}) {
    stream_support streams;
    failure cut = server_error();
    cut.http_status = status;
    if (status == 0) cut.code = errc::connection_failed;
    for (unsigned i = 1; i < stream_support::cuts_before_advice; ++i) {
      EXPECT_FALSE(streams.unstreamed_attempt_failed(cut, 60s + i * 10ms)) << status;
    }
    EXPECT_EQ(streams.unstreamed_attempt_failed(cut, 60500ms), duration{60s + 10ms}) << status;
    EXPECT_FALSE(streams.unstreamed_attempt_failed(cut, 60s)) << "once";
  }
}

TEST(stream_support, requests_that_fail_early_or_irregularly_or_among_successes_lead_to_no_advice) {
  stream_support streams;
  failure cut = server_error();
  cut.http_status = 504;
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(streams.unstreamed_attempt_failed(cut, 2s)) << "too early to be caused by silence";
    EXPECT_FALSE(streams.unstreamed_attempt_failed(cut, 20s + i * 5s)) << i;
    EXPECT_FALSE(streams.unstreamed_attempt_failed(server_error(), 60s))
        << "a real answer of the relay";
  }
  failure no_connection = cut;
  no_connection.http_status = 0;
  no_connection.code = errc::connection_failed;
  no_connection.kind = failure_class::unreachable;
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(streams.unstreamed_attempt_failed(no_connection, 10s)) << "--connect-timeout";
  }
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(streams.unstreamed_attempt_failed(cut, 60s));
    if (i % 3 == 2) streams.unstreamed_reply_came();
  }
}

}  // namespace
}  // namespace sluice
