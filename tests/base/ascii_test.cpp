#include "base/ascii.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(trimmed, takes_white_space_from_both_ends) {
  EXPECT_EQ(trimmed(" \t\r\n\v\fa b\n"), "a b");
  EXPECT_EQ(trimmed("a"), "a");
  EXPECT_EQ(trimmed(" \n"), "");
  EXPECT_EQ(trimmed(""), "");
}

TEST(trimmed, takes_only_the_white_space_that_is_asked_for) {
  EXPECT_EQ(trimmed(" \ra\n\t", http_white_space), "\ra\n");
  EXPECT_EQ(trimmed("\t ", http_white_space), "");
}

TEST(lower_case, changes_only_the_letters_of_ascii) {
  EXPECT_EQ(lower_case("Retry-After: 5 \xC3\x84 [@Z"), "retry-after: 5 \xC3\x84 [@z");
}

TEST(letters_and_digits, are_those_of_ascii) {
  EXPECT_TRUE(is_letter_or_digit('a'));
  EXPECT_TRUE(is_letter_or_digit('Z'));
  EXPECT_TRUE(is_letter_or_digit('0'));
  EXPECT_FALSE(is_letter_or_digit('_'));
  EXPECT_FALSE(is_letter_or_digit('\xE4'));
  EXPECT_FALSE(is_digit('a'));
}

}  // namespace
}  // namespace sluice
