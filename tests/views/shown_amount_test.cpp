#include "views/shown_amount.hpp"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

TEST(shown_amount, groups_thousands_and_keeps_every_digit) {
  const struct {
    const char* amount;
    const char* shown;
  } rows[] = {
      {"0", "$0.00"},          {"25902", "$25,902.00"}, {"0.0156264", "$0.0156264"},
      {"999.5", "$999.50"},    {"1000", "$1,000.00"},   {"1234567.891", "$1,234,567.891"},
      {"123.456", "$123.456"},
  };
  for (const auto& row : rows) EXPECT_EQ(shown_amount(*usd::parse(row.amount)), row.shown);
  EXPECT_EQ(shown_amount(usd::from_units(-usd::parse("1234.5")->count())), "-$1,234.50");
}

}  // namespace
}  // namespace sluice::cli
