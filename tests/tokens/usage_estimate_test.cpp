#include "tokens/usage_estimate.hpp"

#include <gtest/gtest.h>

#include "tokens/tokenizer.hpp"

namespace sluice {
namespace {

struct usage_estimate : testing::Test {
  request sent;

  usage_estimate() {
    sent.model = "gpt-4o";
    sent.body = R"({"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]})";
    if (tokenizer::of(vocabulary::o200k_base) == nullptr) skipped = true;
  }
  void SetUp() override {
    if (skipped) GTEST_SKIP() << "the program has no vocabularies";
  }
  bool skipped = false;
};

TEST_F(usage_estimate, counts_the_prompt_and_every_choice) {
  EXPECT_EQ(estimate_usage(sent, R"({"choices":[{"message":{"content":"hello world"}},
      {"message":{"content":"hello","reasoning_content":"hello world"}}]})"),
            (token_usage{8, 0, 5, 2}));
}

TEST_F(usage_estimate, counts_only_the_prompt_of_embeddings) {
  sent.target = endpoint::embeddings;
  sent.model = "text-embedding-3-small";
  sent.body = R"({"model":"text-embedding-3-small","input":"hello world"})";
  EXPECT_EQ(estimate_usage(sent, R"({"data":[{"embedding":[0.5]}]})"), (token_usage{2, 0, 0, 0}));
}

TEST_F(usage_estimate, is_empty_for_a_model_with_an_unknown_vocabulary) {
  sent.model = "claude-3-opus";
  EXPECT_FALSE(estimate_usage(sent, R"({"choices":[{"message":{"content":"hello"}}]})"));
}

}  // namespace
}  // namespace sluice
