#include "base/translated_error.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace sluice {
namespace {

TEST(translated_error, is_english_for_all_but_the_screen) {
  try {
    refuse("a\x1b.jsonl", worded("is empty; a job has one JSON object a line"));
    FAIL() << "it throws";
  } catch (const fatal_error& fault) {
    EXPECT_EQ(fault.why(), fatal_error::kind::cannot_start);
    EXPECT_STREQ(fault.what(), "a\\x1b.jsonl: is empty; a job has one JSON object a line");
    EXPECT_EQ(words_of(fault).english, fault.what());
    EXPECT_EQ(words_of(fault).chinese, "a\\x1b.jsonl：是空文件；任务每行是一个 JSON 对象");
  }
}

TEST(words_of, an_exception_without_chinese_is_english) {
  const std::runtime_error fault("it broke");
  EXPECT_EQ(words_of(fault), (wording{"it broke", "it broke"}));
  EXPECT_EQ(words_of(fatal_error(fatal_error::kind::cannot_write, "no room")).chinese, "no room");
}

}  // namespace
}  // namespace sluice
