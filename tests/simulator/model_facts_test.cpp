#include "simulator/model_facts.hpp"

#include <gtest/gtest.h>

namespace sluice::simulator {
namespace {

TEST(ModelFacts, OpenAIModelsHaveOneOfTwoVocabularies) {
  for (const auto* model : {"gpt-3.5-turbo", "gpt-3.5-turbo-instruct", "gpt-4", "gpt-4-32k",
                            "gpt-4-1106-preview", "gpt-4-turbo", "text-embedding-3-small"})
    EXPECT_EQ(vocabulary_of(model), vocabulary::cl100k_base) << model;
  for (const auto* model : {"gpt-4o", "gpt-4o-mini", "gpt-4.1-nano", "gpt-4.5-preview", "gpt-5",
                            "gpt-5.2-pro", "o1", "o3-mini", "o4-mini", "chatgpt-4o-latest"})
    EXPECT_EQ(vocabulary_of(model), vocabulary::o200k_base) << model;
  for (const auto* model : {"", "deepseek-chat", "claude-3-opus", "gpt", "omni"}) {
    EXPECT_FALSE(vocabulary_of(model)) << model;
    EXPECT_EQ(tokenizer_of(model), nullptr) << model;
  }
  EXPECT_EQ(tokenizer_of("gpt-4"), tokenizer::of(vocabulary::cl100k_base));
}

TEST(ModelFacts, SomeModelsThink) {
  EXPECT_EQ(thinking_of("gpt-4o"), thinking::none);
  EXPECT_EQ(thinking_of("gpt-5-chat-latest"), thinking::none);
  EXPECT_EQ(thinking_of("gpt-5-mini"), thinking::hidden);
  EXPECT_EQ(thinking_of("o3"), thinking::hidden);
  EXPECT_EQ(thinking_of("deepseek-reasoner"), thinking::shown);
}

}  // namespace
}  // namespace sluice::simulator
