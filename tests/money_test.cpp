#include "sluice/money.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <string>

#include "sluice/error.hpp"

namespace sluice {
namespace {

// Sums and products of decimals as schoolchildren do them, on digits: slow, and with nothing to get
// wrong about binary fractions. A number is its digits from the least one on, and stands for units
// of 1e-18.
using digits = std::string;

digits digits_of(const std::string& decimal) {
  const std::size_t point = decimal.find('.');
  const std::string whole = decimal.substr(0, point);
  std::string fraction = point == std::string::npos ? "" : decimal.substr(point + 1);
  fraction.resize(18, '0');
  std::string all = whole + fraction;
  std::reverse(all.begin(), all.end());
  return all;
}

digits plus(const digits& a, const digits& b) {
  digits sum;
  int carry = 0;
  for (std::size_t i = 0; i < std::max(a.size(), b.size()) || carry > 0; ++i) {
    const int column = (i < a.size() ? a[i] - '0' : 0) + (i < b.size() ? b[i] - '0' : 0) + carry;
    sum += static_cast<char>('0' + column % 10);
    carry = column / 10;
  }
  return sum;
}

digits times(const digits& a, std::int64_t n) {
  digits product = "0";
  digits shifted = a;
  for (; n > 0; n /= 10) {
    for (std::int64_t i = 0; i < n % 10; ++i) product = plus(product, shifted);
    shifted.insert(shifted.begin(), '0');
  }
  return product;
}

std::string text_of(digits value) {
  value.resize(std::max<std::size_t>(value.size(), 19), '0');
  std::string text(value.rbegin(), value.rend());
  text.insert(text.size() - 18, 1, '.');
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  const std::size_t first = std::min(text.find_first_not_of('0'), text.size());
  text.erase(0, first);
  if (text.empty() || text[0] == '.') text.insert(0, 1, '0');
  return text;
}

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
  };
  for (const auto& [text, exact] : rows) {
    const auto value = usd::nearest(text);
    ASSERT_TRUE(value) << text;
    EXPECT_EQ(value->to_string(), exact) << text;
  }
  for (const char* text : {"", "-1", "free", "1e", "1e99", "1e-9999", "NaN", "1.", ".e5", "1 "}) {
    EXPECT_FALSE(usd::nearest(text)) << text;
  }
}

TEST(price_table, the_built_in_prices) {
  const auto prices = price_table::built_in();
  const struct {
    const char* model;
    token_usage usage;
    const char* cost;
  } rows[] = {
      {"gpt-4-1106-preview", {200, 0, 200, 0}, "0.008"},
      {"gpt-4-1106-preview", {200, 200, 200, 0}, "0.008"},  // no discount there
      {"gpt-4o", {1000, 400, 10, 0}, "0.0021"},
      {"gpt-4o-mini", {1, 0, 0, 0}, "0.00000015"},
      {"gpt-4o-mini", {1, 1, 0, 0}, "0.000000075"},
      {"gpt-4o-mini", {0, 0, 0, 0}, "0"},
      {"gpt-4o", {0, 0, 7, 7}, "0.00007"},  // reasoning is a part of the completion
      {"gpt-5-nano", {1'000'000'000, 0, 1'000'000'000, 0}, "450"},
  };
  for (const auto& row : rows) {
    const token_price* price = prices.find(row.model);
    ASSERT_NE(price, nullptr) << row.model;
    EXPECT_EQ(price->cost(row.usage).to_string(), row.cost) << row.model;
  }
  EXPECT_EQ(prices.find("gpt-unheard-of"), nullptr);
  EXPECT_EQ(prices.find(""), nullptr);
}

TEST(token_price, agrees_with_sums_done_by_hand) {
  std::mt19937_64 random(2);
  const auto decimal = [&](std::uint64_t wholes, unsigned places) {
    std::string text = std::to_string(random() % wholes);
    if (places > 0) text += '.';
    for (unsigned i = 0; i < places; ++i) text += static_cast<char>('0' + random() % 10);
    return text;
  };
  digits expected_total = "0";
  usd total;
  for (int i = 0; i < 3000; ++i) {
    const std::string input = decimal(200, static_cast<unsigned>(random() % 13));
    const std::string cached = decimal(200, static_cast<unsigned>(random() % 13));
    const std::string output = decimal(1000, static_cast<unsigned>(random() % 13));
    price_table prices;
    prices.merge(R"({"m":{"input":")" + input + R"(","cached_input":")" + cached +
                     R"(","output":")" + output + R"("}})",
                 "test");
    token_usage usage;
    usage.prompt_tokens = static_cast<std::int64_t>(random() % 2'000'000);
    usage.cached_tokens =
        static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(usage.prompt_tokens + 1));
    usage.completion_tokens = static_cast<std::int64_t>(random() % 200'000);
    // Prices are per million: the products have six places more than they should.
    digits expected = plus(plus(times(digits_of(input), usage.prompt_tokens - usage.cached_tokens),
                                times(digits_of(cached), usage.cached_tokens)),
                           times(digits_of(output), usage.completion_tokens));
    expected.resize(std::max<std::size_t>(expected.size(), 6), '0');
    ASSERT_EQ(expected.substr(0, 6), "000000");
    expected.erase(0, 6);
    const usd cost = prices.find("m")->cost(usage);
    ASSERT_EQ(cost.to_string(), text_of(expected)) << input << ' ' << cached << ' ' << output;
    expected_total = plus(expected_total, expected);
    total += cost;
    ASSERT_EQ(usd::parse(cost.to_string()), cost);
  }
  EXPECT_EQ(total.to_string(), text_of(expected_total));
}

TEST(price_table, a_file_replaces_adds_and_takes_away) {
  auto prices = price_table::built_in();
  prices.merge(
      R"({"gpt-4o":{"input":"1","output":"2"},"mine":{"input":"0.5","cached_input":"0.1","output":"3"},)"
      R"("gpt-4":{"input":null,"output":null}})",
      "prices.json");
  EXPECT_EQ(prices.find("gpt-4o")->cost({1'000'000, 1'000'000, 1'000'000, 0}).to_string(), "3");
  EXPECT_EQ(prices.find("mine")->cost({2'000'000, 1'000'000, 0, 0}).to_string(), "0.6");
  EXPECT_EQ(prices.find("gpt-4"), nullptr) << "unknown is never zero";
  EXPECT_NE(prices.find("gpt-4o-mini"), nullptr);
}

TEST(price_table, an_embedding_s_completion_costs_nothing) {
  price_table prices;
  prices.merge(R"({"e":{"input":"0.02","output":null}})", "test");
  EXPECT_EQ(prices.find("e")->cost({1'000'000, 0, 0, 0}).to_string(), "0.02");
}

std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const fatal_error& thrown) {
    EXPECT_EQ(thrown.why(), fatal_error::kind::cannot_start);
    return thrown.what();
  }
  return {};
}

TEST(price_table, refuses_what_is_no_price_and_names_it) {
  for (const char* json :
       {"[]", "not json", R"({"m":3})", R"({"m":{"input":0.1,"output":"1"}})",
        R"({"m":{"input":"-1","output":"1"}})", R"({"m":{"input":"1","output":"1e3"}})",
        R"({"m":{"input":"1","output":"0.0000000000001"}})", R"({"m":{"input":"1"}})",
        R"({"m":{"output":"1"}})"}) {
    price_table prices;
    EXPECT_THAT(refusal([&] { prices.merge(json, "mine.json"); }), testing::HasSubstr("mine.json"))
        << json;
  }
}

TEST(price_table, a_multiplier_is_exact) {
  for (const auto& [factor, cost] : {std::pair{"1", "10"},
                                     {"0.8", "8"},
                                     {"1.25", "12.5"},
                                     {"0.000001", "0.00001"},
                                     {"12", "120"},
                                     {"0.70", "7"}}) {
    price_table prices;
    prices.merge(R"({"m":{"input":"10","output":"0"}})", "test");
    prices.multiply(factor);
    EXPECT_EQ(prices.find("m")->cost({1'000'000, 0, 0, 0}).to_string(), cost) << factor;
  }
  for (const char* factor : {"0", "-1", "x", "", "1e3", "0.0"}) {
    price_table prices;
    EXPECT_THAT(refusal([&] { prices.multiply(factor); }), testing::HasSubstr("--price-multiplier"))
        << factor;
  }
  price_table fine;
  fine.merge(R"({"m":{"input":"0.000000000001","output":"0"}})", "test");
  EXPECT_THAT(refusal([&] { fine.multiply("0.3"); }), testing::HasSubstr("decimals"))
      << "never rounded";
}

}  // namespace
}  // namespace sluice
