#include "money/litellm_prices.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sluice/error.hpp"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;

price_table laid_over(price_table prices, const std::string& json) {
  prices.merge(json, "litellm.json");
  return prices;
}

std::string cost(const price_table& prices, const std::string& model, const token_usage& usage,
                 endpoint target = endpoint::chat_completions) {
  const auto price = prices.find(model, target);
  if (price == nullptr) return "unknown";
  const auto priced = price->cost(usage, {});
  return priced.cost ? priced.cost->to_string() : "no rate for " + priced.missing;
}

std::string cost_at(const price_table& prices, const std::string& model, const serving& how) {
  const auto priced = prices.listed(model)->cost({.prompt_tokens = 1000}, how);
  return priced.cost ? priced.cost->to_string() : "no rate for " + priced.missing;
}

TEST(litellm_prices, have_factors_for_a_speed_and_a_place) {
  const auto prices = laid_over({}, R"({
    "claude": {"input_cost_per_token": 5e-06, "output_cost_per_token": 2.5e-05,
               "provider_specific_entry": {"us": 1.1, "fast": 2.0}},
    "slow": {"input_cost_per_token": 5e-06, "output_cost_per_token": 2.5e-05,
             "provider_specific_entry": {"us": 1.1, "titan": "v2"}},
    "fine": {"input_cost_per_token": 3.0000000000000004e-07, "output_cost_per_token": 6e-7,
             "provider_specific_entry": {"us": 1.1}},
    "odd": {"input_cost_per_token": 5e-06, "output_cost_per_token": 2.5e-05,
            "provider_specific_entry": {"us": -1, "fast": "soon"}}})");
  const serving in_us{.geo = "us"};
  const serving fast{.speed = "fast"};
  EXPECT_EQ(cost_at(prices, "claude", {}), "0.005");
  EXPECT_EQ(cost_at(prices, "claude", in_us), "0.0055");
  EXPECT_EQ(cost_at(prices, "claude", fast), "0.01");
  EXPECT_EQ(cost_at(prices, "claude", {.speed = "fast", .geo = "us"}), "0.011");
  EXPECT_EQ(cost_at(prices, "slow", in_us), "0.0055");
  EXPECT_EQ(cost_at(prices, "slow", fast), "no rate for speed fast");
  EXPECT_EQ(cost_at(prices, "fine", in_us), "no rate for inference_geo us") << "not exact";
  EXPECT_EQ(cost_at(prices, "odd", in_us), "no rate for inference_geo us");
  EXPECT_EQ(cost_at(prices, "odd", fast), "no rate for speed fast");
}

constexpr const char* document = R"({
  "sample_spec": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0, "mode": "one of: chat",
                  "max_tokens": "LEGACY parameter. set to max_output_tokens if provider specifies it"},
  "gpt-4o": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05,
             "cache_read_input_token_cost": 1.25e-06, "input_cost_per_token_batches": 1.25e-06,
             "litellm_provider": "openai", "max_input_tokens": 128000, "max_output_tokens": 16384,
             "max_tokens": 16384, "mode": "chat", "supports_vision": true},
  "azure/gpt-4o": {"input_cost_per_token": "0.00000275", "output_cost_per_token": "1.1e-05",
                   "max_tokens": "4096", "mode": "chat"},
  "noisy": {"input_cost_per_token": 3.0000000000000004e-07, "output_cost_per_token": 6E-7,
            "mode": "responses", "max_input_tokens": 1e6},
  "embed": {"input_cost_per_token": 2e-08, "mode": "embedding", "max_input_tokens": 8191},
  "zero": {"input_cost_per_token": 0.0, "output_cost_per_token": 0, "mode": "completion"},
  "gpt-4": {"litellm_provider": "openai", "mode": "chat"},
  "by-image": {"input_cost_per_token": 0, "output_cost_per_token": 0, "output_cost_per_image": 0.04,
               "mode": "chat"},
  "by-second": {"input_cost_per_second": 0.0001, "mode": "audio_transcription"},
  "image-model": {"input_cost_per_token": 5e-06, "output_cost_per_token": 4e-05,
                  "mode": "image_generation"},
  "null-price": {"input_cost_per_token": null, "output_cost_per_token": null, "mode": "chat"},
  "input-only": {"input_cost_per_token": 1e-06, "mode": "chat"}
})";

TEST(litellm_prices, are_taken_as_they_are) {
  const auto prices = laid_over(price_table::built_in(), document);
  const struct {
    const char* model;
    token_usage usage;
    const char* cost;
  } rows[] = {
      {"gpt-4o", {1'000'000, 0, 0, 0}, "2.5"},
      {"gpt-4o", {1'000'000, 1'000'000, 0, 0}, "1.25"},
      {"gpt-4o", {0, 0, 1, 0}, "0.00001"},
      {"azure/gpt-4o", {1'000'000, 1'000'000, 0, 0}, "2.75"},
      {"azure/gpt-4o", {0, 0, 1'000'000, 0}, "11"},
      {"openrouter/openai/gpt-4o-2024-08-06", {0, 0, 1'000'000, 0}, "10"},
      {"noisy", {1, 0, 0, 0}, "0.000000300000000001"},  // always rounded up
      {"noisy", {0, 0, 1, 0}, "0.0000006"},
      {"zero", {5, 0, 5, 0}, "unknown"},   // the meaning of a price of 0 is unknown
      {"gpt-4", {1, 0, 0, 0}, "unknown"},  // not the price of the built-in table any more
      {"by-image", {1, 0, 0, 0}, "unknown"},
      {"by-second", {1, 0, 0, 0}, "unknown"},
      {"image-model", {1, 0, 0, 0}, "unknown"},
      {"null-price", {1, 0, 0, 0}, "unknown"},
      {"input-only", {1, 0, 0, 0}, "unknown"},
      {"sample_spec", {1, 0, 0, 0}, "unknown"},
      {"gpt-4-1106-preview", {200, 0, 200, 0}, "0.008"},  // not in the document
  };
  for (const auto& row : rows) EXPECT_EQ(cost(prices, row.model, row.usage), row.cost) << row.model;
  EXPECT_EQ(cost(prices, "embed", {1'000'000, 0, 0, 0}, endpoint::embeddings), "0.02");
  EXPECT_EQ(cost(prices, "embed", {1'000'000, 0, 0, 0}), "unknown");
}

TEST(litellm_prices, a_tier_without_a_price_of_the_reply_is_none) {
  const auto prices = laid_over({}, R"({
  "m": {"input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06, "mode": "chat",
        "input_cost_per_token_priority": 2.5e-06}})");
  const model_prices& model = *prices.listed("m");
  EXPECT_FALSE(model.cost({.prompt_tokens = 1000}, {"priority", 0, 0}).cost);
  EXPECT_TRUE(model.dearest(1, endpoint::chat_completions, "auto")) << "the standard tier";
  EXPECT_FALSE(model.dearest(1, endpoint::chat_completions, "priority"));
}

TEST(litellm_prices, every_cost_field_is_read_or_named) {
  const auto prices = laid_over({}, R"({
  "m": {"input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06, "mode": "chat",
        "cache_read_input_token_cost": 1e-07, "cache_creation_input_token_cost": 1.25e-06,
        "cache_creation_input_token_cost_above_1hr": 2e-06,
        "input_cost_per_token_above_272k_tokens": 2e-06,
        "output_cost_per_token_above_272k_tokens": 7.5e-06,
        "input_cost_per_token_flex": 5e-07, "output_cost_per_token_flex": 2.5e-06,
        "input_cost_per_token_priority": 2e-06, "output_cost_per_token_priority": 1e-05,
        "input_cost_per_token_above_272k_tokens_priority": 4e-06,
        "input_cost_per_token_batches": 5e-07, "output_cost_per_token_batches": 2.5e-06,
        "input_cost_per_audio_token": 4e-06, "output_cost_per_audio_token": 2e-05,
        "output_cost_per_reasoning_token": 5e-06,
        "search_context_cost_per_query": {"search_context_size_low": 0.01}},
  "odd": {"input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06, "mode": "chat",
          "cost_per_blink": 0.1},
  "thinks": {"input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06, "mode": "chat",
             "output_cost_per_reasoning_token": 6e-06}
})");
  const model_prices& model = *prices.listed("m");
  const auto at = [&](const token_usage& usage, std::string_view tier = {}) {
    const auto told = model.cost(usage, {std::string(tier), 0, 0});
    return told.cost ? told.cost->to_string() : "no rate for " + told.missing;
  };
  const std::int64_t million = 1'000'000;
  EXPECT_EQ(model.not_understood, "");
  EXPECT_EQ(at({.prompt_tokens = 1000, .cached_tokens = 1000}), "0.0001");
  EXPECT_EQ(at({.prompt_tokens = 1000, .cache_write_tokens = 1000}), "0.00125");
  EXPECT_EQ(at({.prompt_tokens = 1000, .cache_write_1h_tokens = 1000}), "0.002");
  EXPECT_EQ(at({.prompt_tokens = 1000, .audio_prompt_tokens = 1000}), "0.004");
  EXPECT_EQ(at({.completion_tokens = 1000, .audio_completion_tokens = 1000}), "0.02");
  EXPECT_EQ(at({.prompt_tokens = 272000}), "0.272");
  EXPECT_EQ(at({.prompt_tokens = million, .completion_tokens = million}), "9.5");
  EXPECT_EQ(at({.prompt_tokens = 1000, .completion_tokens = 1000}, "flex"), "0.003");
  EXPECT_EQ(at({.prompt_tokens = 1000, .completion_tokens = 1000}, "batch"), "0.003");
  EXPECT_EQ(at({.prompt_tokens = 1000}, "priority"), "0.002");
  EXPECT_EQ(at({.prompt_tokens = million}, "priority"), "4");
  EXPECT_EQ(prices.listed("odd")->not_understood, "cost_per_blink");
  EXPECT_EQ(prices.listed("thinks")->not_understood, "output_cost_per_reasoning_token");
  EXPECT_FALSE(prices.listed("odd")->dearest(1, endpoint::chat_completions, "auto"));
  EXPECT_EQ(cost(prices, "odd", {million, 0, 0, 0}), "1") << "what is known is still summed";
}

// Seconds since the epoch: a day of November 2026 in UTC. The first is a Sunday.
double november(int day, int hour, int minute = 0) {
  constexpr double begin = 1'793'491'200;
  return begin + ((day - 1) * 24 + hour) * 3600.0 + minute * 60.0;
}

// The cost of a million prompt tokens at that moment.
std::string prompt_at(const price_table& prices, const std::string& model, double moment) {
  const auto price = prices.find(model, endpoint::chat_completions);
  if (price == nullptr) return "unknown";
  const auto priced = price->cost({.prompt_tokens = 1'000'000}, {"", moment, moment});
  return priced.cost ? priced.cost->to_string() : "no rate for " + priced.missing;
}

std::string with_off_peak(const std::string& off_peak, const std::string& more = {}) {
  return R"({"m": {"input_cost_per_token": 1e-06, "output_cost_per_token": 4e-06, "mode": "chat", )" +
         more + R"("off_peak_pricing": )" + off_peak + "}}";
}

constexpr const char* half_rates =
    R"("input_cost_per_token": 5e-07, "output_cost_per_token": 2e-06, )";

TEST(litellm_prices, off_peak_rates_are_valid_in_their_windows) {
  // The entry of the real file.
  const auto prices = laid_over(price_table::built_in(), R"({"deepseek-v4-pro": {
    "cache_creation_input_token_cost": 0.0, "cache_read_input_token_cost": 4.4e-08,
    "input_cost_per_token": 1.32e-06, "litellm_provider": "deepseek", "mode": "chat",
    "off_peak_pricing": {
      "cache_read_input_token_cost": 2.2e-08, "input_cost_per_token": 6.6e-07,
      "output_cost_per_token": 1.98e-06,
      "windows": [{"hours_utc": ["00:00-01:00", "04:00-06:00", "10:00-00:00"],
                   "weekdays": [1, 2, 3, 4, 5]},
                  {"hours_utc": "00:00-00:00", "weekdays": [6, 7]}]},
    "output_cost_per_token": 3.96e-06}})");
  const auto own = price_table::built_in();
  for (int day = 1; day <= 7; ++day) {
    for (int hour = 0; hour < 24; ++hour) {
      const double moment = november(day, hour, 30);
      EXPECT_EQ(prompt_at(prices, "deepseek-v4-pro", moment),
                prompt_at(own, "deepseek-v4-pro", moment))
          << "day " << day << ", hour " << hour;
    }
  }
  EXPECT_EQ(prompt_at(prices, "deepseek-v4-pro", november(4, 2)), "1.32");
  EXPECT_EQ(prompt_at(prices, "deepseek-v4-pro", november(4, 23, 59)), "0.66");
  EXPECT_EQ(prompt_at(prices, "deepseek-v4-pro", november(1, 2)), "0.66");
  const model_prices& model = *prices.listed("deepseek-v4-pro");
  EXPECT_EQ(model.not_understood, "");
  const auto bound = model.dearest(1000, endpoint::chat_completions, "");
  ASSERT_TRUE(bound);
  EXPECT_EQ(bound->prompt * 1'000'000, *usd::parse("1.32")) << "the price of the peak";
  EXPECT_EQ(bound->completion * 1'000'000, *usd::parse("3.96"));
}

TEST(litellm_prices, off_peak_windows_may_wrap_and_their_days_may_be_those_of_shanghai) {
  const auto daily = laid_over(
      {}, with_off_peak(std::string("{") + half_rates + R"("hours_utc": "16:30-00:30"})"));
  EXPECT_EQ(prompt_at(daily, "m", november(2, 16, 29)), "1");
  EXPECT_EQ(prompt_at(daily, "m", november(2, 16, 30)), "0.5");
  EXPECT_EQ(prompt_at(daily, "m", november(3, 0, 29)), "0.5");
  EXPECT_EQ(prompt_at(daily, "m", november(3, 0, 30)), "1");
  // In Shanghai, Saturday and Sunday begin at 16:00 UTC of the day before.
  const auto shanghai = laid_over({}, with_off_peak(std::string("{") + half_rates +
                                                    R"("weekday_timezone": "Asia/Shanghai",
                           "windows": [{"hours_utc": "00:00-00:00", "weekdays": [6, 7]}]})"));
  EXPECT_EQ(prompt_at(shanghai, "m", november(6, 15, 59)), "1");
  EXPECT_EQ(prompt_at(shanghai, "m", november(6, 16)), "0.5");
  EXPECT_EQ(prompt_at(shanghai, "m", november(8, 15, 59)), "0.5") << "a Sunday";
  EXPECT_EQ(prompt_at(shanghai, "m", november(8, 16)), "1");
}

TEST(litellm_prices, tiered_rates_depend_on_the_length_of_the_prompt) {
  // Two entries of the real file; the second has no other rates.
  const auto prices = laid_over({}, R"({
  "opencode_go/claude-haiku-5-5": {"input_cost_per_token": 1e-07, "output_cost_per_token": 5e-07,
    "cache_read_input_token_cost": 1e-08, "cache_creation_input_token_cost": 1.25e-07,
    "mode": "chat", "tiered_pricing": [
      {"range": [0, 100000], "input_cost_per_token": 1e-07, "output_cost_per_token": 5e-07,
       "cache_read_input_token_cost": 1e-08, "cache_creation_input_token_cost": 1.25e-07},
      {"range": [100000, 1000000], "input_cost_per_token": 5e-07, "output_cost_per_token": 2.5e-06,
       "cache_read_input_token_cost": 5e-08, "cache_creation_input_token_cost": 6.25e-07}]},
  "dashscope/qwen3-max": {"litellm_provider": "dashscope", "mode": "chat", "tiered_pricing": [
      {"input_cost_per_token": 1.2e-06, "output_cost_per_token": 6e-06, "range": [0, 32000.0]},
      {"input_cost_per_token": 2.4e-06, "output_cost_per_token": 1.2e-05,
       "range": [32000.0, 128000.0]},
      {"input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
       "range": [128000.0, 252000.0]}]}})");
  const char* claude = "opencode_go/claude-haiku-5-5";
  EXPECT_EQ(cost(prices, claude, {.prompt_tokens = 100'000, .completion_tokens = 1000}), "0.0105");
  EXPECT_EQ(cost(prices, claude, {.prompt_tokens = 150'000, .completion_tokens = 1000}), "0.0775");
  EXPECT_EQ(cost(prices, claude, {.prompt_tokens = 150'000, .cached_tokens = 150'000}), "0.0075");
  EXPECT_EQ(cost(prices, claude, {.prompt_tokens = 2'000'000}), "1") << "beyond the last range";
  const model_prices& model = *prices.listed(claude);
  EXPECT_EQ(model.not_understood, "");
  const auto prompt = [&](std::int64_t tokens) {
    return model.dearest(tokens, endpoint::chat_completions, "")->prompt * 1'000'000;
  };
  EXPECT_EQ(prompt(100'000), *usd::parse("0.125"));
  EXPECT_EQ(prompt(150'000), *usd::parse("0.625"));
  const char* qwen = "dashscope/qwen3-max";
  EXPECT_EQ(cost(prices, qwen, {.prompt_tokens = 32'000}), "0.0384");
  EXPECT_EQ(cost(prices, qwen, {.prompt_tokens = 32'001}), "0.0768024");
  EXPECT_EQ(cost(prices, qwen, {.prompt_tokens = 200'000, .completion_tokens = 1000}), "0.615");
  EXPECT_EQ(cost(prices, qwen, {.prompt_tokens = 1000, .cached_tokens = 1000}), "0.0012");
}

TEST(litellm_prices, other_forms_of_nested_rates_have_no_price_and_no_bound) {
  const auto with = [](const std::string& members) {
    return R"({"m": {"input_cost_per_token": 1e-06, "output_cost_per_token": 4e-06, "mode": "chat", )" +
           members + "}}";
  };
  const auto tiered = [&](const std::string& list, const std::string& more = {}) {
    return with(more + R"("tiered_pricing": )" + list);
  };
  const auto off_peak = [](const std::string& members, const std::string& more = {}) {
    return with_off_peak("{" + std::string(half_rates) + members + "}", more);
  };
  const std::string first =
      R"([{"range": [0, 1000], "input_cost_per_token": 1e-06, "output_cost_per_token": 4e-06}, )";
  const std::string second =
      R"({"range": [1000, 2000], "input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06})";
  ASSERT_EQ(cost(laid_over({}, tiered(first + second + "]")), "m", {.prompt_tokens = 1500}),
            "0.003");
  ASSERT_EQ(
      prompt_at(laid_over({}, off_peak(R"("hours_utc": "00:00-00:00")")), "m", november(1, 1)),
      "0.5");
  const struct {
    std::string json;
    const char* field;
  } rows[] = {
      {tiered("[]"), "tiered_pricing"},
      {tiered("{}"), "tiered_pricing"},
      {tiered("[3]"), "tiered_pricing"},
      {tiered(R"([{"max_results_range": [0, 25], "input_cost_per_query": 0.005}])"),
       "tiered_pricing"},
      {tiered(first + R"({"range": [1000, 2000], "input_cost_per_token": 2e-06}])"),
       "tiered_pricing"},
      {tiered(first + R"({"range": [2000, 3000], "input_cost_per_token": 2e-06,
                          "output_cost_per_token": 8e-06}])"),
       "tiered_pricing"},
      {tiered(first + R"({"range": [1000, 900], "input_cost_per_token": 2e-06,
                          "output_cost_per_token": 8e-06}])"),
       "tiered_pricing"},
      {tiered(first + R"({"range": [1000, 2000.5], "input_cost_per_token": 2e-06,
                          "output_cost_per_token": 8e-06}])"),
       "tiered_pricing"},
      {tiered(first + R"({"range": [1000, 2000], "input_cost_per_token": 2e-06,
                          "output_cost_per_token": "free"}])"),
       "tiered_pricing"},
      {tiered(first + R"({"range": [1000, 2000], "input_cost_per_token": 2e-06, "hours": "1-2",
                          "output_cost_per_token": 8e-06}])"),
       "tiered_pricing"},
      {tiered(first + R"({"range": [1000, 2000], "input_cost_per_token": 2e-06,
                          "output_cost_per_reasoning_token": 9e-06,
                          "output_cost_per_token": 8e-06}])"),
       "tiered_pricing"},
      {tiered("[" + second + "]"), "tiered_pricing"},
      {tiered(first + second + "]", R"("cache_read_input_token_cost": 1e-07, )"), "tiered_pricing"},
      {tiered(first + second + "]", R"("input_cost_per_token_priority": 2e-06, )"),
       "tiered_pricing"},
      {tiered(first + second + "]", R"("input_cost_per_token_above_200k_tokens": 2e-06, )"),
       "tiered_pricing"},
      {tiered(R"([{"range": [0, 1000], "input_cost_per_token": 3e-06,
                   "output_cost_per_token": 4e-06}])"),
       "tiered_pricing"},
      {tiered(first + second + "]", R"("output_cost_per_reasoning_token": 4e-06, )"),
       "tiered_pricing"},
      {off_peak(R"("hours_utc": "soon")"), "off_peak_pricing"},
      {off_peak(R"("hours_utc": "22:00-24:00")"), "off_peak_pricing"},
      {off_peak(R"("hours_utc": 5)"), "off_peak_pricing"},
      {off_peak(R"("windows": [])"), "off_peak_pricing"},
      {off_peak(R"("windows": [{"weekdays": [1]}])"), "off_peak_pricing"},
      {off_peak(R"("windows": [{"hours_utc": "01:00-02:00", "weekdays": ["mon"]}])"),
       "off_peak_pricing"},
      {off_peak(R"("windows": [{"hours_utc": "01:00-02:00", "weekdays": [0]}])"),
       "off_peak_pricing"},
      {off_peak(R"("windows": [{"hours_utc": "01:00-02:00", "months": [1]}])"), "off_peak_pricing"},
      {off_peak(R"("hours_utc": "01:00-02:00", "weekday_timezone": "Europe/Berlin")"),
       "off_peak_pricing"},
      {off_peak(R"("hours_utc": "01:00-02:00", "until": "2027-01-01")"), "off_peak_pricing"},
      {off_peak(R"("hours_utc": "01:00-02:00")", R"("input_cost_per_token_flex": 2e-06, )"),
       "off_peak_pricing"},
      {off_peak(R"("hours_utc": "01:00-02:00")",
                R"("input_cost_per_token_above_200k_tokens": 2e-06, )"),
       "off_peak_pricing"},
      {off_peak(R"("hours_utc": "01:00-02:00")", R"("output_cost_per_reasoning_token": 4e-06, )"),
       "off_peak_pricing"},
      {off_peak(R"("hours_utc": "01:00-02:00")", R"("tiered_pricing": )" + first + second + "], "),
       "tiered_pricing"},
      {with_off_peak("[1]"), "off_peak_pricing"},
      {with(R"("peak_hours": {"factor": 2})"), "peak_hours"},
      {with(R"("volume_tiers": [1, 2])"), "volume_tiers"},
      {with(R"("weekend_pricing": {"input": 1})"), "weekend_pricing"},
  };
  for (const auto& row : rows) {
    const auto prices = laid_over({}, row.json);
    ASSERT_NE(prices.listed("m"), nullptr) << row.json;
    EXPECT_EQ(prices.listed("m")->not_understood, row.field) << row.json;
    EXPECT_EQ(cost(prices, "m", {.prompt_tokens = 1000}), "unknown") << row.json;
    EXPECT_FALSE(prices.listed("m")->dearest(1, endpoint::chat_completions, "")) << row.json;
  }
  const auto unset = laid_over({}, with(R"("tiered_pricing": null, "off_peak_pricing": null)"));
  EXPECT_EQ(cost(unset, "m", {.prompt_tokens = 1000}), "0.001");
  EXPECT_EQ(unset.listed("m")->not_understood, "");
}

TEST(litellm_prices, other_spellings_of_known_rates_are_read) {
  const auto prices = laid_over({}, R"({
  "gpt-6-astra": {"input_cost_per_token": 1e-05, "output_cost_per_token": 5e-05, "mode": "chat",
    "cache_read_input_token_cost": 1e-06, "cache_creation_input_token_cost": 1.25e-05,
    "cache_creation_input_token_cost_above_12hr": 2.5e-05,
    "cache_creation_input_token_cost_above_12hr_above_272k_tokens": 5e-05,
    "cache_creation_input_token_cost_above_12hr_ultrafast": 1.5e-04,
    "cache_creation_input_token_cost_above_12hr_above_272k_tokens_ultrafast": 3e-04,
    "cache_creation_input_token_cost_ultrafast": 7.5e-05,
    "input_cost_per_token_above_272k_tokens": 2e-05,
    "input_cost_per_token_ultrafast": 6e-05, "output_cost_per_token_ultrafast": 3e-04,
    "input_cost_per_token_above_272k_tokens_ultrafast": 1.2e-04},
  "decides": {"input_cost_per_token": 1e-07, "output_cost_per_token": 5e-07, "mode": "chat",
    "cache_read_input_token_cost_decisions": 1e-08, "input_cost_per_token_decisions": 1e-07,
    "input_cost_per_token_above_272k_tokens_decisions": 2e-07,
    "output_cost_per_token_decisions": 0.0},
  "sail": {"input_cost_per_token": 2e-06, "output_cost_per_token": 1e-05, "mode": "chat",
    "input_cost_per_token_balanced": 1e-06, "output_cost_per_token_balanced": 5e-06},
  "hit": {"input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06, "mode": "chat",
    "cache_read_input_token_cost": 1e-07, "input_cost_per_token_cache_hit": 1e-07},
  "hit-alone": {"input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06, "mode": "chat",
    "input_cost_per_token_cache_hit": 2e-07},
  "databricks": {"input_cost_per_token": 1.4e-07, "output_cost_per_token": 2.8e-07, "mode": "chat",
    "input_dbu_cost_per_token": 2e-06, "output_dbu_cost_per_token": 4e-06},
  "hears": {"input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06, "mode": "chat",
    "input_cost_per_audio_token": 3e-06, "cache_read_input_audio_token_cost": 1e-07,
    "cache_read_input_audio_token_cost_priority": 2e-07}
})");
  for (const char* name :
       {"gpt-6-astra", "decides", "sail", "hit", "hit-alone", "databricks", "hears"}) {
    ASSERT_NE(prices.listed(name), nullptr) << name;
    EXPECT_EQ(prices.listed(name)->not_understood, "") << name;
    EXPECT_TRUE(prices.listed(name)->dearest(1000, endpoint::chat_completions, "auto")) << name;
  }
  const model_prices& astra = *prices.listed("gpt-6-astra");
  const auto at = [&](const token_usage& usage, std::string_view tier = {}) {
    const auto told = astra.cost(usage, {std::string(tier), 0, 0});
    return told.cost ? told.cost->to_string() : "no rate for " + told.missing;
  };
  EXPECT_EQ(at({.prompt_tokens = 1000, .cache_write_tokens = 1000}), "0.0125");
  EXPECT_EQ(at({.prompt_tokens = 1000, .cache_write_1h_tokens = 1000}), "0.025");
  EXPECT_EQ(at({.prompt_tokens = 300'000, .cache_write_1h_tokens = 300'000}), "15");
  EXPECT_EQ(at({.prompt_tokens = 1000, .completion_tokens = 1000}, "ultrafast"), "0.36");
  EXPECT_EQ(at({.prompt_tokens = 1000, .cache_write_1h_tokens = 1000}, "ultrafast"), "0.15");
  const auto bound = astra.dearest(1000, endpoint::chat_completions, "ultrafast");
  ASSERT_TRUE(bound);
  EXPECT_EQ(bound->prompt * 1'000'000, *usd::parse("150"));
  EXPECT_EQ(bound->completion * 1'000'000, *usd::parse("300"));
  EXPECT_EQ(cost(prices, "decides", {.completion_tokens = 1'000'000}), "0.5");
  EXPECT_TRUE(prices.listed("decides")->tiers.empty()) << "prices of another endpoint";
  EXPECT_EQ(prices.listed("sail")->cost({.prompt_tokens = 1000}, {"balanced", 0, 0}).cost,
            *usd::parse("0.001"));
  EXPECT_EQ(cost(prices, "hit", {.prompt_tokens = 1000, .cached_tokens = 1000}), "0.0001");
  EXPECT_EQ(cost(prices, "hit-alone", {.prompt_tokens = 1000, .cached_tokens = 1000}), "0.0002");
  EXPECT_EQ(cost(prices, "databricks", {.prompt_tokens = 1000}), "0.00014");
}

TEST(litellm_prices, spellings_that_contradict_each_other_have_no_bound) {
  for (const auto& [members, field] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"("cache_read_input_token_cost": 1e-07, "input_cost_per_token_cache_hit": 2e-07)",
            "input_cost_per_token_cache_hit"},
           {R"("input_cost_per_token_cache_hit_priority": 2e-07)",
            "input_cost_per_token_cache_hit_priority"},
           {R"("cache_creation_input_token_cost_above_1hr": 2e-06,
               "cache_creation_input_token_cost_above_12hr": 4e-06)",
            "cache_creation_input_token_cost_above_12hr"},
           {R"("cache_creation_input_token_cost_above_24hr": 4e-06)",
            "cache_creation_input_token_cost_above_24hr"},
           {R"("input_cost_per_token_above_12hr": 4e-06)", "input_cost_per_token_above_12hr"},
           {R"("input_cost_per_blink_decisions": 4e-06)", "input_cost_per_blink_decisions"}}) {
    const auto prices = laid_over(
        {},
        R"({"m": {"input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06, "mode": "chat", )" +
            std::string(members) + "}}");
    EXPECT_EQ(prices.listed("m")->not_understood, field);
    EXPECT_FALSE(prices.listed("m")->dearest(1, endpoint::chat_completions, "")) << members;
  }
}

// With SLUICE_LITELLM_PRICES: the path of litellm's model_prices_and_context_window.json.
TEST(litellm_prices, nearly_every_entry_of_the_real_file_has_a_bound) {
  const char* const path = std::getenv("SLUICE_LITELLM_PRICES");
  if (path == nullptr) GTEST_SKIP() << "SLUICE_LITELLM_PRICES names no file";
  std::ifstream file(path);
  const std::string json{std::istreambuf_iterator<char>(file), {}};
  const auto prices = laid_over({}, json);
  std::size_t priced = 0;
  std::map<std::string, std::vector<std::string>> refused;  // by field
  for (const json_member& member : json_object(json)) {
    const std::string name = member_name(member);
    const model_prices* const model = prices.listed(name);
    if (model == nullptr) continue;
    ++priced;
    const auto target = json_object(member.value).text("mode") == "embedding"
                            ? endpoint::embeddings
                            : endpoint::chat_completions;
    if (!model->dearest(1'000'000, target, "")) refused[model->not_understood].push_back(name);
  }
  std::size_t all = 0;
  for (const auto& [field, names] : refused) {
    all += names.size();
    std::cout << (field.empty() ? "a missing rate" : field) << ": " << names.size() << ", as "
              << names.front() << "\n";
  }
  EXPECT_GT(priced, 3000U);
  EXPECT_LT(all * 100, priced * 4) << all << " of " << priced << " models are refused";
}

TEST(litellm_prices, tell_limits_too) {
  const auto prices = laid_over({}, document);
  EXPECT_EQ(prices.limits("gpt-4o").input, 128000);
  EXPECT_EQ(prices.limits("gpt-4o").output, 16384);
  EXPECT_EQ(prices.limits("azure/gpt-4o").output, 4096) << "the older name, as a string";
  EXPECT_EQ(prices.limits("azure/gpt-4o").input, std::nullopt);
  EXPECT_EQ(prices.limits("noisy").input, 1000000);
  EXPECT_EQ(prices.limits("sample_spec").output, std::nullopt);
}

std::string refusal(const std::string& json) {
  try {
    static_cast<void>(laid_over({}, json));
  } catch (const fatal_error& thrown) {
    return thrown.what();
  }
  return "taken";
}

TEST(litellm_prices, what_is_no_price_is_refused_by_name) {
  for (const char* price : {"-1", "\"free\"", "[1]", "true", "2", "1e400", "\"\"", "-0.5e-6"}) {
    EXPECT_THAT(
        refusal(std::string(R"({"m":{"input_cost_per_token":1e-6,"output_cost_per_token":)") +
                price + "}}"),
        AllOf(HasSubstr("litellm.json"), HasSubstr("output_cost_per_token"), HasSubstr("of m")))
        << price;
  }
}

TEST(litellm_prices, do_not_mix_with_the_other_form) {
  EXPECT_THAT(refusal(R"({"a":{"input_cost_per_token":1e-6},"b":{"input":"1","output":"2"}})"),
              AllOf(HasSubstr("litellm.json"), HasSubstr("of b"), HasSubstr("litellm")));
  EXPECT_THAT(refusal(R"({"a":{"input_cost_per_token":1e-6},"b":3})"), HasSubstr("of b"));
}

}  // namespace
}  // namespace sluice
