#include "openai/text_decoder.hpp"

#include <gtest/gtest.h>

namespace sluice::openai {
namespace {

// For all cuts of the pieces, the text is the same, and no piece ends inside a character.
TEST(text_decoder, decodes_a_string_that_grows) {
  const struct {
    const char* raw;
    const char* text;
  } rows[] = {
      {"plain", "plain"},           {R"(a\nb\\c\"d)", "a\nb\\c\"d"},  {R"(\u4f60\u597d)", "你好"},
      {R"(x\ud83d\ude00y)", "x😀y"}, {R"(\\u0041\u0041)", "\\u0041A"},
  };
  for (const auto& row : rows) {
    const std::string_view raw = row.raw;
    for (std::size_t first = 0; first <= raw.size(); ++first) {
      for (std::size_t second = first; second <= raw.size(); ++second) {
        text_decoder decoder;
        std::string text = decoder.more(raw.substr(0, first));
        text += decoder.more(raw.substr(0, second));
        text += decoder.more(raw);
        ASSERT_EQ(text, row.text) << raw << " cut at " << first << " and " << second;
      }
    }
  }
}

TEST(text_decoder, waits_for_the_rest_of_an_escape) {
  text_decoder decoder;
  EXPECT_EQ(decoder.more(R"(ab\)"), "ab");
  EXPECT_EQ(decoder.more(R"(ab\u4)"), "");
  EXPECT_EQ(decoder.more(R"(ab\u4f60\ud83d)"), "你");
  EXPECT_EQ(decoder.more(R"(ab\u4f60\ud83d\ude)"), "");
  EXPECT_EQ(decoder.more(R"(ab\u4f60\ud83d\ude00)"), "😀");
}

}  // namespace
}  // namespace sluice::openai
