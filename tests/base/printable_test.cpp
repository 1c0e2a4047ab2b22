#include "base/printable.hpp"

#include <gmock/gmock.h>

namespace sluice {
namespace {

TEST(printable_text, escapes_everything_that_a_terminal_acts_on) {
  const struct {
    const char* what;
    std::string_view text;
    const char* expected;
  } rows[] = {
      {"words", "plain, 漢字, caf\u00e9 \U0001F40E", "plain, 漢字, caf\u00e9 \U0001F40E"},
      {"colours", "\x1b[31mred", "\\x1b[31mred"},
      {"a carriage return", "one\rtwo", "one\\x0dtwo"},
      {"a newline", "one\nsluice: two", "one\\x0asluice: two"},
      {"a NUL", std::string_view("a\0b", 3), "a\\x00b"},
      {"DEL", "a\x7f", "a\\x7f"},
      {"C1, first", "\u0080", "\\u0080"},
      {"CSI in one character", "\u009b31m", "\\u009b31m"},
      {"C1, last", "\u009f", "\\u009f"},
      {"the first character after C1", "\u00a0", "\u00a0"},
      {"a single byte of C1 is not UTF-8", "\x9b", "\ufffd"},
      {"line and paragraph separators", "a\u2028b\u2029c", "a\\u2028b\\u2029c"},
      {"right-to-left override", "\u202etxt.exe\u202c", "\\u202etxt.exe\\u202c"},
      {"the first direction mark", "\u202a", "\\u202a"},
      {"isolates", "\u2066a\u2069", "\\u2066a\\u2069"},
      {"their neighbours", "\u2027\u202f\u2065\u206a", "\u2027\u202f\u2065\u206a"},
      {"an incomplete UTF-8 sequence", "a\xe2\x80", "a\ufffd\ufffd"},
  };
  for (const auto& row : rows) EXPECT_EQ(printable_text(row.text), row.expected) << row.what;
}

TEST(printable_text, can_keep_newlines) {
  EXPECT_EQ(printable_lines("one\n\x1b[2Jtwo\n"), "one\n\\x1b[2Jtwo\n");
}

}  // namespace
}  // namespace sluice
