#include "tokens/tokenizer.hpp"

#include <gmock/gmock.h>

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/plain_merge.hpp"
#include "tokens/pretokenizer.hpp"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::Optional;
using ids = std::vector<tokenizer::rank>;

struct vocabulary_case {
  vocabulary name;
  std::size_t tokens;
  std::size_t (*piece)(std::string_view) noexcept;
};
constexpr vocabulary_case vocabularies[] = {{vocabulary::cl100k_base, 100256, cl100k_piece},
                                            {vocabulary::o200k_base, 199998, o200k_piece}};

class tokenizers : public testing::TestWithParam<vocabulary_case> {
 protected:
  void SetUp() override {
    if (tokenizer::of(GetParam().name) == nullptr) GTEST_SKIP() << "built without vocabularies";
  }
  const tokenizer& encoder() const { return *tokenizer::of(GetParam().name); }

  ids merged(std::string_view text) const {
    ids tokens;
    while (!text.empty()) {
      const std::string_view piece = text.substr(0, GetParam().piece(text));
      text.remove_prefix(piece.size());
      const ids of_piece = test::plain_merge(encoder(), piece);
      tokens.insert(tokens.end(), of_piece.begin(), of_piece.end());
    }
    return tokens;
  }

  void expect_whole(std::string_view text) const {
    const auto tokens = encoder().encode(text);
    ASSERT_TRUE(tokens) << text;
    std::string again;
    for (const auto token : *tokens) again += encoder().bytes_of(token).value();
    EXPECT_TRUE(again == text) << text.substr(0, 100);
    EXPECT_EQ(encoder().count(text), tokens->size()) << text.substr(0, 100);
  }
};

INSTANTIATE_TEST_SUITE_P(all, tokenizers, testing::ValuesIn(vocabularies), [](const auto& suite) {
  return suite.param.name == vocabulary::cl100k_base ? "cl100k_base" : "o200k_base";
});

TEST(tokenizer, gives_the_same_ids_as_tiktoken) {
  if (tokenizer::of(vocabulary::cl100k_base) == nullptr)
    GTEST_SKIP() << "built without vocabularies";
  const tokenizer& cl100k = *tokenizer::of(vocabulary::cl100k_base);
  const tokenizer& o200k = *tokenizer::of(vocabulary::o200k_base);
  EXPECT_THAT(cl100k.encode("tiktoken is great!"),
              Optional(ElementsAre(83, 1609, 5963, 374, 2294, 0)));
  EXPECT_THAT(cl100k.encode("hello world"), Optional(ElementsAre(15339, 1917)));
  EXPECT_THAT(o200k.encode("hello world"), Optional(ElementsAre(24912, 2375)));
  EXPECT_THAT(cl100k.encode("2 + 2 = 4"), Optional(ElementsAre(17, 489, 220, 17, 284, 220, 19)));
  EXPECT_THAT(cl100k.encode("\xE3\x81\x8A\xE8\xAA\x95\xE7\x94\x9F\xE6\x97\xA5\xE3\x81\x8A"
                            "\xE3\x82\x81\xE3\x81\xA7\xE3\x81\xA8\xE3\x81\x86"),
              Optional(ElementsAre(33334, 45918, 243, 21990, 9080, 33334, 62004, 16556, 78699)));
  const std::string lu_xun = "鲁迅为什么打周树人";
  EXPECT_EQ(cl100k.count(lu_xun), 14);
  EXPECT_EQ(o200k.count(lu_xun), 7);
}

TEST_P(tokenizers, find_all_tokens_by_rank_and_by_bytes) {
  ASSERT_EQ(encoder().size(), GetParam().tokens);
  for (tokenizer::rank token = 0; token < encoder().size(); ++token) {
    const auto bytes = encoder().bytes_of(token);
    ASSERT_TRUE(bytes);
    ASSERT_EQ(encoder().rank_of(*bytes), token);
  }
  const auto size = static_cast<tokenizer::rank>(encoder().size());
  EXPECT_EQ(encoder().bytes_of(size), std::nullopt) << "endoftext is special";
  EXPECT_EQ(encoder().bytes_of(std::numeric_limits<tokenizer::rank>::max()), std::nullopt);
  EXPECT_EQ(encoder().rank_of(""), std::nullopt);
  EXPECT_EQ(encoder().rank_of("hello world"), std::nullopt);
  EXPECT_EQ(encoder().rank_of("<|endoftext|>"), std::nullopt);
}

TEST_P(tokenizers, treat_special_tokens_as_text) {
  EXPECT_EQ(encoder().count(""), 0);
  EXPECT_THAT(encoder().encode(""), Optional(testing::IsEmpty()));
  EXPECT_GT(encoder().count("<|endoftext|>").value(), 1) << "a special token is text here";
  for (const char* invalid : {"\xFF", "a\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80"}) {
    EXPECT_EQ(encoder().count(invalid), std::nullopt);
    EXPECT_EQ(encoder().encode(invalid), std::nullopt);
  }
  expect_whole(std::string(3, '\0') + "\x7F");
}

TEST_P(tokenizers, give_the_same_tokens_as_merging_pair_by_pair) {
  std::minstd_rand random(1);
  const auto below = [&](std::size_t end) { return random() % end; };
  const std::string_view alphabets[] = {
      "ab",    "aab",   "etaoinshrdlu", "abcdefghijklmnopqrstuvwxyz", "ABab", " ",
      " \n\t", "=-/#*", "<>/ ax\"'\n"};
  for (int round = 0; round < 400; ++round) {
    for (const std::string_view alphabet : alphabets) {
      std::string text;
      for (std::size_t size = 1 + below(80); text.size() < size;) {
        text += alphabet[below(alphabet.size())];
      }
      EXPECT_EQ(encoder().encode(text), merged(text)) << text;
    }
    std::string tokens;  // the text of a random sequence of tokens
    for (std::size_t left = 1 + below(8); left > 0; --left) {
      tokens += encoder().bytes_of(static_cast<tokenizer::rank>(below(encoder().size()))).value();
    }
    if (const auto found = encoder().encode(tokens)) {
      EXPECT_EQ(found, merged(tokens)) << tokens;
    }
  }
}

// The time must be linear in the length. An algorithm that merges pair by pair would need minutes
// for each text.
TEST_P(tokenizers, encode_very_long_pieces_in_linear_time) {
  std::minstd_rand random(1);
  const std::size_t much = 50'000;
  for (const std::string_view unit : {"a", "A", " ", "\n", " \n", "ab", "1", "!", "\xCC\x81", "国",
                                      "人工智能", "😀", "👨‍👩‍👧‍👦", "กา", "'"}) {
    std::string text;
    while (text.size() < much) text += unit;
    expect_whole(text);
    expect_whole(text + "b");
  }
  std::string letters;
  while (letters.size() < much) letters += static_cast<char>('a' + random() % 26);
  expect_whole(letters);
}

}  // namespace
}  // namespace sluice
