#include "simulator/utterance.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace sluice::simulator {
namespace {

class EachVocabulary : public testing::TestWithParam<vocabulary> {
 protected:
  void SetUp() override {
    if (vocabulary_ == nullptr) GTEST_SKIP() << "built without the vocabularies";
  }

  const tokenizer* vocabulary_ = tokenizer::of(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Utterance, EachVocabulary,
                         testing::Values(vocabulary::cl100k_base, vocabulary::o200k_base));

/// The tokens must equal those that the tokenizer gives for the text.
void expect_canonical(const utterance& speech, const tokenizer& vocabulary) {
  const auto encoded = vocabulary.encode(speech.text());
  ASSERT_TRUE(encoded) << "split character in " << speech.text();
  ASSERT_EQ(encoded->size(), speech.tokens()) << speech.text();
  for (std::size_t index = 0; index < speech.tokens(); ++index)
    ASSERT_EQ(vocabulary.bytes_of((*encoded)[index]), speech.token(index));
}

TEST_P(EachVocabulary, ProseHasExactlyTheRequestedTokens) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    random random(seed);
    for (const auto in : {language::mixed, language::english, language::chinese}) {
      const std::size_t tokens = random.below(60);
      const auto speech = prose(random, tokens, in, vocabulary_);
      EXPECT_EQ(speech.tokens(), tokens);
      expect_canonical(speech, *vocabulary_);
    }
  }
}

TEST_P(EachVocabulary, ChineseIsHardlyEverReplacedByEnglish) {
  int english = 0;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    random random(seed);
    const auto speech = prose(random, 1 + seed % 30, language::chinese, vocabulary_);
    const auto first = static_cast<unsigned char>(speech.text().front());
    english += first < 0x80 ? 1 : 0;
  }
  EXPECT_LE(english, 5);
}

TEST_P(EachVocabulary, PiecesAreWholeCharactersAndJoinToTheText) {
  std::size_t within = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    random random(seed);
    const auto speech = prose(random, 50, language::chinese, vocabulary_);
    std::string joined;
    std::size_t next = 0;
    for (std::size_t index = 0; index < speech.tokens(); ++index) {
      const auto piece = speech.piece(index);
      if (piece.empty()) continue;
      EXPECT_TRUE(vocabulary_->count(piece)) << "a cut character";
      EXPECT_EQ(speech.piece_start(index), next);
      within += index - next;
      next = index + 1;
      joined += piece;
    }
    EXPECT_EQ(joined, speech.text());
  }
  if (GetParam() == vocabulary::cl100k_base) {
    EXPECT_GT(within, 0U) << "there is no character of two tokens";
  }
}

TEST_P(EachVocabulary, NounsAreTokens) {
  for (const auto noun : noun_tokens()) EXPECT_TRUE(vocabulary_->rank_of(noun)) << noun;
}

TEST_P(EachVocabulary, ADocumentIsSplitWithoutChanges) {
  const std::string text = R"({"名字":"answer","emoji":"🌊","n":[1,22,333333]})";
  const auto speech = spelled(text, vocabulary_);
  EXPECT_EQ(speech.text(), text);
  expect_canonical(speech, *vocabulary_);
}

TEST(Utterance, ATextIsWholeOnlyBetweenCharacters) {
  for (const std::string character : {"a", "é", "模", "🌊"}) {
    utterance speech;
    speech.say("x" + character.substr(0, 1));
    for (std::size_t at = 1; at < character.size(); ++at) speech.say(character.substr(at, 1));
    for (auto tokens = speech.tokens(); tokens > 0; --tokens) {
      auto cut = speech;
      cut.cut_to(tokens);
      EXPECT_EQ(cut.whole(), tokens == speech.tokens()) << character << " after " << tokens;
    }
  }
}

TEST(Utterance, WithoutAVocabularyWordsAreTokens) {
  random random(1);
  EXPECT_EQ(prose(random, 40, language::chinese, nullptr).tokens(), 40U);
  const auto speech = spelled("abcdefgh模型", nullptr);
  EXPECT_EQ(speech.tokens(), 4U);
  EXPECT_EQ(speech.token(2), "模");
}

TEST(Utterance, TextsHaveWholeCharactersOfManyKinds) {
  std::string all;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    random random(seed);
    const auto speech = prose(random, 40, language::mixed, nullptr);
    EXPECT_EQ(speech.tokens(), 40U);
    for (std::size_t token = 0; token < speech.tokens(); ++token)
      EXPECT_NO_THROW(nlohmann::json(std::string(speech.token(token))).dump()) << "a cut character";
    all += speech.text();
  }
  for (const auto* kind : {"。", "\n\n", "\"", "🚀"})
    EXPECT_NE(all.find(kind), std::string::npos) << kind;
}

}  // namespace
}  // namespace sluice::simulator
