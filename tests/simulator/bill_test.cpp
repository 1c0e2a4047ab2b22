#include "simulator/bill.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "money/price_data.hpp"

namespace sluice::simulator {
namespace {

TEST(Usd, WritesCanonicalDecimals) {
  EXPECT_EQ(usd{0}.to_string(), "0");
  EXPECT_EQ(usd{1}.to_string(), "0.000000000001");
  EXPECT_EQ(usd{500'000'000'000}.to_string(), "0.5");
  EXPECT_EQ(usd{12'000'000'000'000}.to_string(), "12");
  EXPECT_EQ(usd{-1'500'000'000'000}.to_string(), "-1.5");
}

TEST(Usd, ReadsPlainDecimalsOnly) {
  EXPECT_EQ(usd::parse("0.05"), usd{50'000'000'000});
  EXPECT_EQ(usd::parse("3"), usd{3'000'000'000'000});
  EXPECT_EQ(usd::parse("0.000000000001"), usd{1});
  for (const auto* bad : {"", ".", ".5", "1.", "1e3", "-1", "+1", " 1", "0.0000000000001", "1.2.3"})
    EXPECT_FALSE(usd::parse(bad)) << bad;
}

TEST(Bill, ChargesTheExampleOfThePriceList) {
  const price_list prices(price_table_json());
  const auto* gpt4 = prices.find("gpt-4-1106-preview");
  ASSERT_NE(gpt4, nullptr);
  EXPECT_EQ(cost_of({200, 0, 200, 0}, *gpt4).to_string(), "0.008");
}

TEST(Bill, CachedTokensCostTheirOwnPriceAndReasoningIsPartOfCompletion) {
  const price price{{10}, {3}, {100}};
  EXPECT_EQ(cost_of({7, 5, 2, 1}, price), usd{2 * 10 + 5 * 3 + 2 * 100});
}

TEST(Bill, WithoutACachedPriceTheInputPriceHolds) {
  const price_list prices(R"({"format":2,"models":{"m":{"input":"0.5","output":"1"}}})");
  EXPECT_EQ(cost_of({10, 10, 0, 0}, *prices.find("m")).to_string(), "0.000005");
}

TEST(Bill, AddsUpExactly) {
  const price_list prices(R"({"format":2,"models":{"m":{"input":"0.1","output":"0.000001"}}})");
  usd sum;
  for (int count = 0; count < 1'000'000; ++count) sum += cost_of({1, 0, 1, 0}, *prices.find("m"));
  EXPECT_EQ(sum.to_string(), "0.100001");
}

TEST(PriceList, RefusesPricesThatAreNotExact) {
  EXPECT_THROW(price_list("[]"), std::runtime_error);
  EXPECT_THROW(price_list("{}"), std::runtime_error);
  EXPECT_THROW(price_list(R"({"format":2,"models":{"m":{"input":"0.0000001","output":"1"}}})"),
               std::runtime_error);
  EXPECT_THROW(price_list(R"({"format":2,"models":{"m":{"input":0.5,"output":"1"}}})"),
               std::runtime_error);
}

TEST(price_list, a_price_depends_on_the_moment_and_on_the_length_of_the_prompt) {
  const price_list prices(price_table_json());
  const auto input = [&](const char* model, std::uint64_t prompt, std::int64_t when) {
    return prices.at(model, prompt, when)->input.units;  // 1e-12 USD
  };
  constexpr std::int64_t friday_ten = 1795773600;  // 2026-11-27T10:00:00Z
  EXPECT_EQ(input("deepseek-v4-pro", 1, friday_ten - 1), 1'320'000);
  EXPECT_EQ(input("deepseek-v4-pro", 1, friday_ten), 660'000);
  EXPECT_EQ(input("deepseek-v4-pro", 1, friday_ten - 1 + 86400), 660'000) << "a Saturday";
  EXPECT_EQ(input("gpt-5.5", 272000, friday_ten) * 2, input("gpt-5.5", 272001, friday_ten));
  EXPECT_EQ(input("gemini-4-argon", 1, friday_ten), 2'000'000);
  EXPECT_EQ(input("gemini-4-argon", 1, friday_ten + 5 * 86400), 4'000'000);
  EXPECT_FALSE(prices.at("gpt-unheard-of", 1, friday_ten));
}

}  // namespace
}  // namespace sluice::simulator
