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
      {"a word includes the space before it", "Hello brave world", {"Hello", " brave", " world"}},
      {"or one other character that is not a letter, number or line end",
       "(a\tb\nc",
       {"(a", "\tb", "\n", "c"}},
      {"a contraction comes first, in any case",
       "don'T we'LL 'sun",
       {"don", "'T", " we", "'LL", " '", "sun"}},
      {"also with a long s", "a'\u017F", {"a", "'\u017F"}},
      {"an unknown contraction is a word", "l'x 'R", {"l", "'x", " '", "R"}},
      {"up to three digits, in any script",
       "12345 \u0663\u0664\u0665\u0666 \u2167",
       {"123", "45", " ", "\u0663\u0664\u0665", "\u0666", " ", "\u2167"}},
      {"punctuation includes a space before and line ends after it",
       "a --\r\n\nb /\n/",
       {"a", " --\r\n\n", "b", " /\n", "/"}},
      {"the last of several spaces belongs to the next piece",
       "a   b \u3000\u00851",
       {"a", "  ", " b", " \u3000", "\u0085", "1"}},
      {"except at the end of the text", "a   ", {"a", "   "}},
      {"a piece of spaces ends at its last line end", " \n \n  x", {" \n \n", " ", " x"}},
      {"letters of all cases are one word",
       "iPhone\u00C9\u4E2D\u6587ABC",
       {"iPhone\u00C9\u4E2D\u6587ABC"}},
      {"a combining mark is not a letter", "e\u0301a", {"e", "\u0301a"}},
      {"U+200B and U+FEFF are not spaces", "a\u200Bb\uFEFFc", {"a", "\u200Bb", "\uFEFFc"}},
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
      {"letters without case may follow capitals",
       "ABC\u4E2D\u6587DEF g",
       {"ABC\u4E2D\u6587", "DEF", " g"}},
      {"and lower case may follow them", "A\u4E2Db", {"A\u4E2Db"}},
      {"a combining mark is part of the word", "e\u0301a E\u0301A", {"e\u0301a", " E\u0301", "A"}},
      {"a single mark before capitals is a word", "\u0301ABC", {"\u0301", "ABC"}},
      {"two marks are one word", "\u0301\u0302ABC", {"\u0301\u0302", "ABC"}},
      {"a mark before lower case joins the word", "\u0301abc", {"\u0301abc"}},
      {"also after a dot", ".\u0301 x", {".\u0301", " x"}},
      {"slashes may be among the line ends", "a --\n/\r/ b", {"a", " --\n/\r/", " b"}},
      {"up to three digits", "1234", {"123", "4"}},
      {"the last of several spaces belongs to the next piece",
       "a   b  1",
       {"a", "  ", " b", " ", " ", "1"}},
  };
  for (const auto& row : rows) EXPECT_EQ(cut(row.text, o200k_piece), row.expected) << row.what;
}

}  // namespace
}  // namespace sluice
