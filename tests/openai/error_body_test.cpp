#include "openai/error_body.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace sluice::openai {
namespace {

struct error_case {
  const char* name;
  std::string body;
  std::string message;
  std::string code = {};
};
std::ostream& operator<<(std::ostream& out, const error_case& row) {
  return out << row.name;
}

class ErrorBody : public testing::TestWithParam<error_case> {};

TEST_P(ErrorBody, GivesTheRelaysWords) {
  const error_body read = read_error_body(GetParam().body);
  EXPECT_EQ(read.message, GetParam().message);
  EXPECT_EQ(read.code, GetParam().code);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ErrorBody,
    testing::Values(
        error_case{"OpenAI's envelope",
                   R"({"error":{"message":"m","type":"t","param":null,"code":"c"}})", "m", "c"},
        error_case{"a code that is a number", R"({"error":{"message":"m","code":429}})", "m",
                   "429"},
        error_case{"a code that is null", R"({"error":{"message":"m","code":null}})", "m", ""},
        error_case{"an error string", R"({"error":"m","code":"c"})", "m", "c"},
        error_case{"message", R"({"message":"m","code":"c"})", "m", "c"},
        error_case{"msg", R"({"code":500,"msg":"m","data":null})", "m", "500"},
        error_case{"err", R"({"err":"m"})", "m"},
        error_case{"error_msg", R"({"error_code":18,"error_msg":"m"})", "m"},
        error_case{"header.message", R"({"header":{"code":1,"message":"m"}})", "m"},
        error_case{"response.error.message",
                   R"({"type":"response.failed","response":{"error":{"message":"m","code":"c"}}})",
                   "m", "c"},
        error_case{"detail", R"({"detail":"m"})", "m"},
        error_case{"a list of details", R"({"detail":[{"loc":["body"],"msg":"m"}]})", "m"},
        error_case{"a list of errors", R"({"success":false,"errors":[{"code":1,"message":"m"}]})",
                   "m"},
        error_case{"an error inside a choice",
                   R"({"choices":[{"finish_reason":"error","error":{"message":"m"}}]})", "m"},
        error_case{"an error string inside a choice", R"({"choices":[{"error":"m"}]})", "m"},
        error_case{
            "Anthropic's",
            R"({"type":"error","error":{"type":"overloaded_error","message":"m"},"request_id":"r"})",
            "m"},
        error_case{"the dashboard's", R"({"success":false,"message":"m"})", "m"},
        error_case{"an envelope in an array", R"([{"error":{"message":"m","code":400}}])", "m",
                   "400"},
        error_case{"a code beside the error", R"({"error":{"message":"m"},"code":"c"})", "m", "c"},
        error_case{"the error's own code comes first",
                   R"({"code":500,"error":{"message":"m","code":"c"}})", "m", "c"},
        error_case{"a header without words leaves the response's",
                   R"({"header":{},"response":{"error":{"message":"m"}}})", "m"},
        error_case{"the envelope, wherever it stands, before a detail",
                   R"({"detail":"other","response":{"error":{"message":"m"}}})", "m"},
        error_case{"message before msg, msg before err", R"({"err":"n","msg":"n","message":"m"})",
                   "m"},
        error_case{"the envelope wins over other members",
                   R"({"message":"other","error":{"message":"m"}})", "m"},
        error_case{"empty words are none", R"({"error":{"message":" "},"msg":"m"})", "m"},
        error_case{"an error without words", R"({"error":{"type":"server_error","code":"c"}})",
                   "server_error", "c"},
        error_case{"an error with nothing to say", R"({"error":{"reason":1}})", ""},
        error_case{"two objects back to back",
                   R"({"error":{"message":"m"}}{"error":{"message":"n"}})", "m"},
        error_case{"a JSON string", R"("m")", "m"},
        error_case{"an object without words", R"({"a":1})", ""},
        error_case{"JSON gone wrong", R"({"error":{)", ""},
        error_case{"a stream with an error",
                   "event: error\ndata: {\"error\":{\"message\":\"m\",\"code\":\"c\"}}\n\n", "m",
                   "c"},
        error_case{"comments of a stream, then JSON", ": PING\n\n{\"error\":{\"message\":\"m\"}}",
                   "m"},
        error_case{"nothing", "", ""}, error_case{"space", " \r\n", ""},
        error_case{"plain text", "no healthy\n upstream\n", "no healthy upstream"},
        error_case{"text in brackets", "[Errno 111] refused", "[Errno 111] refused"},
        error_case{"a title", "<!DOCTYPE html><HTML><TITLE lang=en>\n 502 Bad  Gateway</TITLE><p>x",
                   "502 Bad Gateway"},
        error_case{"a page without a title",
                   "<html><script>var a = '<b>';</script><!-- <i>no</i> --><h1>Just a "
                   "moment</h1>...</html>",
                   "Just a moment ..."},
        error_case{"an empty title", "<title></title><p>m</p>", "m"},
        error_case{"a title without an end", "<title>m", "m"},
        error_case{"a tag without an end", "<p>m<b", "m"},
        error_case{"a lone surrogate", R"({"error":{"message":"a\ud83d"}})", "a\xEF\xBF\xBD"},
        error_case{"invalid UTF-8", "{\"error\":{\"message\":\"a\xFF\"}}", "a\xEF\xBF\xBD"},
        error_case{"a byte order mark", "\xEF\xBB\xBF{\"error\":{\"message\":\"m\"}}", "m"},
        error_case{"lines become one", R"({"error":{"message":"a\r\n\tb\u0001c"}})", "a b\\x01c"}));

struct codes_case {
  const char* name;
  std::string body;
  std::vector<std::string> codes;
  std::vector<std::string> upstream = {};
};
std::ostream& operator<<(std::ostream& out, const codes_case& row) {
  return out << row.name;
}

class ErrorBodyCodes : public testing::TestWithParam<codes_case> {};

TEST_P(ErrorBodyCodes, AreAllThatItHolds) {
  const error_body read = read_error_body(GetParam().body);
  EXPECT_EQ(read.codes, GetParam().codes);
  EXPECT_EQ(read.upstream, GetParam().upstream);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ErrorBodyCodes,
    testing::Values(
        codes_case{"OpenAI's envelope",
                   R"({"error":{"message":"m","type":"t","param":null,"code":"c"}})",
                   {"c", "t"}},
        codes_case{"numbers as text", R"({"error":{"code":1113,"message":"m"}})", {"1113"}},
        codes_case{
            "no code stands twice", R"({"error":{"code":"c","type":"c"},"code":"c"})", {"c"}},
        codes_case{"beside the error", R"({"error":{"message":"m"},"code":"c"})", {"c"}},
        codes_case{"at the top, under other names",
                   R"({"error_code":18,"errorCode":"E","Code":"Arrearage","message":"m"})",
                   {"18", "E", "Arrearage"}},
        codes_case{
            "Google's, with the reason and the quota",
            R"([{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"m","details":[)"
            R"({"reason":"R"},{"violations":[{"quotaId":"PerDay"}]},3]}}])",
            {"429", "RESOURCE_EXHAUSTED", "R", "PerDay"}},
        codes_case{"Azure's inner error",
                   R"({"error":{"code":"c","innererror":{"code":"i"}}})",
                   {"c", "i"}},
        codes_case{"MiniMax's number",
                   R"({"base_resp":{"status_code":1008,"status_msg":"m"}})",
                   {"base_resp 1008"}},
        codes_case{"MiniMax's number where nothing is wrong",
                   R"({"base_resp":{"status_code":0,"status_msg":"success"}})",
                   {}},
        codes_case{"a name in place of the error",
                   R"({"error":"url.not_found","message":"m"})",
                   {"url.not_found"}},
        codes_case{"a sentence in place of the error", R"({"error":"it broke","code":"c"})", {"c"}},
        codes_case{"a response that failed",
                   R"({"type":"response.failed","response":{"error":{"code":"c","message":"m"}}})",
                   {"c", "response.failed"}},
        codes_case{"an error inside a choice", R"({"choices":[{"error":{"code":402}}]})", {"402"}},
        codes_case{"an error as the detail", R"({"detail":{"error":{"code":"c"}}})", {"c"}},
        codes_case{"OpenRouter's upstream, as a string of JSON",
                   R"({"error":{"message":"o","code":429,"metadata":{"raw":)"
                   R"("{\"error\":{\"message\":\"m\",\"type\":\"t\"}}"}}})",
                   {"429", "t"},
                   {"m"}},
        codes_case{"OpenRouter's upstream, as text",
                   R"({"error":{"message":"o","code":429,"metadata":{"raw":"busy\nnow"}}})",
                   {"429"},
                   {"busy now"}},
        codes_case{"OpenRouter's upstream, as an object",
                   R"({"error":{"message":"o","metadata":{"raw":{"message":"m","code":"c"}}}})",
                   {"c"},
                   {"m"}},
        codes_case{
            "litellm's upstream",
            R"({"error":{"message":"litellm.BadRequestError: XException - )"
            R"({\"error\":{\"message\":\"m\",\"code\":\"c\"}}. Received Model Group=g","code":"400"}})",
            {"400", "c"},
            {"m"}},
        codes_case{
            "what Python prints of a dict",
            R"({"error":"Error code: 402 - {'error': {'message': \"it's\", 'type': 'c\\'d', 'param': None, 'stream': True}}"})",
            {"c'd"},
            {"it's"}},
        codes_case{"JSON as the whole of a message",
                   R"({"error":{"message":"{\n \"error\": {\"code\": 1, \"message\": \"m\"}}"}})",
                   {"1"},
                   {"m"}},
        codes_case{"JSON in the middle of a message is the user's",
                   R"({"error":{"message":"Could not read {\"error\":{\"code\":\"c\"}}"}})",
                   {}},
        codes_case{"quoted JSON is the user's",
                   R"({"error":{"message":"got 'XException - {\"error\":{\"code\":\"c\"}}'"}})",
                   {}},
        codes_case{"an input that a validator repeats is the user's",
                   R"({"detail":[{"type":"missing","msg":"m","input":{"code":"c"}}]})",
                   {"missing"}},
        codes_case{"plain text has none", "insufficient_quota", {}}));

TEST(ErrorBodyLength, LongTextIsCutBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "鲁";
  const std::string cut = read_error_body(text).message;
  EXPECT_LE(cut.size(), 204U);
  EXPECT_TRUE(cut.ends_with("鲁…"));
  EXPECT_LE(read_error_body("<title>" + std::string(5000, 'x') + "</title>").message.size(), 204U);
  EXPECT_LE(read_error_body(R"({"message":")" + std::string(5000, 'x') + "\"}").message.size(),
            1004U);
}

TEST(ErrorBodyCodes, AreOfALimitedNumber) {
  std::string details;
  for (int i = 0; i < 1000; ++i) details += R"({"reason":"r)" + std::to_string(i) + R"("},)";
  details.pop_back();
  const error_body read =
      read_error_body(R"({"error":{"message":"m","code":"c","details":[)" + details + "]}}");
  EXPECT_EQ(read.message, "m");
  EXPECT_EQ(read.codes.size(), 64U);
  EXPECT_EQ(read.codes.front(), "c");
}

TEST(ErrorBodyDepth, DeepJsonIsNoTrouble) {
  EXPECT_EQ(read_error_body(R"({"a":)" + std::string(500'000, '[')).message, "");
  EXPECT_EQ(read_error_body(R"({"message":"m","a":)" + std::string(300'000, '[') +
                            std::string(300'000, ']') + "}")
                .message,
            "m");
  const std::string arrays = std::string(200'000, '[') + std::string(200'000, ']');
  EXPECT_EQ(read_error_body(arrays).message, "");
  EXPECT_EQ(read_error_body(R"({"error":{"a":)" + arrays + "}}").message, "");
  std::string nested = R"({"code":"c"})";
  for (int i = 0; i < 2000; ++i) nested = R"({"error":)" + nested + "}";
  EXPECT_TRUE(read_error_body(nested).codes.empty()) << "it is not followed to its end";
  std::string streams;
  for (int i = 0; i < 100'000; ++i) streams += "data: ";
  EXPECT_LE(read_error_body(streams).message.size(), 204U);
}

// A hint about when to try again may be in the body. The reader stores it under the name of the
// header with the same meaning.
TEST(ErrorBody, SaysWhenToTryAgain) {
  using hints = std::map<std::string, std::string, std::less<>>;
  const struct {
    const char* name;
    const char* body;
    hints said;
  } rows[] = {
      {"nothing", R"({"error":{"message":"m"}})", {}},
      // https://github.com/googleapis/python-genai/issues/1875
      {"Gemini's",
       R"({"error":{"code":429,"message":"m","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.4s"}]}})",
       {{"retry-after", "34.4s"}}},
      {"Gemini's in an array",
       R"([{"error":{"code":429,"message":"m","details":[{"retryDelay":"4s"}]}}])",
       {{"retry-after", "4s"}}},
      {"a duration with members",
       R"({"error":{"details":[{"retryDelay":{"seconds":53}}]}})",
       {{"retry-after", "53"}}},
      {"of the error", R"({"error":{"message":"m","retry_after":7}})", {{"retry-after", "7"}}},
      {"of the root", R"({"message":"m","retry_after":1.5})", {{"retry-after", "1.5"}}},
      {"as text", R"({"error":{"retryAfter":"7s"}})", {{"retry-after", "7s"}}},
      {"in milliseconds", R"({"error":{"retry_after_ms":700}})", {{"retry-after-ms", "700"}}},
      {"in named seconds",
       R"({"error":{"metadata":{"retry_after_seconds":12}}})",
       {{"retry-after", "12"}}},
      {"a plan's end",
       R"({"error":{"type":"usage_limit_reached","resets_in_seconds":90}})",
       {{"retry-after", "90"}}},
      {"the error's own before the root's",
       R"({"retry_after":1,"error":{"retry_after":2}})",
       {{"retry-after", "2"}}},
      {"in a stream", "data: {\"error\":{\"retry_after\":2}}\n\n", {{"retry-after", "2"}}},
      // https://openrouter.ai/docs/api_reference/limits
      {"OpenRouter's headers",
       R"({"error":{"message":"m","code":429,"metadata":{"headers":{"X-RateLimit-Limit":"20","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1741305600000"},"provider_name":null}}})",
       {{"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", "1741305600000"}}},
      {"no time",
       R"({"error":{"retry_after":null,"retryDelay":[],"details":"none","metadata":3}})",
       {}},
  };
  for (const auto& row : rows) EXPECT_EQ(read_error_body(row.body).hints, row.said) << row.name;
}

}  // namespace
}  // namespace sluice::openai
