#include "base/display_width.hpp"

#include <gtest/gtest.h>

#include <tuple>

namespace sluice {
namespace {

TEST(display_width, counts_cells) {
  const std::tuple<const char*, std::size_t, const char*> rows[] = {
      {"", 0, "nothing"},
      {"12/40 done", 10, "ASCII"},
      {"naïve", 5, "Latin"},
      {"e\u0301", 1, "an accent joins the letter before it"},
      {"请求", 4, "Chinese characters are wide"},
      {"ｱ한", 3, "a narrow kana and a wide Hangul"},
      {"🙂", 2, "an emoji is wide"},
      {"\x1b[31m3 failed\x1b[0m", 8, "a colour takes nothing"},
      {"\x1b[2J", 3, "another escape sequence is not a colour"},
      {"a\xff", 2, "what is not UTF-8 takes a cell"},
  };
  for (const auto& [text, cells, what] : rows) {
    EXPECT_EQ(display_width(text), cells) << what;
  }
}

TEST(fitting, cuts_between_characters) {
  const std::tuple<const char*, std::size_t, const char*> rows[] = {
      {"12/40 done", 5, "12/40"},
      {"12/40 done", 80, "12/40 done"},
      {"请求", 3, "请"},
      {"请求", 1, ""},
      {"e\u0301e\u0301", 1, "e\u0301"},
      {"x", 0, ""},
  };
  for (const auto& [text, cells, kept] : rows) EXPECT_EQ(fitting(text, cells), kept) << text;
}

TEST(fitting, ends_a_colour_that_it_cuts) {
  EXPECT_EQ(fitting("\x1b[31m3 failed\x1b[0m, 4", 3), "\x1b[31m3 f\x1b[0m");
  EXPECT_EQ(fitting("\x1b[31m3\x1b[0m, 4", 2), "\x1b[31m3\x1b[0m,");
}

}  // namespace
}  // namespace sluice
