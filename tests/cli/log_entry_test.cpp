#include "cli/log_entry.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace sluice::cli {
namespace {

TEST(log_entry, is_an_object_with_time_level_run_and_text) {
  ::setenv("TZ", "IST-5:30", 1);
  ::tzset();
  const log_time time{std::chrono::milliseconds{1'700'000'000'042}};
  const std::string line = log_entry("a \"quoted\"\n\x1b[31m text", "warning", time);
  ::unsetenv("TZ");
  ::tzset();
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(line.find('\x1b'), std::string::npos);
  const auto entry = nlohmann::ordered_json::parse(line);
  EXPECT_EQ(entry["time"], "2023-11-15T03:43:20.042+05:30");
  EXPECT_EQ(entry["level"], "warning");
  EXPECT_EQ(entry["run"], run_id());
  EXPECT_EQ(entry["text"], "a \"quoted\"\n\x1b[31m text");
  EXPECT_EQ(entry.size(), 4U);
  EXPECT_TRUE(begins_as_json_log(line));
}

TEST(log_entry, the_run_has_one_name) {
  EXPECT_EQ(run_id().size(), 8U);
  EXPECT_EQ(run_id(), run_id());
}

TEST(log_entry, other_json_is_no_log) {
  for (const char* text : {"", "{}", R"({"time":"2026-01-31"})", R"({"custom_id":"a"})",
                           R"({"time":"2026-01-31T23:59:59.123+00:00","text":"x"})",
                           R"({"time":"xxxx-01-31T23:59:59.123+00:00","level":"info"})"}) {
    EXPECT_FALSE(begins_as_json_log(text)) << text;
  }
}

}  // namespace
}  // namespace sluice::cli
