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
const std::string half = events({said(R"({"content":"Hel"})")});
const std::string rest = events({said(R"({"content":"lo"})", "\"stop\""), "[DONE]"});

struct noise_case {
  const char* name;
  std::string text;
};
std::ostream& operator<<(std::ostream& out, const noise_case& row) {
  return out << row.name;
}

class Noise : public testing::TestWithParam<noise_case> {};

TEST_P(Noise, IsPassedOverWhereverItComes) {
  const std::string& noise = GetParam().text;
  for (const std::string& body :
       {noise + half + rest, half + noise + rest, half + noise + noise + rest}) {
    const auto seen = read({body});
    ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
    EXPECT_EQ(seen.outcome->body, whole(answer(hello)));
  }
  const auto alone = read({noise});
  ASSERT_FALSE(alone.outcome.has_value());
  EXPECT_FALSE(alone.outcome.error().unreadable);
  const auto before_a_body = read({noise + whole(answer(hello))});
  ASSERT_TRUE(before_a_body.outcome.has_value()) << before_a_body.outcome.error().message;
}

TEST_P(Noise, IsPassedOverInAStreamOfResponses) {
  const auto seen =
      read({.body = GetParam().text + "event: response.completed\n" +
                    events({R"({"type":"response.completed","response":{"status":"completed"}})"}),
            .target = endpoint::responses});
  ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    Events, Noise,
    testing::Values(
        noise_case{"a ping", "event: ping\ndata: {\"type\":\"ping\"}\n\n"},
        noise_case{"a ping that says something",
                   "event: ping\ndata: {\"message\":\"still here\"}\n\n"},
        noise_case{"a ping that is no JSON", "event: ping\ndata: 1700000000\n\n"},
        noise_case{"a heartbeat that is broken JSON", "event: heartbeat\ndata: {\"at\":\n\n"},
        noise_case{"a ping without a name", events({R"({"type":"ping","message":"hello"})"})},
        // https://www.coze.com/docs/developer_guides/chat_v3
        noise_case{"an event of another API",
                   "event: conversation.chat.created\ndata: "
                   "{\"id\":\"1\",\"status\":\"created\",\"last_error\":{\"code\":0,\"msg\":\"\"}}"
                   "\n\n"},
        noise_case{"one with words and a code that is fine",
                   "event: status\ndata: {\"code\":200,\"msg\":\"searching the web\"}\n\n"},
        noise_case{"one that is text", "event: status\ndata: searching the web\n\n"},
        noise_case{"one that is a list", "event: sources\ndata: [{\"url\":\"u\"}]\n\n"},
        noise_case{"ping as data", "data: ping\n\n"}, noise_case{"in brackets", "data: [PING]\n\n"},
        noise_case{"keep-alive as data", "data: keep-alive\n\n"},
        noise_case{"OK as data", "data: OK\n\n"}, noise_case{"a quoted one", "data: \"ping\"\n\n"},
        noise_case{"one with the time", "data: ping - 2025-01-01 10:00:00.123456+00:00\n\n"},
        noise_case{"null as data", "data: null\n\n"},
        noise_case{"an empty list as data", "data: []\n\n"},
        noise_case{"an empty object as data", "data: {}\n\n"}));

struct error_case {
  const char* name;
  std::string text;
};
std::ostream& operator<<(std::ostream& out, const error_case& row) {
  return out << row.name;
}

class ErrorInNoise : public testing::TestWithParam<error_case> {};

TEST_P(ErrorInNoise, IsFoundAllTheSame) {
  const auto seen = read({half + GetParam().text + rest});
  ASSERT_FALSE(seen.outcome.has_value()) << seen.outcome->body;
  EXPECT_EQ(seen.outcome.error().message, "overloaded");
  EXPECT_FALSE(seen.outcome.error().unreadable);
}

INSTANTIATE_TEST_SUITE_P(
    Events, ErrorInNoise,
    testing::Values(
        error_case{"an error object under another name",
                   "event: status\ndata: {\"error\":{\"message\":\"overloaded\"}}\n\n"},
        error_case{"an error object in a ping",
                   "event: ping\ndata: {\"error\":{\"message\":\"overloaded\"}}\n\n"},
        error_case{"a code that is none of success",
                   "event: status\ndata: {\"code\":503,\"msg\":\"overloaded\"}\n\n"},
        error_case{"a name that says so",
                   "event: conversation.chat.failed\ndata: {\"msg\":\"overloaded\"}\n\n"},
        error_case{"a type that says so",
                   "event: status\ndata: {\"type\":\"error\",\"message\":\"overloaded\"}\n\n"},
        error_case{"words under a name that says so", "event: chat_error\ndata: overloaded\n\n"},
        error_case{"a single word under no name", "data: overloaded\n\n"},
        error_case{
            "an error beside a chunk under another name",
            "event: chunk\ndata: " + chunk("", R"(,"error":{"message":"overloaded"})") + "\n\n"}));

TEST(Noise, AChunkUnderAnotherNameIsAChunk) {
  std::string body;
  for (const std::string& data :
       {said(R"({"content":"Hel"})"), said(R"({"content":"lo"})"), said("{}", "\"stop\"")}) {
    body += "event: completion.chunk\ndata: " + data + "\n\n";
  }
  const auto seen = read({body});
  ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
  EXPECT_EQ(seen.outcome->body, whole(answer(hello)));
}

TEST(Noise, ADamagedChunkIsNone) {
  for (const char* name : {"", "event: chunk\n"}) {
    const auto seen = read({half + name + "data: {\"choices\":[{\"index\":0,\"delta\"\n\n" + rest});
    ASSERT_FALSE(seen.outcome.has_value()) << seen.outcome->body;
    EXPECT_EQ(seen.outcome.error().message, "an event of the stream is not a JSON object");
    EXPECT_TRUE(seen.outcome.error().unreadable);
  }
}

class EmptyError : public testing::TestWithParam<const char*> {};

TEST_P(EmptyError, IsNone) {
  const std::string error = std::string(R"(,"error":)") + GetParam();
  const auto streamed =
      read({events({chunk(piece(R"({"content":"Hel"})"), error),
                    chunk(piece(R"({"content":"lo"})", "\"stop\""), error), "[DONE]"})});
  ASSERT_TRUE(streamed.outcome.has_value()) << streamed.outcome.error().message;
  const auto unstreamed = read({.body = whole(answer(hello), error), .content_type = json_type});
  ASSERT_TRUE(unstreamed.outcome.has_value()) << unstreamed.outcome.error().message;
  const auto of_responses = read(
      {.body = events(
           {std::string(R"({"type":"response.output_text.delta","delta":"a")") + error + "}",
            R"({"type":"response.completed","response":{"status":"completed")" + error + "}}"}),
       .target = endpoint::responses});
  ASSERT_TRUE(of_responses.outcome.has_value()) << of_responses.outcome.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    Forms, EmptyError,
    testing::Values("null", "{}", "[]", "\"\"", "0", "false", "\" \"", R"({"message":null})",
                    R"({"message":"","type":"","code":0,"param":null})",
                    R"({"message":" ","details":{},"inner":{"code":0.0,"list":[null,""]}})"));

TEST(EmptyError, IsOneAsSoonAsItSaysAnything) {
  for (const char* error : {R"({"code":1})", R"({"message":"","code":"x"})", "\"x\"", "1", "true",
                            R"({"inner":{"message":"x"}})"}) {
    const auto seen = read({.body = whole(answer(hello), std::string(R"(,"error":)") + error),
                            .content_type = json_type});
    EXPECT_FALSE(seen.outcome.has_value()) << error;
  }
}

struct unreadable_case {
  const char* name;
  test::response from;
  bool unreadable;
};
std::ostream& operator<<(std::ostream& out, const unreadable_case& row) {
  return out << row.name;
}

class Unreadable : public testing::TestWithParam<unreadable_case> {};

TEST_P(Unreadable, IsWhatTheSameRequestWouldNotBetter) {
  const auto seen = read(GetParam().from);
  ASSERT_FALSE(seen.outcome.has_value()) << seen.outcome->body;
  EXPECT_EQ(seen.outcome.error().unreadable, GetParam().unreadable) << seen.outcome.error().message;
  EXPECT_EQ(seen.outcome.error().kind, failure_class::passing);
}

INSTANTIATE_TEST_SUITE_P(
    Bodies, Unreadable,
    testing::Values(
        unreadable_case{"JSON that ends too early, though the body is whole",
                        {.body = R"({"id":"x","choices":[)", .content_type = json_type},
                        true},
        unreadable_case{
            "JSON with a fault", {.body = R"({"id":'x'})", .content_type = json_type}, true},
        unreadable_case{"what is called JSON, and is text",
                        {.body = "<<>>", .content_type = "text/plain"},
                        false},
        unreadable_case{
            "text that is called JSON", {.body = "choices: none", .content_type = json_type}, true},
        unreadable_case{
            "plain text", {.body = "upstream connect error", .content_type = "text/plain"}, false},
        unreadable_case{"bytes that are no text",
                        {.body = "\x1f\x8b\x08\x01\x02\x03", .content_type = "text/plain"},
                        true},
        unreadable_case{"a list", {.body = "[1]", .content_type = json_type}, true},
        unreadable_case{"a choice of another shape",
                        {.body = R"({"choices":[{"answer":"x"}]})", .content_type = json_type},
                        true},
        unreadable_case{
            "an object of another shape",
            {.body = R"({"a":1})", .target = endpoint::responses, .content_type = json_type},
            true},
        unreadable_case{"a body that cannot be decoded",
                        {.body = "", .how = reply_reader::ending::undecodable},
                        true},
        unreadable_case{"a garbled event", {half + events({R"({"id":)"}) + rest}, true},
        unreadable_case{"a stream whose parts make no JSON",
                        {events({chunk(piece("{}", "\"stop\""), R"(,"x":[nul])")})},
                        true},
        unreadable_case{"an error object",
                        {.body = R"({"error":{"message":"x"}})", .content_type = json_type},
                        false},
        unreadable_case{"a list with an error",
                        {.body = R"([{"error":{"message":"x"}}])", .content_type = json_type},
                        false},
        unreadable_case{
            "a page", {.body = "<html><title>x</title></html>", .content_type = json_type}, false},
        unreadable_case{"a choice that is null",
                        {.body = R"({"choices":[null]})", .content_type = json_type},
                        false},
        unreadable_case{"a choice whose message is null, and that has not ended",
                        {.body = R"({"choices":[{"message":null,"finish_reason":null}]})",
                         .content_type = json_type},
                        false},
        unreadable_case{
            "a chunk in place of a reply",
            {.body = R"({"choices":[{"delta":{"content":"x"}}]})", .content_type = json_type},
            true},
        unreadable_case{"empty choices", {.body = whole(""), .content_type = json_type}, false},
        unreadable_case{"an empty body", {.body = "", .content_type = json_type}, false},
        unreadable_case{"a body that was cut",
                        {.body = R"({"id":"x","choices":[)",
                         .how = reply_reader::ending::cut,
                         .content_type = json_type},
                        false},
        unreadable_case{"a stream that was cut",
                        {.body = half + "data: {\"id\":", .how = reply_reader::ending::cut},
                        false},
        unreadable_case{"words in a stream", {half + events({"upstream overloaded"})}, false}));

TEST(Unreadable, RepliesThatGoWrongInTheSameWaySayTheSame) {
  const auto message = [](const std::string& body) {
    return read({.body = body, .content_type = json_type}).outcome.error().message;
  };
  EXPECT_EQ(message(R"({"id":"a","choices":[)"), message(R"({"id":"another","choices":[)"));
  EXPECT_EQ(message(R"({"id":"a",'x':1})"), message(R"({"id":"another",'x':1})"));
  EXPECT_NE(message(R"({"id":"a","choices":[)"), message(R"({"id":"a",'x':1})"));
}

}  // namespace
}  // namespace sluice::openai
