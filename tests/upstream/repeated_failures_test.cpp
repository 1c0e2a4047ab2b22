#include "upstream/repeated_failures.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

using rule = repeated_failures::rule;

failure refusal(int status, std::string message = "no",
                failure_class kind = failure_class::permanent) {
  failure why;
  why.http_status = status;
  why.kind = kind;
  why.message = std::move(message);
  return why;
}

// Reports a failure in job 0 at relay 0.
repeated_failures::verdict before_any_success(repeated_failures& rows, const failure& why) {
  return rows.failed(0, false, 0, false, why);
}
repeated_failures::verdict after_successes(repeated_failures& rows, const failure& why) {
  return rows.failed(0, true, 0, true, why);
}

TEST(repeated_failures, twenty_permanent_failures_without_a_success_are_caused_by_the_job) {
  for (const int status : {400, 404, 413, 422, 403}) {
    repeated_failures rows;
    for (unsigned i = 1; i <= 20; ++i) {
      const auto verdict = before_any_success(rows, refusal(status));
      EXPECT_EQ(verdict.in, (repeated_failures::row{rule::job, 0})) << status;
      EXPECT_EQ(verdict.first, i == 1);
      EXPECT_EQ(verdict.count, i);
      EXPECT_EQ(verdict.enough, i == 20) << status << ": " << i;
    }
  }
}

TEST(repeated_failures, a_different_failure_begins_a_new_row) {
  repeated_failures rows;
  for (int i = 0; i < 19; ++i) before_any_success(rows, refusal(400, "a"));
  EXPECT_TRUE(before_any_success(rows, refusal(400, "b")).first);
  EXPECT_TRUE(before_any_success(rows, refusal(404, "b")).first) << "another status";
  const auto verdict = before_any_success(rows, refusal(400, "a"));
  EXPECT_TRUE(verdict.first);
  EXPECT_FALSE(verdict.enough);
}

TEST(repeated_failures, a_forgotten_row_does_not_count) {
  repeated_failures rows;
  for (int i = 0; i < 19; ++i) before_any_success(rows, refusal(400));
  rows.forget({rule::job, 0});
  EXPECT_EQ(before_any_success(rows, refusal(400)).count, 1U);
}

TEST(repeated_failures, each_job_has_its_own_row) {
  repeated_failures rows;
  for (int i = 0; i < 19; ++i) {
    rows.failed(0, false, 0, false, refusal(400));
    EXPECT_FALSE(rows.failed(1, false, 0, false, refusal(400)).enough);
  }
  EXPECT_TRUE(rows.failed(0, false, 0, false, refusal(400)).enough);
}

TEST(repeated_failures, temporary_failures_are_not_caused_by_the_job) {
  repeated_failures rows;
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(before_any_success(rows, refusal(500, "no", failure_class::passing)).in.kept_by,
              rule::none);
  }
}

TEST(repeated_failures, after_successes_thirty_unknown_refusals_are_caused_by_the_relay) {
  for (const auto& why :
       {refusal(403), refusal(412), refusal(500, "no", failure_class::passing), refusal(501)}) {
    repeated_failures rows;
    for (unsigned i = 1; i <= 30; ++i) {
      const auto verdict = after_successes(rows, why);
      EXPECT_EQ(verdict.in, (repeated_failures::row{rule::relay, 0})) << why.http_status;
      EXPECT_EQ(verdict.enough, i == 30) << why.http_status << ": " << i;
    }
  }
}

TEST(repeated_failures, after_successes_a_bad_request_fails_alone) {
  repeated_failures rows;
  failure cut = refusal(0, "cut", failure_class::passing);
  cut.code = errc::stream_interrupted;
  failure out = refusal(503, "no channel", failure_class::passing);
  out.model_out = true;
  failure tier = refusal(503, "no capacity", failure_class::passing);
  tier.tier_full = true;
  for (const auto& why : {refusal(400), refusal(404), refusal(413), refusal(422), cut, out, tier}) {
    EXPECT_EQ(after_successes(rows, why).in.kept_by, rule::none) << why.http_status << why.message;
  }
}

TEST(repeated_failures, failures_that_differ_only_in_numbers_and_ids_are_equal) {
  const auto same = [](const std::string& a, const std::string& b) {
    return words_without_ids(refusal(403, a)) == words_without_ids(refusal(403, b));
  };
  EXPECT_TRUE(same("no (request id: 20261124125756152773054mpopnfjc)",
                   "no (request id: 20261124125757000000001aaaaaaaa)"));
  EXPECT_TRUE(same("limit of 12 reached by req_8fa1", "limit of 7 reached by req_00b2"));
  EXPECT_TRUE(same("trace AbCdEfGhIjKlMnOpQrStUvWxYz", "trace ZyXwVuTsRqPoNmLkJiHgFeDcBa"));
  EXPECT_TRUE(same("用户额度 0.5 不足", "用户额度 12.25 不足"));
  EXPECT_FALSE(same("access denied", "access granted"));
  EXPECT_FALSE(same("unknown parameter: top_k", "unknown parameter: min_p"));
}

}  // namespace
}  // namespace sluice
