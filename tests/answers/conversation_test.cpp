#include "answers/conversation.hpp"

#include <gtest/gtest.h>

namespace sluice::answers {
namespace {

TEST(conversation, of_a_chat_gets_two_messages_and_keeps_its_other_bytes) {
  EXPECT_EQ(
      with_turn(endpoint::chat_completions,
                R"({"model":"m", "messages": [ {"role":"user","content":"h\u0069"} ] ,"seed":1.0})",
                "no\"", "why"),
      R"({"model":"m", "messages": [ {"role":"user","content":"h\u0069"} ,)"
      R"({"role":"assistant","content":"no\""},{"role":"user","content":"why"}] ,"seed":1.0})");
}

TEST(conversation, gets_the_user_s_message_alone_after_a_reply_without_text) {
  EXPECT_EQ(with_turn(endpoint::chat_completions, R"({"messages":[{"role":"user"}]})", "", "why"),
            R"({"messages":[{"role":"user"},{"role":"user","content":"why"}]})");
}

TEST(conversation, of_a_response_makes_a_list_of_a_text) {
  EXPECT_EQ(with_turn(endpoint::responses, R"({"input":"q","model":"m"})", "a", "why"),
            R"({"input":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},)"
            R"({"role":"user","content":"why"}],"model":"m"})");
  EXPECT_EQ(
      with_turn(endpoint::responses, R"({"input":[{"role":"user","content":"q"}]})", "a", "y"),
      R"({"input":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},)"
      R"({"role":"user","content":"y"}]})");
}

TEST(conversation, cannot_go_on_where_there_is_none) {
  EXPECT_FALSE(with_turn(endpoint::completions, R"({"prompt":"q"})", "a", "why"));
  EXPECT_FALSE(with_turn(endpoint::embeddings, R"({"input":"q"})", "a", "why"));
  EXPECT_FALSE(with_turn(endpoint::chat_completions, R"({"messages":[]})", "a", "why"));
  EXPECT_FALSE(with_turn(endpoint::chat_completions, R"({"messages":"x"})", "a", "why"));
  EXPECT_FALSE(with_turn(endpoint::responses, R"({"model":"m"})", "a", "why"));
}

}  // namespace
}  // namespace sluice::answers
