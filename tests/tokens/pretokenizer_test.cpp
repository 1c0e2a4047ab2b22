#include "tokens/pretokenizer.hpp"

#include <gmock/gmock.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {
namespace {

using pieces = std::vector<std::string>;

pieces cut(std::string_view text, std::size_t (*piece)(std::string_view) noexcept) {
  pieces all;
  while (!text.empty()) {
    all.emplace_back(text.substr(0, piece(text)));
    text.remove_prefix(all.back().size());
  }
  return all;
}

TEST(pretokenizer, cl100k_base_splits_like_its_pattern) {
  const struct {
    const char* what;
    const char* text;
    pieces expected;
  } rows[] = {
      {"a word takes the space before it", "Hello brave world", {"Hello", " brave", " world"}},
      {"or any one character that is no letter, number or line end",
       "(a\tb\nc",
       {"(a", "\tb", "\n", "c"}},
      {"a contraction comes first, whatever its case",
       "don'T we'LL 'sun",
       {"don", "'T", " we", "'LL", " '", "sun"}},
      {"and its s may be long", "a'\u017F", {"a", "'\u017F"}},
      {"what only looks like one is a word", "l'x 'R", {"l", "'x", " '", "R"}},
      {"numbers come in threes, of any script",
       "12345 \u0663\u0664\u0665\u0666 \u2167",
       {"123", "45", " ", "\u0663\u0664\u0665", "\u0666", " ", "\u2167"}},
      {"marks take a space before and line ends behind",
       "a --\r\n\nb /\n/",
       {"a", " --\r\n\n", "b", " /\n", "/"}},
      {"the last space of some is left to what follows",
       "a   b \u3000\u00851",
       {"a", "  ", " b", " \u3000", "\u0085", "1"}},
      {"but not at the end", "a   ", {"a", "   "}},
      {"spaces end with their last line end", " \n \n  x", {" \n \n", " ", " x"}},
      {"letters of all cases are one",
       "iPhone\u00C9\u4E2D\u6587ABC",
       {"iPhone\u00C9\u4E2D\u6587ABC"}},
      {"a mark of a letter is no letter", "e\u0301a", {"e", "\u0301a"}},
      {"no space: U+200B, U+FEFF", "a\u200Bb\uFEFFc", {"a", "\u200Bb", "\uFEFFc"}},
  };
  for (const auto& row : rows) EXPECT_EQ(cut(row.text, cl100k_piece), row.expected) << row.what;
}

TEST(pretokenizer, o200k_base_splits_like_its_pattern) {
  const struct {
    const char* what;
    const char* text;
    pieces expected;
  } rows[] = {
      {"a capital begins a word", "HTMLParser iPhone", {"HTMLParser", " i", "Phone"}},
      {"a contraction stays with its word", "don't WE'LL x's's", {"don't", " WE'LL", " x's", "'s"}},
      {"letters without case end what is capital before",
       "ABC\u4E2D\u6587DEF g",
       {"ABC\u4E2D\u6587", "DEF", " g"}},
      {"and go on in small", "A\u4E2Db", {"A\u4E2Db"}},
      {"a mark of a letter is of the word", "e\u0301a E\u0301A", {"e\u0301a", " E\u0301", "A"}},
      {"a mark alone is a word before capitals", "\u0301ABC", {"\u0301", "ABC"}},
      {"two are one", "\u0301\u0302ABC", {"\u0301\u0302", "ABC"}},
      {"before small letters it is theirs", "\u0301abc", {"\u0301abc"}},
      {"behind a dot, too", ".\u0301 x", {".\u0301", " x"}},
      {"slashes stand among line ends", "a --\n/\r/ b", {"a", " --\n/\r/", " b"}},
      {"numbers come in threes", "1234", {"123", "4"}},
      {"the last space of some is left to what follows",
       "a   b  1",
       {"a", "  ", " b", " ", " ", "1"}},
  };
  for (const auto& row : rows) EXPECT_EQ(cut(row.text, o200k_piece), row.expected) << row.what;
}

}  // namespace
}  // namespace sluice
