#include "money/litellm_prices.hpp"

#include <gmock/gmock.h>

#include <optional>
#include <string>

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
