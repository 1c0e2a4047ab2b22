#include "base/read_duration.hpp"

#include <gtest/gtest.h>

#include <utility>

namespace sluice {
namespace {

using namespace std::chrono_literals;

TEST(read_duration, takes_a_number_with_a_unit) {
  const std::pair<const char*, std::chrono::nanoseconds> rows[] = {
      {"250ms", 250ms},  {"10s", 10s}, {"2m", 2min}, {"1h", 1h}, {"1.5s", 1500ms},
      {"0.25ms", 250us}, {"0s", 0s},   {"0ms", 0s},  {"0", 0s}};
  for (const auto& [text, value] : rows) EXPECT_EQ(read_duration(text), value) << text;
}

TEST(read_duration, refuses_every_other_text) {
  for (const char* text : {"", "10", "s", "ms", "-1s", "-0.1s", "1 s", " 1s", "1d", "1sec", "s1",
                           "nans", "infs", "1e99h", "1e2s", "1s2m", "0x1s", "00", "300000h"}) {
    EXPECT_FALSE(read_duration(text)) << text;
  }
}

}  // namespace
}  // namespace sluice
