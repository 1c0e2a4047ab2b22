#include "cli/screen/screen.hpp"

#include <gmock/gmock.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

// While a test captures standard error, it is a file and not a terminal.
TEST(screen, away_from_a_terminal_there_is_no_live_line) {
  testing::internal::CaptureStderr();
  {
    screen shown;
    EXPECT_FALSE(shown.is_terminal());
    shown.live("1/2 done");
    shown.line("a line that stays");
    shown.clear_live();
  }
  standard_error().settle(std::chrono::minutes(1));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "a line that stays\n");
}

TEST(screen, the_log_goes_to_it_and_to_a_file) {
  const test::temp_dir dir;
  const auto before = spdlog::default_logger();
  testing::internal::CaptureStderr();
  {
    screen shown;
    start_log(shown, false, false, dir / "log");
    spdlog::debug("in detail");
    spdlog::warn("take care");
    spdlog::set_default_logger(before);
  }
  standard_error().settle(std::chrono::minutes(1));
  const std::string seen = testing::internal::GetCapturedStderr();
  EXPECT_EQ(seen, "sluice: take care\n");
  EXPECT_THAT(dir.read("log"), HasSubstr("take care"));
  EXPECT_THAT(dir.read("log"), HasSubstr("in detail"));
}

TEST(screen, quiet_and_verbose) {
  const auto before = spdlog::default_logger();
  for (const auto& [verbose, quiet, detail, care] : {std::tuple{true, false, true, true},
                                                     {false, false, false, true},
                                                     {false, true, false, false}}) {
    testing::internal::CaptureStderr();
    screen shown;
    start_log(shown, verbose, quiet, "");
    spdlog::debug("in detail");
    spdlog::warn("take care");
    spdlog::error("broken");
    spdlog::set_default_logger(before);
    standard_error().settle(std::chrono::minutes(1));
    const std::string seen = testing::internal::GetCapturedStderr();
    EXPECT_EQ(seen.find("in detail") != std::string::npos, detail);
    EXPECT_EQ(seen.find("take care") != std::string::npos, care);
    EXPECT_THAT(seen, HasSubstr("broken"));
  }
}

TEST(screen, the_heading_stands_first_wherever_it_is_shown) {
  const test::temp_dir dir;
  const auto before = spdlog::default_logger();
  for (const bool quiet : {false, true}) {
    testing::internal::CaptureStderr();
    {
      screen shown;
      start_log(shown, false, quiet, dir / "log");
      shown.heading("relay https://a.example");
      spdlog::error("broken");
      shown.show_heading();
      spdlog::set_default_logger(before);
    }
    standard_error().settle(std::chrono::minutes(1));
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              quiet ? "sluice: broken\n" : "sluice: relay https://a.example\nsluice: broken\n");
  }
  EXPECT_EQ(dir.lines("log").size(), 4U) << "the log has it either way";
  EXPECT_THAT(dir.lines("log").at(0), HasSubstr("relay https://a.example"));
}

TEST(screen, a_heading_is_left_out_where_nothing_follows) {
  testing::internal::CaptureStderr();
  {
    screen shown;
    shown.heading("relay https://a.example");
  }
  standard_error().line("sluice: refused");
  standard_error().settle(std::chrono::minutes(1));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "sluice: refused\n");
}

// The output of a command if its log file is full.
std::string shown_with_full_log(bool quiet, bool fails) {
  const auto before = spdlog::default_logger();
  testing::internal::CaptureStderr();
  try {
    screen shown;
    start_log(shown, false, quiet, "/dev/full");
    shown.log_line("start");
    spdlog::info("in the middle");
    spdlog::set_default_logger(before);
    if (fails) throw std::runtime_error("lost");
  } catch (const std::runtime_error&) {
    standard_error().line("sluice: lost");
  }
  standard_error().settle(std::chrono::minutes(1));
  return testing::internal::GetCapturedStderr();
}

TEST(screen, a_gap_in_the_log_ends_nothing_and_is_reported_once) {
  const std::string gap =
      "sluice: --log-file /dev/full: cannot be written (No space left on device); the log has a "
      "gap\n";
  EXPECT_EQ(shown_with_full_log(false, false), gap + "sluice: in the middle\n");
  EXPECT_EQ(shown_with_full_log(true, false), gap);
  EXPECT_EQ(shown_with_full_log(true, true), "sluice: lost\n") << "one line says what happened";
}

TEST(screen, a_log_file_that_cannot_be_written_is_refused) {
  screen shown;
  EXPECT_THROW(start_log(shown, false, false, "/proc/none/log"), fatal_error);
}

}  // namespace
}  // namespace sluice::cli
