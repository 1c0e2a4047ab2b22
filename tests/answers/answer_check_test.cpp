#include "answers/answer_check.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "json/text.hpp"

namespace sluice::answers {
namespace {

request chat(std::string body = R"({"messages":[{"role":"user","content":"q"}]})") {
  request asked;
  asked.body = std::move(body);
  return asked;
}

reply said(const std::string& text, const std::string& finish = "stop") {
  reply whole;
  whole.body = R"({"choices":[{"message":{"content":)" + json_quote(text) +
               R"(},"finish_reason":")" + finish + R"("}]})";
  return whole;
}

reply body_of(std::string body) {
  reply whole;
  whole.body = std::move(body);
  return whole;
}

TEST(answer_check, of_json_accepts_json_alone) {
  const auto check = expect_json();
  EXPECT_FALSE(check->fault_of(chat(), said(R"({"a":1})")));
  EXPECT_EQ(check->fault_of(chat(), said("```\n1\n```")),
            "the reply wraps its JSON in a Markdown fence (```)");
  EXPECT_TRUE(
      check->fault_of(chat(), said("Sure!")).value_or("").starts_with("the reply is not JSON"));
}

TEST(answer_check, looks_at_every_choice) {
  EXPECT_TRUE(expect_json()
                  ->fault_of(chat(), body_of(R"({"choices":[{"message":{"content":"1"}},)"
                                             R"({"message":{"content":"x"}}]})"))
                  .value_or("")
                  .starts_with("choice 2 of the reply is not JSON"));
}

TEST(answer_check, rejects_replies_that_came_to_no_end) {
  const auto check = expect_json();
  EXPECT_EQ(check->fault_of(chat(), said("1", "length")),
            "the reply was cut off at its limit of tokens; raise max_tokens");
  EXPECT_EQ(check->fault_of(chat(), said("1", "content_filter")),
            "the reply was ended by a content filter");
}

TEST(answer_check, rejects_replies_without_a_text) {
  const auto check = expect_match(".*");
  EXPECT_EQ(check->fault_of(chat(), body_of(R"({"choices":[{"message":{"refusal":"No."}}]})")),
            "the reply is a refusal: No.");
  EXPECT_EQ(check->fault_of(chat(), body_of(R"({"choices":[{"message":{"tool_calls":[{}]}}]})")),
            "the reply calls a tool and has no text");
  EXPECT_EQ(check->fault_of(chat(), said("")), "the reply has no text");
  EXPECT_EQ(check->fault_of(chat(), body_of("{}")), "the reply has no text");
}

TEST(answer_check, keeps_its_reasons_short_and_printable) {
  const auto reason = expect_match(std::string(5000, 'x') + "\x1b")->fault_of(chat(), said("y"));
  ASSERT_TRUE(reason);
  EXPECT_LE(reason->size(), 300U);
  EXPECT_EQ(expect_match("a\x1b$")->fault_of(chat(), said("y")),
            "the reply does not match a\\x1b$");
}

TEST(answer_check, of_a_pattern_searches_the_text) {
  const auto check = expect_match("^(yes|no)$");
  EXPECT_FALSE(check->fault_of(chat(), said("yes")));
  EXPECT_EQ(check->fault_of(chat(), said("yes!")), "the reply does not match ^(yes|no)$");
  EXPECT_FALSE(expect_match("答案")->fault_of(chat(), said("一个答案。")));
  EXPECT_THROW(expect_match("("), std::invalid_argument);
  EXPECT_THROW(expect_match("(?!x)"), std::invalid_argument);
}

TEST(answer_check, of_one_schema_holds_for_every_request) {
  const auto check = expect_schema(R"({"type":"object","required":["a"]})");
  EXPECT_FALSE(check->fault_of(chat(), said(R"({"a":1})")));
  EXPECT_TRUE(check->fault_of(chat(), said("{}")));
  EXPECT_FALSE(check->why_unchecked(chat()));
  EXPECT_THROW(expect_schema("{"), std::invalid_argument);
}

TEST(answer_check, takes_the_schema_of_the_request_itself) {
  const auto check = expect_own_schema();
  const request strings = chat(
      R"({"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"string"}}}})");
  EXPECT_FALSE(check->why_unchecked(strings));
  EXPECT_FALSE(check->fault_of(strings, said(R"("x")")));
  EXPECT_TRUE(check->fault_of(strings, said("1")));
  request response;
  response.target = endpoint::responses;
  response.body = R"({"text":{"format":{"type":"json_schema","schema":{"type":"integer"}}}})";
  EXPECT_FALSE(check->why_unchecked(response));
  EXPECT_FALSE(check->fault_of(
      response,
      body_of(R"({"output":[{"type":"message","content":[{"type":"output_text","text":"7"}]}]})")));
}

TEST(answer_check, refuses_lines_that_it_cannot_check) {
  const auto check = expect_own_schema();
  EXPECT_EQ(
      check->why_unchecked(chat()),
      "The line has no JSON schema in its response_format, and --expect schema needs one; add "
      "it, or give one for all lines with --expect schema=FILE.");
  EXPECT_EQ(check->why_unchecked(chat(R"({"response_format":{"json_schema":{"schema":[]}}})")),
            "The JSON schema of the line cannot be checked: it is not a JSON object.");
  request embedding;
  embedding.target = endpoint::embeddings;
  for (const auto& any : {check, expect_json()}) EXPECT_TRUE(any->why_unchecked(embedding));
}

TEST(answer_check, tells_the_reason_in_the_conversation) {
  const auto check = expect_json();
  EXPECT_EQ(check->body_with_reason(chat(), said("Sure!"), "the reply is not JSON"),
            R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"Sure!"},)"
            R"({"role":"user","content":"Your last reply was not accepted: the reply is not JSON. )"
            R"(Answer again with one JSON value and nothing else."}]})");
  request completion;
  completion.target = endpoint::completions;
  completion.body = R"({"prompt":"q"})";
  EXPECT_FALSE(check->body_with_reason(completion, said("x"), "y"));
}

TEST(answer_check, echoes_no_more_than_the_beginning_of_a_long_reply) {
  const auto body = expect_json()->body_with_reason(chat(), said(std::string(100'000, 'x')), "y");
  ASSERT_TRUE(body);
  EXPECT_LT(body->size(), 20'000U);
}

}  // namespace
}  // namespace sluice::answers
