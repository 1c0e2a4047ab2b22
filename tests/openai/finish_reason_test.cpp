#include "openai/finish_reason.hpp"

#include <gtest/gtest.h>

#include <string>

#include "openai/reading.hpp"

namespace sluice::openai {
namespace {

using test::answer;
using test::chunk;
using test::events;
using test::piece;
using test::read;
using test::said;
using test::whole;

const std::string hello = R"({"role":"assistant","content":"Hello","refusal":null})";
const std::string json_type = "application/json";

std::string quoted(const std::string& text) {
  return '"' + text + '"';
}

class NoReason : public testing::TestWithParam<const char*> {};

TEST_P(NoReason, EndsNothing) {
  const std::string none = quoted(GetParam());
  reply_reader reader({});
  reply_head head;
  head.status = 200;
  reader.head(head, 0);
  EXPECT_EQ(reader.body(events({said(R"({"content":"Hel"})", none)})), reply_reader::need::more);
  EXPECT_EQ(reader.body(events({said(R"({"content":"lo"})", none)})), reply_reader::need::more);

  const std::string begun = events({said(R"({"content":"Hel"})", none), said("{}", none)});
  for (const char* end : {"", "data: [DONE]\n\n"}) {
    const auto cut = read({begun + end});
    ASSERT_FALSE(cut.outcome.has_value()) << cut.outcome->body;
    EXPECT_EQ(to_string(cut.outcome.error().code), "stream_interrupted");
    EXPECT_FALSE(cut.outcome.error().unreadable);
  }
  const auto ended = read(
      {begun + events({said(R"({"content":"lo"})", quoted("stop")), said("{}", none), "[DONE]"})});
  ASSERT_TRUE(ended.outcome.has_value());
  EXPECT_EQ(ended.outcome->body, whole(answer(hello))) << "nor does it take an end back";
}

TEST_P(NoReason, IsNoneOfAWholeReplyEither) {
  const std::string none = quoted(GetParam());
  const auto empty =
      read({.body = whole(answer(R"({"content":""})", none)), .content_type = json_type});
  ASSERT_FALSE(empty.outcome.has_value());
  EXPECT_EQ(empty.outcome.error().message,
            "a choice of the reply is empty and has no finish reason");
  const std::string body = whole(answer(hello, none));
  const auto filled = read({.body = body, .content_type = json_type});
  ASSERT_TRUE(filled.outcome.has_value());
  EXPECT_EQ(filled.outcome->body, body);
  EXPECT_TRUE(filled.outcome->finish_reasons.empty());
}

INSTANTIATE_TEST_SUITE_P(Words, NoReason,
                         testing::Values("", " ", "\\t", "null", "NULL", "Null", " null ", "none",
                                         "None", "NONE", "nil", "undefined", "NaN", "unspecified",
                                         "FINISH_REASON_UNSPECIFIED"));

TEST(FinishReason, OfAnyOtherWordIsOne) {
  for (const char* word : {"stop", "length", "nullable", "none_of_these", "unknown", "end_turn"}) {
    EXPECT_TRUE(is_finish_reason(word)) << word;
  }
}

class BrokenOff : public testing::TestWithParam<const char*> {};

TEST_P(BrokenOff, IsAPassingFailureThatNamesTheReason) {
  const std::string reason = GetParam();
  const std::string words = "the reply broke off: its finish reason is " + reason;
  for (const auto& seen :
       {read({events({said(R"({"content":"Hel"})"), said("{}", quoted(reason)), "[DONE]"})}),
        read({events({said(R"({"content":"Hel"})", quoted(reason))})}),
        read({.body = whole(answer(hello, quoted(reason))), .content_type = json_type}),
        read({.body = events({R"({"choices":[{"index":0,"text":"a","finish_reason":)" +
                              quoted(reason) + "}]}"}),
        .target = endpoint::completions}),
        read({.body = events({said(R"({"content":"a"})", quoted("stop")),
                              said(R"({"content":"b"})", quoted(reason), 1)}),
        .choices = 2})}) {
    ASSERT_FALSE(seen.outcome.has_value()) << seen.outcome->body;
    EXPECT_EQ(to_string(seen.outcome.error().code), "invalid_response");
    EXPECT_EQ(seen.outcome.error().kind, failure_class::passing);
    EXPECT_EQ(seen.outcome.error().message, words);
    EXPECT_FALSE(seen.outcome.error().unreadable) << "the next reply may be whole";
  }
}

TEST_P(BrokenOff, DoesNotSpoilAReplyThatWasSettled) {
  const std::string late = quoted(GetParam());
  const auto seen =
      read({events({said(R"({"content":"Hello"})", quoted("stop")), said("{}", late), "[DONE]"})});
  ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
  EXPECT_EQ(seen.outcome->body, whole(answer(hello)));
}

TEST_P(BrokenOff, SpoilsOneToWhichContentCameBehindItsEnd) {
  const auto seen = read({events({said(R"({"content":"Hel"})", quoted("stop")),
                                  said(R"({"content":"lo"})", quoted(GetParam())), "[DONE]"})});
  ASSERT_FALSE(seen.outcome.has_value()) << seen.outcome->body;
}

INSTANTIATE_TEST_SUITE_P(Words, BrokenOff,
                         testing::Values("error", "ERROR", "Error", "abort", "aborted",
                                         "network_error", "network-error", "Network_Error",
                                         "insufficient_system_resource",
                                         "INSUFFICIENT-SYSTEM-RESOURCE"));

}  // namespace
}  // namespace sluice::openai
