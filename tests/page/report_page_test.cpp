#include "page/report_page.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "sluice/error.hpp"

namespace sluice {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* hostile =
    "</script><script>alert(1)</script><!--<script> ]]> {{script}} & \u2028\u2029";

std::size_t times(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

std::string document_in(const std::string& page) {
  static const std::string open = R"(<script type="application/json" id="document">)";
  const auto begin = page.find(open) + open.size();
  return page.substr(begin, page.find("</script>", begin) - begin);
}

ordered_json benchmark(const std::string& name) {
  return {
      {"target", "https://relay.example/v1"}, {"model", name}, {"loads", ordered_json::array()}};
}

TEST(json_in_html, nothing_in_it_ends_its_element) {
  const ordered_json document = {{"model", hostile}, {hostile, 1.5}};
  const std::string text = json_in_html(document);
  for (const char* breaker : {"<", ">", "&", "\u2028", "\u2029"}) {
    EXPECT_THAT(text, Not(HasSubstr(breaker)));
  }
  EXPECT_EQ(ordered_json::parse(text), document);
}

TEST(json_in_html, what_is_not_utf_8_becomes_a_replacement) {
  EXPECT_EQ(json_in_html({{"a", "x\xff<"}}), "{\"a\":\"x\ufffd\\u003c\"}");
}

class whole_page : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_report_page()) GTEST_SKIP() << "built without uPlot";
  }
};

TEST_F(whole_page, holds_the_document_as_it_is) {
  const auto document = benchmark("gpt-4o-mini");
  EXPECT_EQ(ordered_json::parse(document_in(report_page(document))), document);
}

TEST_F(whole_page, words_of_others_are_data_alone) {
  const std::string plain = report_page(benchmark("m"));
  const std::string page = report_page(benchmark(hostile));
  for (const char* part : {"<script", "</script", "<!--"}) {
    EXPECT_EQ(times(page, part), times(plain, part)) << part;
  }
  EXPECT_EQ(ordered_json::parse(document_in(page))["model"], hostile);
}

TEST_F(whole_page, its_own_parts_end_no_element) {
  const std::string page = report_page(benchmark("m"));
  EXPECT_THAT(page, StartsWith("<!DOCTYPE html>"));
  EXPECT_EQ(times(page, "<script"), 3U);
  EXPECT_EQ(times(page, "</script"), 3U);
  EXPECT_EQ(times(page, "<style"), 2U);
  EXPECT_EQ(times(page, "</style"), 2U);
  EXPECT_THAT(page, Not(HasSubstr("{{")));
}

TEST_F(whole_page, needs_nothing_else) {
  const std::string page = report_page(benchmark("m"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  static const std::regex fetched(R"re((src|href)\s*=\s*"[^#"]|url\(|@import|fetch\()re");
  EXPECT_FALSE(std::regex_search(page, fetched));
}

TEST_F(whole_page, scripts_are_allowed_by_their_hashes) {
  static const std::regex policy(
      "script-src 'sha256-[A-Za-z0-9+/]{43}=' 'sha256-[A-Za-z0-9+/]{43}=';");
  EXPECT_TRUE(std::regex_search(report_page(benchmark("m")), policy));
}

TEST_F(whole_page, the_notice_of_uplot_stays) {
  const std::string page = report_page(benchmark("m"));
  EXPECT_THAT(page, HasSubstr("Copyright (c) 2022 Leon Sorokin"));
  EXPECT_THAT(page, HasSubstr("THE SOFTWARE IS PROVIDED \"AS IS\""));
}

TEST(page_of_a_bare_build, says_why_there_is_none) {
  if (has_report_page()) GTEST_SKIP() << "built with uPlot";
  EXPECT_THROW(report_page(benchmark("m")), fatal_error);
}

}  // namespace
}  // namespace sluice
