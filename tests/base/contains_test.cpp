#include "base/contains.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace sluice {
namespace {

TEST(contains_test, a_word_is_found_wherever_it_is) {
  for (const std::string& word : {std::string("x"), std::string("xy"), std::string("\"token\""),
                                  std::string("a word of more than sixteen bytes")}) {
    for (std::size_t before = 0; before < 70; ++before) {
      for (std::size_t after = 0; after < 40; ++after) {
        std::string text = std::string(before, '.') + word + std::string(after, '.');
        EXPECT_TRUE(contains(text, word)) << before << ' ' << after;
        text[before + word.size() / 2] = '!';
        EXPECT_FALSE(contains(text, word)) << before << ' ' << after;
      }
    }
  }
}

TEST(contains_test, it_agrees_with_find) {
  std::mt19937 random(7);
  const auto letters = [&](std::size_t length) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) text += static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = letters(random() % 60);
    const std::string word = letters(random() % 9);
    EXPECT_EQ(contains(text, word), text.find(word) != std::string::npos) << text << ' ' << word;
  }
}

TEST(contains_test, every_text_contains_the_empty_word) {
  EXPECT_TRUE(contains("", ""));
  EXPECT_TRUE(contains("a", ""));
  EXPECT_FALSE(contains("", "a"));
}

}  // namespace
}  // namespace sluice
