#include "answers/answer_text.hpp"

#include <gtest/gtest.h>

namespace sluice::answers {
namespace {

TEST(answer_text, of_a_chat_is_the_content_of_each_choice_in_order) {
  const auto choices = choice_texts(
      R"({"choices":[{"index":0,"message":{"role":"assistant","content":"a\n1"},"finish_reason":"stop"},)"
      R"({"index":1,"message":{"role":"assistant","content":"b"},"finish_reason":"length"}]})");
  ASSERT_EQ(choices.size(), 2U);
  EXPECT_EQ(choices[0].text, "a\n1");
  EXPECT_EQ(choices[0].end, ending::whole);
  EXPECT_EQ(choices[1].text, "b");
  EXPECT_EQ(choices[1].end, ending::cut_off);
}

TEST(answer_text, leaves_out_what_the_model_thought) {
  const auto choices = choice_texts(
      R"({"choices":[{"message":{"reasoning_content":"hm","content":[)"
      R"({"type":"thinking","thinking":[{"type":"text","text":"well"}]},{"type":"text","text":"{}"}]}}]})");
  ASSERT_EQ(choices.size(), 1U);
  EXPECT_EQ(choices[0].text, "{}");
}

TEST(answer_text, tells_refusals_and_tool_calls) {
  const auto refused =
      choice_texts(R"({"choices":[{"message":{"content":null,"refusal":"I cannot."}}]})");
  EXPECT_EQ(refused.at(0).refusal, "I cannot.");
  const auto called = choice_texts(
      R"({"choices":[{"message":{"content":null,"tool_calls":[{"id":"1"}]},"finish_reason":"tool_calls"}]})");
  EXPECT_TRUE(called.at(0).calls_tool);
  EXPECT_TRUE(called.at(0).text.empty());
}

TEST(answer_text, of_a_completion_is_its_text) {
  const auto choices =
      choice_texts(R"({"choices":[{"text":"x","finish_reason":"content_filter"}]})");
  EXPECT_EQ(choices.at(0).text, "x");
  EXPECT_EQ(choices.at(0).end, ending::filtered);
}

TEST(answer_text, of_a_response_joins_its_messages) {
  const auto choices = choice_texts(
      R"({"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[)"
      R"({"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]},)"
      R"({"type":"message","content":[{"type":"output_text","text":"{\"a\":"},{"type":"output_text","text":"1"}]},)"
      R"({"type":"function_call","name":"f"}]})");
  ASSERT_EQ(choices.size(), 1U);
  EXPECT_EQ(choices[0].text, R"({"a":1)");
  EXPECT_EQ(choices[0].end, ending::cut_off);
  EXPECT_TRUE(choices[0].calls_tool);
}

TEST(answer_text, of_no_reply_is_none) {
  EXPECT_TRUE(choice_texts(R"({"data":[]})").empty());
  EXPECT_TRUE(choice_texts("[]").empty());
}

}  // namespace
}  // namespace sluice::answers
