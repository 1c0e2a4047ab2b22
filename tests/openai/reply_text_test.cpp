#include "openai/reply_text.hpp"

#include <gtest/gtest.h>

namespace sluice::openai {
namespace {

// The pieces of the text, separated by bars. Reasoning is in parentheses.
std::string told(std::string_view body) {
  std::string all;
  for (const auto& piece : reply_texts(body)) {
    if (!all.empty()) all += '|';
    all += piece.reasoning ? "(" + piece.text + ")" : piece.text;
  }
  return all;
}

TEST(reply_text, of_every_choice) {
  EXPECT_EQ(told(R"({"choices":[{"message":{"content":"one\n"}},{"message":{"content":"two"}}]})"),
            "one\n|two");
  EXPECT_EQ(told(R"({"choices":[{"text":"one"},{"text":"two"}]})"), "one|two");
}

TEST(reply_text, holds_all_that_a_message_says) {
  EXPECT_EQ(told(R"({"choices":[{"message":{"content":null,"refusal":"no",
      "reasoning_content":"hm","tool_calls":[
        {"type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},
        {"type":"custom","custom":{"name":"g","input":"x"}}]}}]})"),
            R"((hm)|no|f|{"a":1}|g|x)");
  EXPECT_EQ(told(R"({"choices":[{"message":{"function_call":{"name":"f","arguments":"{}"}}}]})"),
            "f|{}");
  EXPECT_EQ(told(R"({"choices":[{"message":{"content":[{"type":"text","text":"a"},
      {"type":"refusal","refusal":"b"}]}}]})"),
            "a|b");
}

TEST(reply_text, takes_reasoning_that_stands_twice_once) {
  EXPECT_EQ(told(R"({"choices":[{"message":{"reasoning":"hm","reasoning_content":"hm"}}]})"),
            "(hm)");
  EXPECT_EQ(told(R"({"choices":[{"message":{"reasoning":"hm","reasoning_content":null}}]})"),
            "(hm)");
}

TEST(reply_text, of_a_response_is_that_of_its_items) {
  EXPECT_EQ(told(R"({"output":[
      {"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]},
      {"type":"message","content":[{"type":"output_text","text":"hi"}]},
      {"type":"function_call","name":"f","arguments":"{}"}]})"),
            "(hm)|hi|f|{}");
}

TEST(reply_text, is_nothing_where_there_is_none) {
  for (const char* body :
       {"{}", "[]", "7", R"({"data":[{"embedding":[0.1]}]})", R"({"choices":null,"output":7})",
        R"({"choices":[7,null,{"message":"x"},{"message":{"content":{}}}]})"}) {
    EXPECT_EQ(told(body), "") << body;
  }
}

}  // namespace
}  // namespace sluice::openai
