// Compares money with rational numbers of any size: from the text to the sum, no digit may be lost.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/multiprecision/cpp_int.hpp>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "money/relay_pricing.hpp"
#include "sluice/error.hpp"
#include "sluice/prices.hpp"

namespace sluice {
namespace {

using boost::multiprecision::cpp_int;
using rational = boost::multiprecision::cpp_rational;

constexpr int cases = 4000;

rational power_of_ten(int exponent) {
  cpp_int power = 1;
  for (int i = 0; i < std::abs(exponent); ++i) power *= 10;
  return exponent < 0 ? rational(1, power) : rational(power);
}

cpp_int floor_of(const rational& value) {
  return numerator(value) / denominator(value);  // only for values that are not negative
}

cpp_int ceiling_of(const rational& value) {
  return (numerator(value) + denominator(value) - 1) / denominator(value);
}

bool is_whole(const rational& value) {
  return denominator(value) == 1;
}

const rational one_dollar = power_of_ten(18);
const cpp_int too_many = cpp_int(1) << 120;

cpp_int units_of(usd amount) {
  return cpp_int(amount.count());
}

// A number and its text, made together.
struct number {
  std::string text;
  rational value;
};

class number_maker {
 public:
  explicit number_maker(std::uint64_t seed) : random_(seed) {}

  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least +
           static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(most - least + 1));
  }

  /// A number with `whole` digits before the point and `places` digits after it. Zeros are more
  /// frequent than by pure chance.
  number decimal(std::int64_t whole, std::int64_t places) {
    std::string digits;
    const bool sparse = between(0, 2) == 0;
    for (std::int64_t i = 0; i < whole + places; ++i)
      digits += static_cast<char>('0' + (sparse && between(0, 4) > 0 ? 0 : between(0, 9)));
    number made;
    made.value = rational(from_digits(digits)) * power_of_ten(static_cast<int>(-places));
    made.text = digits;
    if (places > 0) made.text.insert(static_cast<std::size_t>(whole), 1, '.');
    return made;
  }

  /// A number in the format of JSON, sometimes with an exponent.
  number json(std::int64_t whole, std::int64_t places, int least_exponent, int most_exponent) {
    number made = decimal(std::max<std::int64_t>(whole, 1), places);
    while (made.text.size() > 1 && made.text[0] == '0' && made.text[1] != '.')
      made.text.erase(0, 1);
    if (between(0, 2) == 0) return made;
    const auto exponent = static_cast<int>(between(least_exponent, most_exponent));
    made.value *= power_of_ten(exponent);
    made.text += fmt::format("{}{}{:02}", between(0, 1) == 0 ? 'e' : 'E',
                             exponent < 0         ? "-"
                             : between(0, 1) == 0 ? "+"
                                                  : "",
                             std::abs(exponent));
    return made;
  }

  /// A ratio in a format that relays use: short, or a sum of binary fractions.
  number ratio() {
    if (between(0, 1) == 0) return json(between(1, 2), between(0, 6), -2, 1);
    // A product of binary fractions, as services print it. The intended value has one decimal.
    const std::int64_t tenths = between(0, 500);
    const std::int64_t times = between(1, 9);
    number made;
    made.text = fmt::format("{}", static_cast<double>(tenths) * 0.1 * static_cast<double>(times));
    made.value = rational(tenths * times) / 10;
    return made;
  }

  std::mt19937_64& random() { return random_; }

 private:
  static cpp_int from_digits(const std::string& digits) {
    // Digit by digit, because a constructor reads a leading zero as octal.
    cpp_int value = 0;
    for (const char c : digits) value = value * 10 + (c - '0');
    return value;
  }

  std::mt19937_64 random_;
};

// The canonical text of an amount that is a whole number of 1e-18 USD.
std::string text_of(const cpp_int& units) {
  std::string digits = units.str();
  if (digits.size() < 19) digits.insert(0, 19 - digits.size(), '0');
  digits.insert(digits.size() - 18, 1, '.');
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.back() == '.') digits.pop_back();
  return digits;
}

TEST(money_property, parse_takes_what_is_exact_and_nothing_else) {
  number_maker make(1);
  int taken = 0;
  for (int i = 0; i < cases; ++i) {
    const number given = make.decimal(make.between(1, 20), make.between(0, 22));
    const rational units = given.value * one_dollar;
    const auto parsed = usd::parse(given.text);
    ASSERT_EQ(parsed.has_value(), is_whole(units) && floor_of(units) < too_many) << given.text;
    if (!parsed) continue;
    ++taken;
    ASSERT_EQ(units_of(*parsed), floor_of(units)) << given.text;
    ASSERT_EQ(parsed->to_string(), text_of(floor_of(units))) << given.text;
    ASSERT_EQ(usd::parse(parsed->to_string()), parsed) << given.text;
  }
  EXPECT_GT(taken, cases / 4);
  EXPECT_LT(taken, cases);
}

TEST(money_property, nearest_rounds_half_up_however_the_number_is_written) {
  number_maker make(2);
  for (int i = 0; i < cases; ++i) {
    const number given = make.json(make.between(1, 25), make.between(0, 60), -45, 45);
    const cpp_int units = floor_of(given.value * one_dollar + rational(1, 2));
    const auto told = usd::nearest(given.text);
    ASSERT_EQ(told.has_value(), units < too_many) << given.text;
    if (!told) continue;
    ASSERT_EQ(units_of(*told), units) << given.text;
  }
}

TEST(money_property, costs_and_their_sums_are_exact) {
  number_maker make(3);
  cpp_int expected_total = 0;
  std::vector<usd> costs;
  for (int i = 0; i < cases; ++i) {
    const auto price = [&] { return make.decimal(make.between(1, 5), make.between(0, 12)); };
    const number input = price(), cached = price(), output = price();
    price_table prices;
    prices.merge(fmt::format(R"({{"m":{{"input":"{}","cached_input":"{}","output":"{}"}}}})",
                             input.text, cached.text, output.text),
                 "test");
    token_usage usage;
    constexpr std::int64_t most = std::int64_t{1} << 53;  // the largest token count that is read
    const std::int64_t size = std::int64_t{1} << make.between(0, 53);
    usage.prompt_tokens = make.between(0, std::min(size, most));
    usage.cached_tokens = make.between(0, usage.prompt_tokens);
    usage.completion_tokens = make.between(0, std::min(size, most));
    const rational expected =
        (input.value * (usage.prompt_tokens - usage.cached_tokens) +
         cached.value * usage.cached_tokens + output.value * usage.completion_tokens) *
        power_of_ten(-6) * one_dollar;
    ASSERT_TRUE(is_whole(expected));
    const usd cost = *prices.find("m", endpoint::chat_completions)->cost(usage, {}).cost;
    ASSERT_EQ(units_of(cost), floor_of(expected))
        << input.text << ' ' << cached.text << ' ' << output.text;
    expected_total += floor_of(expected);
    costs.push_back(cost);
  }
  for (int i = 0; i < 5; ++i) {
    std::shuffle(costs.begin(), costs.end(), make.random());
    usd total;
    for (const usd cost : costs) total += cost;
    EXPECT_EQ(units_of(total), expected_total) << "in whatever order";
  }
}

TEST(money_property, a_multiplier_gives_the_product_or_a_refusal) {
  number_maker make(4);
  int refused = 0;
  for (int i = 0; i < cases; ++i) {
    const number price = make.decimal(make.between(1, 3), make.between(0, 12));
    const number factor = make.decimal(1, make.between(0, 8));
    if (factor.value == 0) continue;
    price_table prices;
    prices.merge(fmt::format(R"({{"m":{{"input":"{0}","output":"{0}"}}}})", price.text), "test");
    const rational units = price.value * factor.value * power_of_ten(-6) * one_dollar;
    try {
      prices.multiply(factor.text);
    } catch (const fatal_error&) {
      ++refused;
      ASSERT_FALSE(is_whole(units)) << price.text << " * " << factor.text;
      continue;
    }
    const token_rates& product = prices.find("m", endpoint::chat_completions)->standard.base;
    ASSERT_TRUE(is_whole(units)) << price.text << " * " << factor.text;
    ASSERT_EQ(units_of(*product[token_kind::input]), floor_of(units))
        << price.text << " * " << factor.text;
    ASSERT_EQ(product[token_kind::output], product[token_kind::input]);
  }
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, cases / 2);
}

TEST(money_property, litellm_s_prices_are_rounded_up_where_they_are_too_fine) {
  number_maker make(5);
  for (int i = 0; i < cases; ++i) {
    const auto price = [&] { return make.json(1, make.between(0, 17), -14, -1); };
    const number input = price(), cached = price(), output = price();
    const char* quote = make.between(0, 3) == 0 ? "\"" : "";
    const std::string document =
        fmt::format(R"({{"m":{{"input_cost_per_token":{3}{0}{3},"output_cost_per_token":{2},)"
                    R"("cache_read_input_token_cost":{1},"mode":"chat"}}}})",
                    input.text, cached.text, output.text, quote);
    const bool sane = std::max({input.value, cached.value, output.value}) <= 1;
    price_table prices;
    try {
      prices.merge(document, "test");
    } catch (const fatal_error&) {
      ASSERT_FALSE(sane) << document;
      continue;
    }
    ASSERT_TRUE(sane) << document;
    const model_prices* told = prices.find("m", endpoint::chat_completions);
    ASSERT_EQ(told != nullptr, input.value > 0 || output.value > 0) << document;
    if (told == nullptr) continue;
    const token_rates& rates = told->standard.base;
    ASSERT_EQ(units_of(*rates[token_kind::input]), ceiling_of(input.value * one_dollar))
        << document;
    ASSERT_EQ(units_of(*rates[token_kind::cached_input]), ceiling_of(cached.value * one_dollar))
        << document;
    ASSERT_EQ(units_of(*rates[token_kind::output]), ceiling_of(output.value * one_dollar))
        << document;
  }
}

TEST(money_property, a_relay_s_ratios_are_multiplied_exactly_and_rounded_up_once) {
  number_maker make(6);
  for (int i = 0; i < cases; ++i) {
    const number model = make.ratio(), group = make.ratio(), completion = make.ratio(),
                 cache = make.ratio();
    const std::string document = fmt::format(
        R"({{"success":true,"data":[{{"model_name":"m","quota_type":0,"model_ratio":{},)"
        R"("completion_ratio":{},"cache_ratio":{}}}],"group_ratio":{{"g":{}}}}})",
        model.text, completion.text, cache.text, group.text);
    const std::uint64_t quota = make.between(0, 3) == 0
                                    ? static_cast<std::uint64_t>(make.between(100'000, 1'000'000))
                                    : 500'000;
    const auto told = read_relay_pricing(document, {"g", quota});
    ASSERT_TRUE(told) << document << ": " << told.error();
    const model_prices* price = told->prices.find("m", endpoint::chat_completions);
    const rational input = model.value * group.value / quota;
    const rational dearest = input * std::max({rational(1), completion.value, cache.value});
    ASSERT_EQ(price != nullptr, dearest <= 1) << document;
    if (price == nullptr) continue;
    const token_rates& rates = price->standard.base;
    ASSERT_EQ(units_of(*rates[token_kind::input]), ceiling_of(input * one_dollar)) << document;
    ASSERT_EQ(units_of(*rates[token_kind::cached_input]),
              ceiling_of(input * cache.value * one_dollar))
        << document;
    ASSERT_EQ(units_of(*rates[token_kind::output]),
              ceiling_of(input * completion.value * one_dollar))
        << document;
  }
}

}  // namespace
}  // namespace sluice
