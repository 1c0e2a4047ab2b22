#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "openai/reading.hpp"

namespace sluice::openai {
namespace {

using test::chunk;
using test::events;
using test::piece;
using test::said;
using ending = reply_reader::ending;

/// A form in which relays report inside a 200 response that the reply has failed. It may replace
/// the whole reply, or come anywhere in it.
struct error_form {
  const char* name;
  std::string text;
  endpoint target = endpoint::chat_completions;
  errc code = errc::invalid_response;
  std::string message = "overloaded";
  ending how = ending::complete;
};
std::ostream& operator<<(std::ostream& out, const error_form& row) {
  return out << row.name;
}

/// The part of the reply that has arrived before the error.
struct place {
  const char* name;
  std::string chat;
  std::string completion;
  std::string response;
};
std::ostream& operator<<(std::ostream& out, const place& row) {
  return out << row.name;
}

const std::string& before(const place& at, endpoint target) {
  if (target == endpoint::completions) return at.completion;
  return target == endpoint::responses ? at.response : at.chat;
}

class StreamError : public testing::TestWithParam<std::tuple<error_form, place>> {};

TEST_P(StreamError, IsAPassingFailureInTheRelaysWordsWhereverItComes) {
  const auto& [form, at] = GetParam();
  const auto seen = test::read({.body = before(at, form.target) + form.text,
                                .target = form.target,
                                .choices = form.target == endpoint::responses ? 1U : 2U,
                                .how = form.how});
  ASSERT_FALSE(seen.outcome.has_value()) << seen.outcome->body;
  const failure& failed = seen.outcome.error();
  EXPECT_EQ(to_string(failed.code), to_string(form.code));
  EXPECT_EQ(failed.message, form.message);
  EXPECT_EQ(failed.kind, failure_class::passing);
  EXPECT_EQ(failed.http_status, 200);
}

TEST(StreamRateLimit, IsOneOnlyBeforeTheFirstContent) {
  const std::string refusal =
      events({R"({"error":{"message":"try again in 20s","code":"rate_limit_exceeded"}})"});
  const auto kind = [](const test::response& from) {
    const auto seen = test::read(from);
    EXPECT_FALSE(seen.outcome.has_value());
    return seen.outcome.error().kind;
  };
  EXPECT_EQ(kind({.body = refusal}), failure_class::throttled);
  EXPECT_EQ(kind({.body = events({said(R"({"role":"assistant","content":""})")}) + refusal}),
            failure_class::throttled);
  // What came was paid for, so a retry counts as an attempt.
  EXPECT_EQ(kind({.body = events({said(R"({"content":"Hel"})")}) + refusal}),
            failure_class::passing);
  EXPECT_EQ(kind({.body = R"({"choices":[{"index":0,"message":{"content":"x"}}],)"
                          R"("error":{"code":"rate_limit_exceeded","message":"slow"}})"}),
            failure_class::passing);
}

const std::string envelope = R"({"error":{"message":"overloaded","type":"t","code":null}})";
const std::string bare = R"({"message":"overloaded","type":"t","param":null,"code":null})";
const std::string text_piece = R"({"choices":[{"text":"Hel","index":0,"finish_reason":null}]})";
const std::string text_end = R"({"choices":[{"text":"","index":1,"finish_reason":"stop"}]})";

const auto places = testing::Values(
    place{"at the start", "", "", ""},
    place{"behind comments", ": PING\n\n: PING\n\n", ": PING\n\n", ": PING\n\n"},
    place{"behind the role", events({said(R"({"role":"assistant","content":""})")}),
          events({R"({"choices":[{"text":"","index":0,"finish_reason":null}]})"}),
          events({R"({"type":"response.created","response":{"status":"in_progress"}})"})},
    place{"behind content", events({said(R"({"content":"Hel"})")}), events({text_piece}),
          events({R"({"type":"response.output_text.delta","delta":"Hel"})"})},
    place{"when one choice of two has ended",
          events({said(R"({"content":"Hel"})"), said("{}", "\"stop\"", 1)}),
          events({text_piece, text_end}),
          events({R"({"type":"response.output_item.done","item":{"type":"message"}})"})});

INSTANTIATE_TEST_SUITE_P(
    Forms, StreamError,
    testing::Combine(
        testing::Values(
            error_form{"the envelope as an event", events({envelope})},
            error_form{"the envelope, and [DONE]", events({envelope, "[DONE]"})},
            error_form{
                "the envelope, and a stream that ends as if nothing were",
                events({envelope, said("{}", "\"stop\"", 0), said("{}", "\"stop\"", 1), "[DONE]"})},
            error_form{"an error that is a string", events({R"({"error":"overloaded"})"})},
            error_form{"success that is false",
                       events({R"({"success":false,"message":"overloaded"})"})},
            error_form{"an error event with the envelope", "event: error\n" + events({envelope})},
            error_form{"an error event with the bare object", "event: error\n" + events({bare})},
            error_form{"an error event with plain text", "event: error\n" + events({"overloaded"})},
            error_form{"Anthropic's event",
                       "event: error\n" +
                           events({R"({"type":"error","error":{"message":"overloaded"}})"})},
            error_form{"an error beside empty choices",
                       events({chunk("", R"(,"error":{"code":502,"message":"overloaded"})")})},
            error_form{"an error beside a choice that ended with one",
                       events({chunk(piece(R"({"content":""})", "\"error\""),
                                     R"(,"error":{"code":502,"message":"overloaded"})")})},
            error_form{
                "a finish reason that is error for every choice",
                events({chunk(piece("{}", "\"error\"", 0) + "," + piece("{}", "\"error\"", 1)),
                        "[DONE]"}),
                endpoint::chat_completions, errc::invalid_response,
                "the reply broke off: its finish reason is error"},
            error_form{"a JSON body", envelope},
            error_form{"a JSON body over several lines",
                       "{\n  \"error\": {\n    \"message\": \"overloaded\"\n  }\n}\n"},
            error_form{"a page", "<html>\n<head><title>overloaded</title></head></html>\n"},
            error_form{"an event that is plain text", events({"overloaded"})},
            error_form{"a cut without a word", "", endpoint::chat_completions,
                       errc::stream_interrupted, "the connection broke before the reply was whole",
                       ending::cut},
            error_form{"the envelope in a completion", events({envelope}), endpoint::completions},
            error_form{"an error beside empty choices of a completion",
                       events({R"({"choices":[],"error":{"message":"overloaded"}})"}),
                       endpoint::completions},
            error_form{
                "a failed response",
                "event: response.failed\n" +
                    events(
                        {R"({"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"overloaded"}}})"}),
                endpoint::responses},
            error_form{
                "an error event of responses",
                "event: error\n" +
                    events(
                        {R"({"type":"error","code":"server_error","message":"overloaded","param":null,"sequence_number":3})"}),
                endpoint::responses},
            error_form{"the envelope in place of an event of responses", events({envelope}),
                       endpoint::responses}),
        places));

}  // namespace
}  // namespace sluice::openai
