#include "base/wording.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>

namespace sluice {
namespace {

TEST(language_of, is_that_of_the_first_variable_that_is_set) {
  const struct {
    locale_variables set;
    language spoken;
    const char* why;
  } rows[] = {
      {{"", "", ""}, language::english, "nothing is set"},
      {{"", "", "zh_CN.UTF-8"}, language::chinese, "LANG"},
      {{"", "", "zh_TW.utf8"}, language::chinese, "another country, another name of UTF-8"},
      {{"", "", "zh_CN"}, language::chinese, "no encoding is named"},
      {{"", "", "zh_CN.UTF-8@pinyin"}, language::chinese, "a variant"},
      {{"", "", "zh"}, language::chinese, "the language alone"},
      {{"", "zh_CN.UTF-8", "en_US.UTF-8"}, language::chinese, "LC_MESSAGES wins over LANG"},
      {{"", "en_US.UTF-8", "zh_CN.UTF-8"}, language::english, "LC_MESSAGES wins over LANG"},
      {{"zh_CN.UTF-8", "en_US.UTF-8", "C"}, language::chinese, "LC_ALL wins over both"},
      {{"C", "zh_CN.UTF-8", "zh_CN.UTF-8"}, language::english, "LC_ALL wins over both"},
      {{"", "", "C.UTF-8"}, language::english, "no language"},
      {{"", "", "zh_CN.GBK"}, language::english, "the screen gets UTF-8"},
      {{"", "", "zh_CN.gb18030"}, language::english, "the screen gets UTF-8"},
      {{"", "", "zha_CN.UTF-8"}, language::english, "another language"},
      {{"", "", "zh_CN."}, language::chinese, "an encoding without a name"},
  };
  for (const auto& row : rows) EXPECT_EQ(language_of(row.set), row.spoken) << row.why;
}

TEST(say, puts_the_values_where_each_language_has_them) {
  EXPECT_EQ(say(language::english, "{} left", "5 s"), "5 s left");
  EXPECT_EQ(say(language::chinese, "{} left", "5 秒"), "剩 5 秒");
  const wording both = worded("\n{}: {} of {} succeeded, {} failed, {} pending\n", "x", 1, 4, 2, 1);
  EXPECT_EQ(both.english, "\nx: 1 of 4 succeeded, 2 failed, 1 pending\n");
  EXPECT_EQ(both.chinese, "\nx：共 4 个请求，成功 1，失败 2，未完成 1\n") << "in another order";
}

TEST(say, a_value_may_be_a_wording) {
  const wording who = worded("process {}", 7);
  EXPECT_EQ(worded("another run, {}, is writing it; wait for it, or stop it first", who).chinese,
            "另一个运行（进程 7）正在写它；请等它结束，或先停掉它");
  EXPECT_EQ(say(language::english, "{}: {}", "a", who), "a: process 7");
}

TEST(chinese_texts, stand_there_once_and_fit_the_values_of_the_english) {
  std::set<std::string_view> seen;
  for (const auto& [english, chinese] : chinese_texts) {
    EXPECT_TRUE(seen.insert(english).second) << english;
    EXPECT_FALSE(chinese.empty()) << english;
    EXPECT_EQ(places_in(chinese), places_in(english)) << english;
    EXPECT_NE(chinese, english);
  }
}

TEST(chinese_texts, end_and_begin_as_the_english_does) {
  // Line breaks, indents and the column after a label must be the same in both languages.
  for (const auto& [english, chinese] : chinese_texts) {
    EXPECT_EQ(english.starts_with('\n'), chinese.starts_with('\n')) << english;
    EXPECT_EQ(english.ends_with('\n'), chinese.ends_with('\n')) << english;
    EXPECT_EQ(english.starts_with("  "), chinese.starts_with("  ")) << english;
    EXPECT_EQ(english.find("          ") == 1, chinese.find("          ") == 1) << english;
  }
}

TEST(chinese_texts, keep_flags_commands_and_addresses) {
  for (const auto& [english, chinese] : chinese_texts) {
    for (const std::string_view part : {"--base-url",
                                        "--budget",
                                        "--give-up-after",
                                        "--max-wait",
                                        "--keep-going",
                                        "--model",
                                        "--output-dir",
                                        "--changed redo",
                                        "--changed keep",
                                        "--api-key-file",
                                        "--simulate",
                                        "OPENAI_API_KEY",
                                        "HTTPS_PROXY",
                                        "SSL_CERT_FILE",
                                        "'sluice quota'",
                                        "'sluice models'",
                                        "https://relay.example/v1",
                                        "http://user:password@proxy.example:3128",
                                        "jq -c",
                                        "iconv -f",
                                        "Ctrl-C",
                                        "max_tokens",
                                        "--until",
                                        "--deadline",
                                        "--template"}) {
      EXPECT_EQ(english.find(part) == std::string_view::npos,
                chinese.find(part) == std::string_view::npos)
          << part << " in: " << english;
    }
  }
}

TEST(places_in, are_those_that_fmt_fills) {
  EXPECT_EQ(places_in("no place, {{a brace}}"), 0U);
  EXPECT_EQ(places_in("{} and {:.2f}"), 3U);
  EXPECT_EQ(places_in("{1} before {0}, and {1} again"), 3U);
  EXPECT_THROW(places_in("{"), const char*);
}

TEST(chinese_for, an_unknown_text_is_an_error) {
  EXPECT_THROW(chinese_for("nobody says this"), const char*);
}

}  // namespace
}  // namespace sluice
