#include "upstream/token_estimate.hpp"

#include <gtest/gtest.h>

#include "tokens/prompt_tokens.hpp"

namespace sluice {
namespace {

request chat_request(const std::string& model, const std::string& more) {
  request one;
  one.model = model;
  one.body = R"({"model":")" + model + R"(","messages":[{"role":"user","content":"hi there"}])" +
             more + "}";
  return one;
}

TEST(token_estimate, adds_the_prompt_and_the_output_limit) {
  for (const char* model : {"gpt-4o", "claude-3-opus"}) {
    const request one = chat_request(model, R"(,"max_tokens":50)");
    const auto prompt = prompt_tokens(one.target, one.model, one.body);
    EXPECT_EQ(token_estimate().tokens(token_estimate::of(one)), prompt.tokens + 50) << model;
  }
}

TEST(token_estimate, learns_the_mean_length_of_replies_without_a_limit) {
  token_estimate replies;
  const auto need = token_estimate::of(chat_request("gpt-4o", ""));
  const auto at_first = replies.tokens(need);
  for (int i = 0; i < 3; ++i) replies.learn({10, 0, 1000, 0}, 1);
  EXPECT_EQ(replies.tokens(need), need.known + 1000);
  EXPECT_NE(replies.tokens(need), at_first);
}

TEST(token_estimate, embeddings_have_only_a_prompt) {
  request one = chat_request("text-embedding-3-small", "");
  one.target = endpoint::embeddings;
  one.body = R"({"model":"text-embedding-3-small","input":"hi there"})";
  EXPECT_EQ(token_estimate().tokens(token_estimate::of(one)),
            prompt_tokens(one.target, one.model, one.body).tokens);
}

}  // namespace
}  // namespace sluice
