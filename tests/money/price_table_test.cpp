#include <gmock/gmock.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "json/object.hpp"
#include "json/text.hpp"
#include "money/price_data.hpp"
#include "money/price_list.hpp"
#include "sluice/error.hpp"
#include "sluice/prices.hpp"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

constexpr endpoint chat = endpoint::chat_completions;

price_table table(const std::string& json) {
  price_table made;
  made.merge(json, "test");
  return made;
}

// The cost of a usage; "unknown" without a price.
std::string cost(const price_table& prices, const std::string& model, const token_usage& usage,
                 endpoint target = chat) {
  const auto price = prices.find(model, target);
  if (price == nullptr) return "unknown";
  const auto priced = price->cost(usage, {});
  return priced.cost ? priced.cost->to_string() : "no rate for " + priced.missing;
}

// The cost of a million prompt tokens.
std::string input(const price_table& prices, const std::string& model) {
  return cost(prices, model, {1'000'000, 0, 0, 0});
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

TEST(price_table, the_built_in_prices) {
  EXPECT_FALSE(json_fault(price_table_json()));
  EXPECT_TRUE(is_price_list(json_object(price_table_json())));
  const auto prices = price_table::built_in();
  const struct {
    const char* model;
    token_usage usage;
    const char* cost;
  } rows[] = {
      {"gpt-4-1106-preview", {200, 0, 0, 0}, "0.002"},
      {"gpt-4-1106-preview", {0, 0, 200, 0}, "0.006"},
      {"gpt-4-1106-preview", {200, 0, 200, 0}, "0.008"},
      {"gpt-4-1106-preview", {200, 200, 200, 0}, "0.008"},  // this model has no cache discount
      {"gpt-4o", {1000, 400, 10, 0}, "0.0021"},
      {"gpt-4o-mini", {1, 0, 0, 0}, "0.00000015"},
      {"gpt-4o-mini", {1, 1, 0, 0}, "0.000000075"},
      {"gpt-4o-mini", {0, 0, 0, 0}, "0"},
      {"gpt-4o", {0, 0, 7, 7}, "0.00007"},  // reasoning is a part of the completion
      {"gpt-5-nano", {1'000'000'000, 0, 1'000'000'000, 0}, "450"},
      {"gpt-unheard-of", {1, 0, 1, 0}, "unknown"},
      {"", {1, 0, 1, 0}, "unknown"},
  };
  for (const auto& row : rows) EXPECT_EQ(cost(prices, row.model, row.usage), row.cost) << row.model;
  EXPECT_THAT(std::string(price_table::built_in_date()),
              MatchesRegex("20[0-9][0-9]-[01][0-9]-[0-3][0-9]"));
}

TEST(price_table, a_name_stands_for_the_model_behind_its_provider_and_before_its_date) {
  const auto prices = table(R"({
      "gpt-4o": {"input": "2", "output": "10"},
      "gpt-4o-2024-05-13": {"input": "5", "output": "15"},
      "gpt-4o-mini": {"input": "0.1", "output": "0.6"},
      "openai/o3": {"input": "7", "output": "8"},
      "o3": {"input": "2", "output": "8"},
      "claude-3-5-sonnet-20240620": {"input": "3", "output": "15"},
      "claude-opus-4": {"input": "15", "output": "75"},
      "gemini@20240806": {"input": "4", "output": "5"},
      "retired": {"input": null, "output": null},
      "azure/gpt-4o": {"input": null, "output": null},
      "gpt-4o-2024-11-20": {"input": null, "output": null},
      "ft:gpt-4o:org:known:id": {"input": "3.75", "output": "15"}})");
  const struct {
    const char* name;
    const char* input;
    const char* why;
  } rows[] = {
      {"gpt-4o", "2", "its name"},
      {"openai/gpt-4o", "2", "behind a provider"},
      {"openrouter/openai/gpt-4o", "2", "behind two"},
      {"accounts/some/models/gpt-4o-mini", "0.1", "behind any"},
      {"/gpt-4o", "2", "behind nothing"},
      {"openrouter/openai/o3", "7", "the longest name that the table has"},
      {"gpt-4o-2024-08-06", "2", "a snapshot"},
      {"gpt-4o-20240806", "2", "a snapshot, written otherwise"},
      {"gpt-4o@20240806", "2", "a snapshot as Vertex AI writes it"},
      {"gpt-4o-2024-05-13", "5", "a snapshot with its own price"},
      {"openai/gpt-4o-2024-05-13", "5", "the date matters more than the provider"},
      {"openai/gpt-4o-2024-08-06", "2", "both"},
      {"claude-3-5-sonnet@20240620", "3", "another way to write the same snapshot"},
      {"vertex_ai/claude-3-5-sonnet@20240620", "3", "behind a provider"},
      {"vertex_ai/gemini@20240806", "4", "as written, where the table has it"},
      {"anthropic/claude-opus-4-20250514", "15", "a snapshot behind a provider"},
      {"gpt-4o-mini-2024-07-18", "0.1", "never the shorter name"},
      {"retired", "unknown", "null is unknown"},
      {"openai/retired", "unknown", "null is unknown"},
      {"retired-2024-08-06", "unknown", "null is unknown"},
      {"azure/gpt-4o", "unknown", "null hides the base"},
      {"proxy/azure/gpt-4o", "unknown", "null hides the base"},
      {"gpt-4o-2024-11-20", "unknown", "null hides the base"},
      {"openai/gpt-4o-2024-11-20", "unknown", "null hides the base"},
      {"ft:gpt-4o:org:known:id", "3.75", "a fine-tuned model that the table names"},
      {"openai/ft:gpt-4o:org:known:id", "3.75", "… behind a provider"},
      {"ft:gpt-4o:org::id", "unknown", "dearer than its base"},
      {"ft:gpt-4o-2024-08-06", "unknown", "dearer than its base"},
      {"ft:org/gpt-4o", "unknown", "a slash in it is none of a provider"},
      {"x/ft:org/gpt-4o", "unknown", "a slash in it is none of a provider"},
      {"ft:gpt-4o:org:known:id-20240806", "unknown", "known by its whole name alone"},
      {"gpt-4o-audio", "unknown", "a common beginning means nothing"},
      {"gpt-4", "unknown", "a common beginning means nothing"},
      {"gpt-4o-0613", "unknown", "four digits are no date"},
      {"gpt-4o-latest", "unknown", "another model, maybe"},
      {"gpt-4o:free", "unknown", "another price"},
      {"gpt-4o-20241306", "unknown", "no month"},
      {"gpt-4o-20240800", "unknown", "no day"},
      {"gpt-4o-19990806", "unknown", "no snapshot"},
      {"gpt-4o-2024-13-06", "unknown", "no month"},
      {"gpt-4o-2024_08_06", "unknown", "no date"},
      {"gpt-4o20240806", "unknown", "no mark before it"},
      {"gpt-4o@2024-08-06", "unknown", "no way to write it"},
      {"-20240806", "unknown", "nothing but a date"},
      {"-2024-08-06", "unknown", "nothing but a date"},
      {"openai/", "unknown", "no model"},
      {"GPT-4o", "unknown", "names are taken as they are written"},
  };
  for (const auto& row : rows)
    EXPECT_EQ(input(prices, row.name), row.input) << row.name << ": " << row.why;
  EXPECT_EQ(input(prices, std::string(300, '/') + "gpt-4o"), "unknown") << "no name is so long";
}

TEST(price_table, limits_are_those_of_the_entry_that_the_name_finds) {
  auto prices = price_table::built_in();
  EXPECT_EQ(prices.limits("gpt-4o-mini").input, 128000);
  EXPECT_EQ(prices.limits("gpt-4o-mini").output, 16384);
  EXPECT_EQ(prices.limits("openai/gpt-4o-mini-2024-07-18").input, 128000);
  EXPECT_EQ(prices.limits("text-embedding-3-small").output, std::nullopt);
  EXPECT_EQ(prices.limits("who").input, std::nullopt);
  prices.merge(
      R"({"gpt-4o-mini": {"input": null, "output": null, "max_output_tokens": 5},
          "odd": {"input": "1", "output": "1", "max_input_tokens": 0, "max_output_tokens": 2.5}})",
      "test");
  EXPECT_EQ(prices.limits("gpt-4o-mini").output, 5) << "known though it has no price";
  EXPECT_EQ(prices.limits("gpt-4o-mini").input, 128000) << "what is not given stays";
  EXPECT_EQ(prices.limits("odd").input, std::nullopt);
  EXPECT_EQ(prices.limits("odd").output, std::nullopt);
}

TEST(price_table, a_file_replaces_adds_and_takes_away) {
  auto prices = price_table::built_in();
  prices.merge(
      R"({"gpt-4o":{"input":"1","output":"2"},"mine":{"input":"0.5","cached_input":"0.1","output":"3"},)"
      R"("gpt-4":{"input":null,"output":null}})",
      "prices.json");
  EXPECT_EQ(cost(prices, "gpt-4o", {1'000'000, 1'000'000, 1'000'000, 0}), "3");
  EXPECT_EQ(cost(prices, "mine", {2'000'000, 1'000'000, 0, 0}), "0.6");
  EXPECT_EQ(input(prices, "gpt-4"), "unknown") << "never zero";
  EXPECT_EQ(input(prices, "openai/gpt-4"), "unknown");
  EXPECT_NE(input(prices, "gpt-4o-mini"), "unknown");
  prices.merge("\xEF\xBB\xBF{\"b\\u006fm\":{\"input\":\"1\",\"output\":\"2\"}}", "prices.json");
  EXPECT_EQ(input(prices, "bom"), "1") << "a byte order mark, and a name with an escape";
}

TEST(price_table, without_an_output_price_a_model_is_known_for_embeddings_alone) {
  const auto prices = table(R"({"e":{"input":"0.02","output":null}})");
  const token_usage usage{1'000'000, 0, 0, 0};
  EXPECT_EQ(cost(prices, "e", usage, endpoint::embeddings), "0.02");
  for (const endpoint target : {chat, endpoint::completions, endpoint::responses})
    EXPECT_EQ(cost(prices, "e", usage, target), "unknown") << to_string(target);
  ASSERT_NE(prices.listed("e"), nullptr);
  EXPECT_EQ(prices.listed("e")->standard.base[token_kind::output], std::nullopt);
  EXPECT_EQ(cost(table(R"({"e":{"input":"1","output":"0"}})"), "e", {0, 0, 5, 0}), "0")
      << "zero is a price where the table says so";
}

TEST(price_table, refuses_what_is_no_price_and_names_it) {
  for (const char* json :
       {"[]", "not json", "", "{", R"({"m":3})", R"({"m":{"input":0.1,"output":"1"}})",
        R"({"m":{"input":"-1","output":"1"}})", R"({"m":{"input":"1","output":"1e3"}})",
        R"({"m":{"input":"1","output":"0.0000000000001"}})", R"({"m":{"input":"1"}})",
        R"({"m":{"output":"1"}})", R"({"m":{"input":"1000001","output":"1"}})",
        R"({"success":true,"data":[{"model_name":"m"}]})"}) {
    price_table prices = table(R"({"m":{"input":"9","output":"9"}})");
    EXPECT_THAT(refusal([&] { prices.merge(json, "mine.json"); }), HasSubstr("mine.json")) << json;
    EXPECT_EQ(input(prices, "m"), "9") << "as it was";
  }
}

TEST(price_table, tells_names_that_are_nearly_the_same) {
  const auto prices = price_table::built_in();
  const auto nearest = [&](std::string_view model) {
    const auto names = prices.nearest(model);
    return names.empty() ? std::string() : names.front();
  };
  EXPECT_EQ(nearest("gpt4o"), "gpt-4o");
  EXPECT_EQ(nearest("openai/gpt-4o-mimi"), "gpt-4o-mini");
  EXPECT_EQ(nearest("claud-sonnet-4-5"), "claude-sonnet-4-5");
  EXPECT_EQ(nearest("my-own-model-of-the-house"), "");
  EXPECT_LE(prices.nearest("gpt-4").size(), 3U);
}

TEST(price_table, an_alias_costs_what_its_model_does) {
  const auto prices = price_table::built_in();
  EXPECT_EQ(input(prices, "gpt-5.6"), input(prices, "gpt-5.6-sol"));
  const auto own = table(R"({"format":2,"models":{
      "m":{"input":"1","output":"2","aliases":["n","o"]},"o":{"input":"9","output":"9"}}})");
  EXPECT_EQ(input(own, "n"), "1");
  EXPECT_EQ(input(own, "o"), "9") << "an entry of its own wins";
}

TEST(price_table, refuses_a_list_that_it_does_not_understand) {
  const auto list = [](const std::string& model) {
    return R"({"format":2,"models":{"m":)" + model + "}}";
  };
  const std::pair<const char*, const char*> rows[] = {
      {R"({"input":1})", "input"},
      {R"({"input":"1","tariff":"2"})", "tariff"},
      {R"({"input":"1","above":[{"input":"2"}]})", "above"},
      {R"({"input":"1","above":[{"input_tokens":5,"price":"2"}]})", "price"},
      {R"({"input":"1","above":[{"input_tokens":5},{"input_tokens":5}]})", "above"},
      {R"({"input":"1","tiers":{"turbo":{"times":"2"}}})", "turbo"},
      {R"({"input":"1","tiers":{"flex":{"times":"half"}}})", "times"},
      {R"({"input":"0.000000000001","tiers":{"flex":{"times":"0.5"}}})", "times"},
      {R"({"input":"1","hours":[{"utc":"4-5","input":"2"}]})", "utc"},
      {R"({"input":"1","hours":[{"utc":"05:00-04:00","input":"2"}]})", "utc"},
      {R"({"input":"1","hours":[{"utc":"01:00-04:00","days":"sun","input":"2"}]})", "days"},
      {R"({"input":"1","next":[{"input":"2"}]})", "from"},
      {R"({"input":"1","until":"soon"})", "until"},
      {R"([])", "of m"},
  };
  for (const auto& [model, named] : rows) {
    price_table prices = table(R"({"m":{"input":"9","output":"9"}})");
    EXPECT_THAT(refusal([&] { prices.merge(list(model), "mine.json"); }),
                testing::AllOf(HasSubstr("mine.json"), HasSubstr(named)))
        << model;
    EXPECT_EQ(input(prices, "m"), "9") << "as it was";
  }
}

TEST(price_table, a_multiplier_is_exact) {
  for (const auto& [factor, product] : {std::pair{"1", "10"},
                                        {"0.8", "8"},
                                        {"1.25", "12.5"},
                                        {"0.000001", "0.00001"},
                                        {"12", "120"},
                                        {"1000", "10000"},
                                        {"0.70", "7"}}) {
    auto prices = table(R"({"m":{"input":"10","output":"0"}})");
    prices.multiply(factor);
    EXPECT_EQ(input(prices, "m"), product) << factor;
  }
  for (const char* factor :
       {"0", "-1", "x", "", "1e3", "0.0", "1000000", "99999999999999999999999999999999999999999"}) {
    auto prices = table(R"({"m":{"input":"10","output":"0"}})");
    EXPECT_THAT(refusal([&] { prices.multiply(factor); }), HasSubstr("--price-multiplier"))
        << factor;
  }
  auto fine = table(R"({"m":{"input":"0.000000000001","output":"0"}})");
  EXPECT_THAT(refusal([&] { fine.multiply("0.3"); }), HasSubstr("decimals")) << "never rounded";
  auto partly = table(R"({"m":{"input":"1","output":null},"n":{"input":null,"output":"1"}})");
  partly.multiply("2");
  EXPECT_EQ(cost(partly, "m", {1'000'000, 0, 0, 0}, endpoint::embeddings), "2");
  EXPECT_EQ(input(partly, "n"), "unknown");
}

TEST(relay_prices, the_dearest_relay_bounds_what_a_model_costs) {
  relay_prices all(table(R"({"m":{"input":"1","cached_input":"0.5","output":"4"},
                             "e":{"input":"1","output":null}})"));
  all.set("own", table(R"({"m":{"input":"2","output":"3"},"e":{"input":"2","output":null}})"));
  const auto rates = all.dearest(std::nullopt, "openai/m", 1, chat, "auto");
  ASSERT_TRUE(rates);
  EXPECT_EQ((rates->prompt * 1'000'000).to_string(), "2");
  EXPECT_EQ((rates->completion * 1'000'000).to_string(), "4");
  EXPECT_FALSE(all.dearest(std::nullopt, "e", 1, chat, "auto"));
  EXPECT_TRUE(all.dearest(std::nullopt, "e", 1, endpoint::embeddings, "auto"));
  EXPECT_EQ((all.dearest("own", "m", 1, chat, "auto")->completion * 1'000'000).to_string(), "3");
  EXPECT_EQ((all.dearest("other", "m", 1, chat, "auto")->completion * 1'000'000).to_string(), "4");
  all.set("poor", price_table{});
  EXPECT_FALSE(all.dearest(std::nullopt, "m", 1, chat, "auto"))
      << "one of them has no price for it";
  EXPECT_FALSE(all.has(std::nullopt, "m", chat));
  EXPECT_TRUE(all.has("own", "m", chat));
}

}  // namespace
}  // namespace sluice
