#include "engine/text_feed.hpp"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

using testing::ElementsAre;

struct text_sink final : result_sink {
  std::vector<std::string> pieces;
  std::string all() const {
    std::string text;
    for (const auto& piece : pieces) text += piece;
    return text;
  }
  void attempt_started(const attempt_record&) override {}
  void attempt_ended(const attempt_record&, attempt_end) override {}
  void put(result&&) override {}
  void flush() override {}
  bool wants_text() const override { return true; }
  void text(const attempt_record&, std::string_view more) override { pieces.emplace_back(more); }
};

struct text_feed_test : testing::Test {
  text_feed_test() { relay.api_key = "sk-a1b2c3d4e5f6g7h8i9j0"; }

  std::string fed(const std::vector<std::string>& pieces) {
    sink.pieces.clear();
    const secrets hidden(relay);
    text_feed feed(sink, hidden);
    std::string so_far;
    for (const auto& piece : pieces) {
      so_far += piece;
      feed.update({}, so_far);
    }
    feed.finish({});
    return sink.all();
  }

  relay_options relay;
  text_sink sink;
};

TEST_F(text_feed_test, passes_words_as_soon_as_they_are_whole) {
  EXPECT_EQ(fed({"Hel", "lo wor", "ld, ", "bye"}), "Hello world, bye");
  EXPECT_THAT(sink.pieces, ElementsAre("Hello ", "world, ", "bye"));
}

TEST_F(text_feed_test, passes_text_without_spaces_at_once) {
  EXPECT_EQ(fed({"你", "好", "吗"}), "你好吗");
  EXPECT_THAT(sink.pieces, ElementsAre("你", "好", "吗"));
}

TEST_F(text_feed_test, redacts_a_key_wherever_it_is_cut) {
  const std::string text = "Your key is sk-a1b2c3d4e5f6g7h8i9j0, isn't it?";
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); ++second) {
      ASSERT_EQ(
          fed({text.substr(0, first), text.substr(first, second - first), text.substr(second)}),
          "Your key is [key], isn't it?")
          << first << ' ' << second;
    }
  }
}

TEST_F(text_feed_test, redacts_a_short_key_that_a_word_announces) {
  relay.api_key = "ollama";
  const std::string text = "ollama says: Bearer ollama is wrong";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    ASSERT_EQ(fed({text.substr(0, cut), text.substr(cut)}), "ollama says: Bearer [key] is wrong")
        << cut;
  }
}

}  // namespace
}  // namespace sluice
