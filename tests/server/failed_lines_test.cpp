#include "server/failed_lines.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "files/file_system.hpp"
#include "support/temp_dir.hpp"

namespace sluice::server {
namespace {

std::string refusal(int line) {
  return R"({"id":"batch_req_1","custom_id":"r)" + std::to_string(line) +
         R"(","response":{"status_code":404,"request_id":"","body":{"error":{"message":"no such model","code":"model_not_found"}}},"error":null,"sluice":{"line":)" +
         std::to_string(line) + R"(,"model":"gpt-9"}})" + "\n";
}

struct failed_lines : testing::Test {
  std::unique_ptr<file> open(const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
    std::error_code error;
    auto opened = disk->open(path, file_system::open_as::read_only, error);
    EXPECT_FALSE(error) << error.message();
    return opened;
  }
  std::optional<failed_page> read(const std::string& content, std::uint64_t from,
                                  std::size_t limit) {
    std::error_code error;
    auto page = read_failed_lines(*open(content), from, limit, error);
    EXPECT_FALSE(error) << error.message();
    return page;
  }
  static std::vector<std::string> ids(const failed_page& page) {
    std::vector<std::string> found;
    for (const auto& one : page.lines) found.push_back(one.custom_id);
    return found;
  }

  test::temp_dir place;
  std::string path = place.path() + "/errors.jsonl";
  std::unique_ptr<file_system> disk = system_files();
};

TEST_F(failed_lines, a_refusal_of_the_relay) {
  const auto one = read_failed_line(refusal(7));
  EXPECT_EQ(one.line, 7U);
  EXPECT_EQ(one.custom_id, "r7");
  EXPECT_EQ(one.code, "404");
  EXPECT_EQ(one.message, "no such model");
  EXPECT_EQ(one.model, "gpt-9");
}

TEST_F(failed_lines, a_failure_without_an_answer) {
  const auto one = read_failed_line(
      R"({"custom_id":"a","response":null,"error":{"code":"timeout","message":"no answer"},"sluice":{"line":3}})");
  EXPECT_EQ(one.line, 3U);
  EXPECT_EQ(one.code, "timeout");
  EXPECT_EQ(one.message, "no answer");
  EXPECT_FALSE(one.model);
}

TEST_F(failed_lines, a_request_that_was_not_sent_has_no_line) {
  const auto one = read_failed_line(
      R"({"id":"x","custom_id":"a","response":null,"error":{"code":"batch_expired","message":"late"}})");
  EXPECT_FALSE(one.line);
  EXPECT_EQ(one.code, "batch_expired");
}

TEST_F(failed_lines, bodies_of_all_kinds_say_something) {
  const auto message = [](const std::string& body) {
    return read_failed_line(R"({"custom_id":"a","response":{"status_code":500,"body":)" + body +
                            R"(},"error":null})")
        .message;
  };
  EXPECT_EQ(message(R"({"message":"flat"})"), "flat");
  EXPECT_EQ(message(R"({"error":"words"})"), "words");
  EXPECT_EQ(message(R"("plain text")"), "plain text");
  EXPECT_EQ(message(R"([1,2])"), "[1,2]");
  const std::string long_one = message('"' + std::string(5000, 'x') + '"');
  EXPECT_LT(long_one.size(), 2100U);
  EXPECT_TRUE(long_one.ends_with("…"));
  EXPECT_EQ(read_failed_line("no JSON").custom_id, "");
}

TEST_F(failed_lines, pages_hold_every_line_once) {
  std::string content;
  std::vector<std::string> all;
  for (int i = 1; i <= 50; ++i) {
    content += refusal(i);
    all.push_back("r" + std::to_string(i));
  }
  std::vector<std::string> seen;
  std::uint64_t from = 0;
  for (bool more = true; more;) {
    const auto page = read(content, from, 7);
    ASSERT_TRUE(page);
    for (auto& id : ids(*page)) seen.push_back(id);
    from = page->next;
    more = page->has_more;
  }
  EXPECT_EQ(seen, all);
  EXPECT_EQ(from, content.size());
  const auto behind = read(content, from, 7);
  ASSERT_TRUE(behind);
  EXPECT_TRUE(behind->lines.empty());
  EXPECT_EQ(behind->next, from);
}

TEST_F(failed_lines, a_full_last_page_says_that_there_is_no_more) {
  const auto page = read(refusal(1) + refusal(2), 0, 2);
  ASSERT_TRUE(page);
  EXPECT_EQ(page->lines.size(), 2U);
  EXPECT_FALSE(page->has_more);
}

TEST_F(failed_lines, a_line_that_is_being_written_does_not_count_yet) {
  const std::string whole = refusal(1);
  const auto page = read(whole + refusal(2).substr(0, 20), 0, 10);
  ASSERT_TRUE(page);
  EXPECT_EQ(ids(*page), std::vector<std::string>{"r1"});
  EXPECT_EQ(page->next, whole.size());
  const auto later = read(whole + refusal(2), page->next, 10);
  ASSERT_TRUE(later);
  EXPECT_EQ(ids(*later), std::vector<std::string>{"r2"});
}

TEST_F(failed_lines, a_position_inside_a_line_is_refused) {
  EXPECT_FALSE(read(refusal(1), 5, 10));
  EXPECT_FALSE(read(refusal(1), 100'000, 10));
}

TEST_F(failed_lines, a_huge_line_is_passed_over) {
  const std::string huge =
      R"({"custom_id":"big","error":{"code":")" + std::string(3 << 20, 'x') + "\"}}\n";
  const auto page = read(huge + refusal(2), 0, 10);
  ASSERT_TRUE(page);
  ASSERT_EQ(page->lines.size(), 2U);
  EXPECT_EQ(page->lines[0].code, "line_too_long");
  EXPECT_EQ(page->lines[1].custom_id, "r2");
}

TEST_F(failed_lines, one_page_reads_only_a_part_of_a_large_file) {
  std::string content;
  const std::string large = R"({"custom_id":"big","error":{"code":"c","message":")" +
                            std::string(900'000, 'x') + "\"}}\n";
  for (int i = 0; i < 20; ++i) content += large;
  const auto page = read(content, 0, 100);
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->has_more);
  EXPECT_LT(page->next, content.size() / 2 + large.size());
  EXPECT_EQ(page->next % large.size(), 0U);
}

}  // namespace
}  // namespace sluice::server
