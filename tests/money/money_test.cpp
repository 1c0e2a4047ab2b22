#include "sluice/money.hpp"

#include <gmock/gmock.h>

#include <utility>

namespace sluice {
namespace {

TEST(usd, is_written_canonically) {
  const std::pair<const char*, const char*> rows[] = {
      {"0", "0"},
      {"0.000", "0"},
      {"000", "0"},
      {"0.008", "0.008"},
      {"0.0080", "0.008"},
      {"10", "10"},
      {"100.50", "100.5"},
      {"007.25", "7.25"},
      {".5", "0.5"},
      {"0.000000000000000001", "0.000000000000000001"},
      {"1234567890123456789.123456789", "1234567890123456789.123456789"},
      {"1.0000000000000000000000", "1"},
  };
  for (const auto& [given, canonical] : rows) {
    const auto value = usd::parse(given);
    ASSERT_TRUE(value) << given;
    EXPECT_EQ(value->to_string(), canonical) << given;
  }
}

TEST(usd, takes_nothing_but_digits_and_a_point) {
  for (const char* text :
       {"", ".", "1.", "-1", "+1", "1e3", "1,5", " 1", "1 ", "0x1", "1.2.3", "NaN", "inf",
        "0.0000000000000000001", "1234567890123456789012345678901"}) {
    EXPECT_FALSE(usd::parse(text)) << "'" << text << "'";
  }
}

TEST(usd, shows_what_is_below_nothing) {
  EXPECT_EQ(usd::from_units(-8'000'000'000'000'000).to_string(), "-0.008");
}

TEST(usd, a_tenth_ten_times_is_one) {
  usd sum;
  for (int i = 0; i < 10; ++i) sum += *usd::parse("0.1");
  EXPECT_EQ(sum, *usd::parse("1"));
  EXPECT_EQ((*usd::parse("0.1") + *usd::parse("0.2")).to_string(), "0.3");
}

TEST(usd, nearest_takes_what_others_counted_in_binary) {
  const std::pair<const char*, const char*> rows[] = {
      {"0", "0"},
      {"0.000142", "0.000142"},
      {"1.4e-05", "0.000014"},
      {"5E-1", "0.5"},
      {"1e2", "100"},
      {"1.25e+1", "12.5"},
      {"0.00012345678901234567", "0.000123456789012346"},
      {"0.00030000000000000003", "0.0003"},
      {"0.1000000000000000055511151231257827", "0.100000000000000006"},
      {"4e-19", "0"},
      {"5e-19", "0.000000000000000001"},
      {"9.9999e-999", "0"},
      {"0.000000000000000000000000000000004e33", "4"},
      {"0.1234567890123456789012345678949e15", "123456789012345.6789012345678949"},
  };
  for (const auto& [text, exact] : rows) {
    const auto value = usd::nearest(text);
    ASSERT_TRUE(value) << text;
    EXPECT_EQ(value->to_string(), exact) << text;
  }
  for (const char* text : {"", "-1", "free", "1e", "1e99", "1e-9999", "NaN", "1.", ".e5", "1 ",
                           "1e+-5", "1e++5", "1e5.0", "0x1p3"}) {
    EXPECT_FALSE(usd::nearest(text)) << text;
  }
}

}  // namespace
}  // namespace sluice
