// Tests the cost of a reply, in all dimensions of the built-in price list.
#include "sluice/prices.hpp"

#include <gmock/gmock.h>

#include <boost/multiprecision/cpp_int.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "money/price_data.hpp"
#include "money/price_list.hpp"

namespace sluice {
namespace {

using rational = boost::multiprecision::cpp_rational;
using nlohmann::json;

double at(const char* moment) {
  return *unix_time_of(moment);
}

const price_table& prices() {
  static const price_table table = price_table::built_in();
  return table;
}

std::string cost(const std::string& model, const token_usage& usage, const std::string& tier = {},
                 double when = at("2026-11-20T12:00:00Z")) {
  const model_prices* found = prices().listed(model);
  if (found == nullptr) return "no such model";
  const auto priced = found->cost(usage, {tier, when, when});
  return priced.cost ? priced.cost->to_string() : "no rate for " + priced.missing;
}

TEST(model_prices, bill_the_worked_examples) {
  const double any = at("2026-11-20T12:00:00Z");
  const struct {
    int number;
    const char* model;
    token_usage usage;
    const char* usd;
    const char* tier = "";
    double when = 0;
  } rows[] = {
      {1,
       "gpt-4o",
       {.prompt_tokens = 1200, .cached_tokens = 1024, .completion_tokens = 300},
       "0.00472"},
      {2, "gpt-4-1106-preview", {.prompt_tokens = 200, .completion_tokens = 200}, "0.008"},
      {3,
       "gpt-5",
       {.prompt_tokens = 10000,
        .cached_tokens = 8192,
        .completion_tokens = 2500,
        .reasoning_tokens = 2000},
       "0.014142",
       "flex"},
      {4, "gpt-5-mini", {.prompt_tokens = 7, .completion_tokens = 1}, "0.00000375"},
      {5, "gpt-5.5", {.prompt_tokens = 272000, .completion_tokens = 1000}, "1.39"},
      {6, "gpt-5.5", {.prompt_tokens = 272001, .completion_tokens = 1000}, "2.76501"},
      {7,
       "gpt-5.6-sol",
       {.prompt_tokens = 5000,
        .cached_tokens = 1024,
        .completion_tokens = 700,
        .cache_write_tokens = 3072},
       "0.0333856"},
      {8,
       "gpt-5.6-luna",
       {.prompt_tokens = 300000, .completion_tokens = 2000, .cache_write_tokens = 290000},
       "0.0763",
       "flex"},
      {9,
       "gpt-6.2-astra",
       {.prompt_tokens = 300000, .cached_tokens = 280000, .completion_tokens = 1000},
       "1.208",
       "priority"},
      {10, "gpt-6-luna", {.prompt_tokens = 900, .completion_tokens = 90}, "0.0000675", "batch"},
      {11,
       "gpt-4o-audio-preview",
       {.prompt_tokens = 1500,
        .completion_tokens = 400,
        .audio_prompt_tokens = 1000,
        .audio_completion_tokens = 300},
       "0.06625"},
      {12, "text-embedding-3-small", {.prompt_tokens = 8191}, "0.00016382"},
      {13,
       "claude-sonnet-4-5",
       {.prompt_tokens = 6010,
        .cached_tokens = 4000,
        .completion_tokens = 250,
        .cache_write_tokens = 500,
        .cache_write_1h_tokens = 1500},
       "0.015855"},
      {14,
       "claude-haiku-5-5",
       {.prompt_tokens = 100001,
        .cached_tokens = 90000,
        .completion_tokens = 500,
        .cache_write_tokens = 10000},
       "0.0120005"},
      {15, "claude-opus-5-5", {.prompt_tokens = 2000, .completion_tokens = 800}, "0.012", "batch"},
      {16,
       "gemini-2.5-pro",
       {.prompt_tokens = 250000, .cached_tokens = 50000, .completion_tokens = 2000},
       "0.5425"},
      {17,
       "gemini-4-argon",
       {.prompt_tokens = 53, .completion_tokens = 838},
       "0.016972",
       "",
       at("2026-12-01T00:00:00Z")},
      {18,
       "deepseek-v4-pro",
       {.prompt_tokens = 12000, .cached_tokens = 10000, .completion_tokens = 3000},
       "0.01496",
       "",
       at("2026-11-27T09:59:59Z")},
      {19,
       "deepseek-v4-pro",
       {.prompt_tokens = 12000, .cached_tokens = 10000, .completion_tokens = 3000},
       "0.00748",
       "",
       at("2026-11-27T10:00:00Z")},
      {20, "qwen3-coder-plus", {.prompt_tokens = 130000, .completion_tokens = 4096}, "0.45144"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(cost(row.model, row.usage, row.tier, row.when > 0 ? row.when : any), row.usd)
        << "example " << row.number << ", " << row.model;
  }
}

TEST(model_prices, what_the_cache_saved_is_its_discount_minus_its_writes) {
  const auto saved = [](const std::string& model, const token_usage& usage,
                        const std::string& tier = {}, double when = at("2026-11-20T12:00:00Z")) {
    const auto amount = prices().listed(model)->saved_by_cache(usage, {tier, when, when});
    return amount ? amount->to_string() : "unknown";
  };
  const token_usage read{.prompt_tokens = 1200, .cached_tokens = 1024, .completion_tokens = 300};
  EXPECT_EQ(saved("gpt-4o", read), "0.00128");  // 1024 tokens at $2.50 - $1.25 per million
  EXPECT_EQ(saved("gpt-4o", read, "priority"), "0.002176");
  EXPECT_EQ(saved("gpt-4-1106-preview", read), "0") << "without a discount";
  EXPECT_EQ(saved("gpt-5.6-sol", {.prompt_tokens = 5000,
                                  .cached_tokens = 1024,
                                  .completion_tokens = 700,
                                  .cache_write_tokens = 3072}),
            "0.0006144");  // 1024 tokens at $4 - $0.40, minus 3072 tokens at $5 - $4
  const token_usage written{.prompt_tokens = 3000,
                            .completion_tokens = 1,
                            .cache_write_tokens = 1000,
                            .cache_write_1h_tokens = 1000};
  EXPECT_EQ(saved("claude-sonnet-4-5", written), "-0.00375") << "1000 at 0.75, and 1000 at 3";
  EXPECT_EQ(saved("gpt-4o", written), "unknown") << "it has no rate for a write";
  EXPECT_EQ(saved("gpt-4o", read, "turbo"), "unknown");
  EXPECT_EQ(saved("gpt-4o", {.prompt_tokens = 10, .completion_tokens = 1}, "turbo"), "0")
      << "a reply that used no cache";
  const token_usage hit{.prompt_tokens = 12000, .cached_tokens = 10000, .completion_tokens = 3000};
  const auto twice =
      *prices()
           .listed("deepseek-v4-pro")
           ->saved_by_cache(hit, {"", at("2026-11-27T10:00:00Z"), at("2026-11-27T10:00:01Z")}) *
      2;
  EXPECT_EQ(saved("deepseek-v4-pro", hit, "", at("2026-11-27T09:59:59Z")), twice.to_string())
      << "at the hours of a double price it saves double";
}

// Tests every model of the list that has these rates, at a time without a price change.
TEST(model_prices, the_cost_without_the_cache_is_the_cost_and_what_it_saved) {
  std::mt19937_64 random(11);
  const double now = at("2026-11-20T12:00:00Z");
  int compared = 0;
  const json document = json::parse(price_table_json());
  for (const auto& entry : document.at("models").items()) {
    const model_prices* model = prices().listed(entry.key());
    if (model == nullptr || !model->hours.empty() || !model->changes.empty()) continue;
    const auto& rates = model->standard.base;
    const auto input = rates[token_kind::input];
    if (!input || !rates[token_kind::output]) continue;
    const auto cached = rates[token_kind::cached_input];
    const auto write = rates[token_kind::cache_write];
    token_usage usage{.prompt_tokens = 1000,
                      .cached_tokens = static_cast<std::int64_t>(random() % 500),
                      .completion_tokens = 7};
    if (write) usage.cache_write_tokens = static_cast<std::int64_t>(random() % 500);
    usd expected = (*input + cached.value_or(*input) * -1) * usage.cached_tokens;
    if (write) expected -= (*write + *input * -1) * usage.cache_write_tokens;
    const auto saved = model->saved_by_cache(usage, {"", now, now});
    ASSERT_TRUE(saved) << entry.key();
    EXPECT_EQ(saved->to_string(), expected.to_string()) << entry.key();
    ++compared;
  }
  EXPECT_GT(compared, 200);
}

TEST(model_prices, what_has_no_rate_makes_the_cost_unknown) {
  const token_usage written{.prompt_tokens = 10, .completion_tokens = 1, .cache_write_tokens = 3};
  EXPECT_EQ(cost("gpt-4o", written), "no rate for cache_write");
  const token_usage spoken{.prompt_tokens = 10, .completion_tokens = 1, .audio_prompt_tokens = 3};
  EXPECT_EQ(cost("gpt-4o", spoken), "no rate for audio_input");
  const token_usage plain{.prompt_tokens = 10, .completion_tokens = 1};
  EXPECT_EQ(cost("gpt-4", plain, "flex"), "no rate for service_tier flex");
  EXPECT_EQ(cost("gpt-5-nano", plain, "priority"), "no rate for service_tier priority");
  const token_usage cached{.prompt_tokens = 10, .cached_tokens = 4, .completion_tokens = 1};
  EXPECT_EQ(cost("gpt-4o", cached, "batch"), "no rate for cached_input at service_tier batch");
  const token_usage far{.prompt_tokens = 272001, .completion_tokens = 1};
  EXPECT_EQ(cost("gpt-5.5", far, "priority"), "no rate for input at service_tier priority");
}

TEST(model_prices, a_tier_that_is_not_named_or_standard_is_the_standard_one) {
  const token_usage plain{.prompt_tokens = 1000, .completion_tokens = 100};
  for (const char* tier : {"", "default", "standard", "auto", "on_demand"}) {
    EXPECT_EQ(cost("gpt-5", plain, tier), cost("gpt-5", plain)) << tier;
  }
  EXPECT_EQ(cost("gpt-5", plain, "fast"), cost("gpt-5", plain, "priority")) << "OpenAI's spelling";
}

TEST(model_prices, an_attempt_over_a_change_of_rates_counts_at_the_dearer) {
  const model_prices& model = *prices().listed("deepseek-v4-pro");
  const token_usage usage{.prompt_tokens = 1000, .completion_tokens = 1000};
  const auto over = [&](const char* from, const char* to) {
    return model.cost(usage, {"", at(from), at(to)}).cost->to_string();
  };
  const std::string peak = "0.00528";
  const std::string off = "0.00264";
  EXPECT_EQ(over("2026-11-27T09:59:59Z", "2026-11-27T10:00:09Z"), peak);
  EXPECT_EQ(over("2026-11-27T00:59:59Z", "2026-11-27T01:00:00Z"), peak);
  EXPECT_EQ(over("2026-11-27T04:00:00Z", "2026-11-27T05:59:59Z"), off);
  EXPECT_EQ(over("2026-11-28T02:00:00Z", "2026-11-28T02:00:09Z"), off) << "a Saturday";
  EXPECT_EQ(over("2026-08-14T02:00:00Z", "2026-08-14T02:00:09Z"), off) << "before there were hours";
}

TEST(model_prices, are_stale_past_their_last_day_unless_a_change_came) {
  const model_prices& ended = *prices().listed("gpt-5.6-sol");
  EXPECT_FALSE(ended.stale(at("2026-11-22T11:59:59Z"))) << "somewhere it is still the last day";
  EXPECT_TRUE(ended.stale(at("2026-11-22T12:00:00Z")));
  const model_prices& changed = *prices().listed("gemini-4-argon");
  EXPECT_FALSE(changed.stale(at("2027-03-01")));
  EXPECT_FALSE(prices().listed("gpt-4o")->stale(at("2030-01-01")));
}

// ---- The same calculation in another way: with rational numbers, and with another JSON parser.

class reference {
 public:
  reference(const json& entry, std::int64_t prompt, const std::string& tier, double when)
      : rates_(json::object()) {
    take(entry);
    for (const auto& change : entry.value("next", json::array())) {
      if (when >= *unix_time_of(change.at("from").get<std::string>())) take(change);
    }
    for (const auto& window : entry.value("hours", json::array())) {
      if (open(window, when)) take(window);
    }
    const bool far = take_steps(entry, prompt);
    if (!rates_.contains("cached_input") && rates_.contains("input"))
      rates_["cached_input"] = rates_["input"];
    if (tier.empty()) return;
    const json& own = entry.at("tiers").at(tier);
    if (own.contains("times")) {
      factor_ = number(own.at("times"));
      return;
    }
    rates_ = json::object();
    if (far && !own.contains("above")) return;
    take(own);
    take_steps(own, prompt);
  }

  // Returns nothing if a rate is missing.
  std::optional<rational> cost(const token_usage& usage) const {
    const bool images = rates_.contains("image_input");
    const std::int64_t plain = usage.prompt_tokens - usage.cached_tokens -
                               usage.cache_write_tokens - usage.cache_write_1h_tokens -
                               usage.audio_prompt_tokens - (images ? usage.image_prompt_tokens : 0);
    const bool thinking = usage.reasoning_tokens > 0 && rates_.contains("output_thinking");
    const std::pair<const char*, std::int64_t> parts[] = {
        {"input", plain},
        {"cached_input", usage.cached_tokens},
        {"cache_write", usage.cache_write_tokens},
        {"cache_write_1h", usage.cache_write_1h_tokens},
        {"audio_input", usage.audio_prompt_tokens},
        {"image_input", images ? usage.image_prompt_tokens : 0},
        {thinking ? "output_thinking" : "output",
         usage.completion_tokens - usage.audio_completion_tokens - usage.image_completion_tokens},
        {"audio_output", usage.audio_completion_tokens},
        {"image_output", usage.image_completion_tokens}};
    rational sum = 0;
    for (const auto& [name, tokens] : parts) {
      if (tokens == 0) continue;
      if (!rates_.contains(name)) return std::nullopt;
      sum += number(rates_.at(name)) * tokens;
    }
    return sum * factor_ / 1'000'000;
  }

 private:
  static rational number(const json& text) {
    // Not made from the whole string, because a leading zero means octal.
    boost::multiprecision::cpp_int value_digits = 0;
    int decimals = 0;
    bool point = false;
    for (const char c : text.get<std::string>()) {
      if (c == '.') {
        point = true;
        continue;
      }
      value_digits = value_digits * 10 + (c - '0');
      if (point) ++decimals;
    }
    rational value(value_digits);
    for (; decimals > 0; --decimals) value /= 10;
    return value;
  }
  static bool open(const json& window, double when) {
    const auto days = static_cast<std::int64_t>(when) / 86400;
    const auto weekday = (days + 4) % 7;
    if (window.value("days", "") == "mon-fri" && (weekday == 0 || weekday == 6)) return false;
    if (when < *unix_time_of(window.at("from").get<std::string>())) return false;
    const auto utc = window.at("utc").get<std::string>();
    const auto minutes = static_cast<std::int64_t>(when) % 86400 / 60;
    const auto clock = [&](std::size_t place) {
      return std::stoi(utc.substr(place, 2)) * 60 + std::stoi(utc.substr(place + 3, 2));
    };
    return minutes >= clock(0) && minutes < clock(6);
  }
  void take(const json& from) {
    for (std::size_t i = 0; i < token_kinds; ++i) {
      const std::string name(to_string(static_cast<token_kind>(i)));
      if (from.contains(name)) rates_[name] = from.at(name);
    }
  }
  bool take_steps(const json& from, std::int64_t prompt) {
    bool reached = false;
    for (const auto& step : from.value("above", json::array())) {
      if (prompt <= step.at("input_tokens").get<std::int64_t>()) continue;
      reached = true;
      take(step);
      if (!step.contains("cached_input")) rates_["cached_input"] = step.at("input");
    }
    return reached;
  }

  json rates_;
  rational factor_ = 1;
};

TEST(model_prices, agree_with_rational_numbers_for_every_model_and_dimension) {
  const json models = json::parse(price_table_json()).at("models");
  std::mt19937_64 random(18);
  const auto up_to = [&](std::int64_t most) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most + 1));
  };
  std::size_t known = 0;
  std::size_t unknown = 0;
  for (const auto& [name, entry] : models.items()) {
    const model_prices* model = prices().listed(name);
    ASSERT_NE(model, nullptr) << name;
    std::vector<std::string> tiers{""};
    const json own_tiers = entry.value("tiers", json::object());
    for (const auto& [tier, own] : own_tiers.items()) {
      if (!own.contains("until")) tiers.push_back(tier);
    }
    std::vector<std::int64_t> sizes{1000};
    const json steps = entry.value("above", json::array());
    for (const auto& step : steps) {
      sizes.push_back(step.at("input_tokens").get<std::int64_t>());
      sizes.push_back(sizes.back() + 1);
    }
    for (const auto& tier : tiers) {
      for (const std::int64_t size : sizes) {
        for (int round = 0; round < 12; ++round) {
          token_usage usage{.prompt_tokens = size, .completion_tokens = up_to(5000)};
          std::int64_t left = size;
          const auto part = [&](bool wanted) {
            const std::int64_t tokens = wanted ? up_to(left) : 0;
            left -= tokens;
            return tokens;
          };
          usage.cached_tokens = part(round % 2 == 1);
          usage.cache_write_tokens = part(round % 4 == 2);
          usage.cache_write_1h_tokens = part(round == 6);
          usage.audio_prompt_tokens = part(round == 7);
          usage.image_prompt_tokens = part(round == 8);
          usage.reasoning_tokens = round % 3 == 0 ? usage.completion_tokens / 2 : 0;
          if (round == 9) usage.audio_completion_tokens = usage.completion_tokens / 3;
          if (round == 10) usage.image_completion_tokens = usage.completion_tokens / 3;
          // One second after a full hour. No price change is near.
          const double when = at("2026-10-05") + 3600.0 * static_cast<double>(up_to(24 * 14)) + 1;
          const auto expected = reference(entry, size, tier, when).cost(usage);
          const auto told = model->cost(usage, {tier, when, when});
          ASSERT_EQ(told.cost.has_value(), expected.has_value())
              << name << ' ' << tier << ' ' << size << ": " << told.missing;
          if (!expected) {
            ++unknown;
            continue;
          }
          ++known;
          const rational units = *expected * rational("1000000000000000000");
          ASSERT_EQ(units, rational(boost::multiprecision::cpp_int(told.cost->count())))
              << name << ' ' << tier << ' ' << size;
          const auto bound = model->dearest(size, endpoint::chat_completions, tier);
          if (bound) {
            const usd most =
                bound->prompt * usage.prompt_tokens + bound->completion * usage.completion_tokens;
            if (usage.audio_prompt_tokens + usage.audio_completion_tokens == 0) {
              ASSERT_GE(most, *told.cost) << name << ' ' << tier << ' ' << size;
            }
          }
        }
      }
    }
  }
  EXPECT_GT(known, 5000U);
  EXPECT_GT(unknown, 500U);
}

}  // namespace
}  // namespace sluice
