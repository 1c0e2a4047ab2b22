#include "simulator/question.hpp"

#include <gtest/gtest.h>

namespace sluice::simulator {
namespace {

TEST(Question, IsChineseIfMostCharactersAre) {
  for (const auto* text :
       {"鲁迅为什么打周树人", "昨天的当天是明天的什么？", "请解释 RPM 是什么意思"})
    EXPECT_TRUE(mostly_chinese(text)) << text;
  for (const auto* text :
       {"", "hi", "What does 模型 mean?", "नमस्ते दुनिया", "これはなんですか", "，。，"})
    EXPECT_FALSE(mostly_chinese(text)) << text;
}

TEST(Question, TrickQuestionsHaveAStrongAndAWeakAnswer) {
  struct question_case {
    const char* question;
    const char* strong;
    const char* weak;
  };
  for (const auto& [question, strong, weak] :
       {question_case{"昨天的当天是明天的什么？", "前天", "昨天"},
        question_case{"What is tomorrow in relation to yesterday's today?", "Past", "Yesterday"},
        question_case{"树上 9 只鸟，打掉 1 只，还剩几只？", "飞走", "8"},
        question_case{"树上9只鸟，打掉1只，还剩几只", "0", "8"},
        question_case{"There are 9 birds on a tree. One is shot. How many are left?", "fly away",
                      "8"},
        question_case{"9 birds, one shot", "0", "8"},
        question_case{"Nine birds sit in a tree and you shoot one: how many are left?", "0", "8"},
        question_case{"鲁迅为什么打周树人", "同一个人", "意见不合"},
        question_case{"鲁迅为什么暴打周树人？", "笔名", "意见不合"},
        question_case{"Why did Zhou Shuren beat up Lu Xun", "same person", "quarrel"}}) {
    EXPECT_NE(answer_to_trick(question, false).find(strong), std::string_view::npos) << question;
    EXPECT_NE(answer_to_trick(question, true).find(weak), std::string_view::npos) << question;
    EXPECT_EQ(answer_to_trick(question, true).find(strong), std::string_view::npos) << question;
  }
  for (const auto* other :
       {"", "hi", "鲁迅写了什么？", "How do birds fly?", "Say hello to number 9"})
    EXPECT_EQ(answer_to_trick(other, false), "") << other;
}

}  // namespace
}  // namespace sluice::simulator
