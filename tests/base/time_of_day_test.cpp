#include "base/time_of_day.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <string>

namespace sluice {
namespace {

// Sets the time zone of the process for the lifetime of this object.
class time_zone {
 public:
  explicit time_zone(const char* name) {
    if (const char* before = std::getenv("TZ")) before_ = before;
    ::setenv("TZ", name, 1);
    ::tzset();
  }
  time_zone(const time_zone&) = delete;
  time_zone& operator=(const time_zone&) = delete;
  ~time_zone() {
    if (before_.empty()) {
      ::unsetenv("TZ");
    } else {
      ::setenv("TZ", before_.c_str(), 1);
    }
    ::tzset();
  }

 private:
  std::string before_;
};

std::string utc(std::int64_t moment) {
  const auto seconds = static_cast<std::time_t>(moment);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%F %T", &parts)};
}

std::int64_t unix_time(const char* text) {
  std::tm parts{};
  ::strptime(text, "%Y-%m-%d %H:%M:%S", &parts);
  return ::timegm(&parts);
}

TEST(time_of_day, is_read_as_people_write_it) {
  for (const char* text : {"06:05", "6:05"}) {
    const auto read = read_time_of_day(text);
    ASSERT_TRUE(read) << text;
    EXPECT_EQ(read->hour, 6);
    EXPECT_EQ(read->minute, 5);
  }
  EXPECT_TRUE(read_time_of_day("00:00"));
  EXPECT_TRUE(read_time_of_day("23:59"));
  for (const char* text : {"", "6", "06", "6am", "24:00", "06:60", "06:5", "006:05", "06:05:00",
                           "-6:05", ":05", "06:", " 6:05", "6:-5", "06.05"}) {
    EXPECT_FALSE(read_time_of_day(text)) << text;
  }
}

// Central European rules that need no time zone table of the system: UTC+1, in summer UTC+2, from
// the last Sunday of March to the last Sunday of October.
constexpr const char* berlin = "CET-1CEST,M3.5.0,M10.5.0/3";

TEST(time_of_day, the_next_time_is_after_now_in_the_local_zone) {
  const time_zone zone(berlin);
  struct row {
    const char* what;
    time_of_day wanted;
    const char* now;
    const char* next;
  };
  const row rows[] = {
      {"later today", {6, 0}, "2026-01-10 01:00:00", "2026-01-10 05:00:00"},
      {"over midnight", {6, 0}, "2026-01-10 22:00:00", "2026-01-11 05:00:00"},
      {"this very minute is over", {6, 0}, "2026-01-10 05:00:00", "2026-01-11 05:00:00"},
      {"a second before", {6, 0}, "2026-01-10 04:59:59", "2026-01-10 05:00:00"},
      {"in summer", {6, 0}, "2026-07-10 01:00:00", "2026-07-10 04:00:00"},
      {"the night of 23 hours", {6, 0}, "2026-03-28 22:00:00", "2026-03-29 04:00:00"},
      {"the night of 25 hours", {6, 0}, "2026-10-24 21:00:00", "2026-10-25 05:00:00"},
      {"a time that is left out", {2, 30}, "2026-03-28 22:00:00", "2026-03-29 01:00:00"},
      {"the moment of the change", {3, 0}, "2026-03-28 22:00:00", "2026-03-29 01:00:00"},
      {"a time that comes twice", {2, 30}, "2026-10-24 22:00:00", "2026-10-25 00:30:00"},
      {"its second time", {2, 30}, "2026-10-25 00:30:00", "2026-10-25 01:30:00"},
      {"midnight", {0, 0}, "2026-01-10 12:00:00", "2026-01-10 23:00:00"},
  };
  for (const auto& [what, wanted, now, next] : rows) {
    EXPECT_EQ(utc(next_time(wanted, unix_time(now))), next) << what;
  }
}

TEST(time_of_day, zones_of_half_hours_and_a_change_at_midnight) {
  {
    const time_zone zone("IST-5:30");
    EXPECT_EQ(utc(next_time({6, 0}, unix_time("2026-01-10 00:00:00"))), "2026-01-10 00:30:00");
  }
  {
    const time_zone zone("LMT-0:00:20");
    EXPECT_EQ(utc(next_time({6, 0}, unix_time("2026-01-10 00:00:00"))), "2026-01-10 05:59:40");
  }
  {
    const time_zone zone("XXX3YYY,M10.3.0/0,M2.3.0/0");  // from 00:00 to 01:00 on 18 October 2026
    EXPECT_EQ(utc(next_time({0, 30}, unix_time("2026-10-18 01:00:00"))), "2026-10-18 03:00:00");
  }
}

}  // namespace
}  // namespace sluice
