#include "simulator/deal.hpp"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>

namespace sluice::simulator {
namespace {

TEST(Cheat, IsReadByItsName) {
  EXPECT_EQ(parse_cheat("none").how, cheat::none);
  EXPECT_EQ(parse_cheat("substituted").how, cheat::substituted);
  EXPECT_EQ(parse_cheat("inflated").how, cheat::inflated);
  EXPECT_EQ(parse_cheat("injected").how, cheat::injected);
  EXPECT_EQ(parse_cheat("fake-stream").how, cheat::fake_stream);
  EXPECT_EQ(parse_cheat("overbilled").how, cheat::overbilled);
  EXPECT_EQ(parse_cheat("endless").how, cheat::endless);
  EXPECT_EQ(parse_cheat("cache-kept").how, cheat::cache_kept);
  EXPECT_EQ(parse_cheat("mixed").how, cheat::mixed);
  EXPECT_EQ(parse_cheat("mixed").share, 0.1);
  EXPECT_EQ(parse_cheat("mixed=0.25").share, 0.25);
  for (const auto* bad : {"", "honest", "mixed=", "mixed=2", "mixed=-1", "mixed=nan", "mixed=0.1x",
                          "inflated=0.5", "=0.5"})
    EXPECT_THROW(parse_cheat(bad), std::invalid_argument) << bad;
}

TEST(Lacking, IsReadAsAList) {
  const auto two = parse_missing_features("tools,json-schema");
  EXPECT_FALSE(two.logprobs);
  EXPECT_TRUE(two.tools);
  EXPECT_TRUE(two.json_schema);
  EXPECT_TRUE(parse_missing_features("logprobs").logprobs);
  for (const auto* bad : {"", "tools,", ",tools", "json"})
    EXPECT_THROW(parse_missing_features(bad), std::invalid_argument) << bad;
}

TEST(Deal, ACacheThatIsKeptCostsTheFullPrice) {
  const price listed{{10}, {1}, {40}};
  EXPECT_EQ(deal().rates(listed).cached_input, usd{1});
  const auto kept = deal({cheat::cache_kept}, 1).rates(listed);
  EXPECT_EQ(kept.cached_input, usd{10});
  EXPECT_EQ(kept.output, usd{40});
}

TEST(Deal, AnHonestDealChangesNothing) {
  const deal honest;
  EXPECT_EQ(honest.serving_model("gpt-4", 1), "gpt-4");
  EXPECT_EQ(honest.hidden_prompt(), 0U);
  EXPECT_FALSE(honest.streams_at_the_end());
  EXPECT_FALSE(honest.ignores_limits());
  EXPECT_EQ(honest.reported({10, 2, 5, 1}).total(), 15U);
  EXPECT_EQ(honest.charged({1000}), usd{1000});
}

TEST(Deal, SubstitutesAModelOfTheOtherVocabulary) {
  const deal bad({cheat::substituted}, 1);
  for (const auto* sold : {"gpt-4", "gpt-4-turbo", "gpt-3.5-turbo", "deepseek-chat"})
    EXPECT_EQ(bad.serving_model(sold, 1), "gpt-4o-mini") << sold;
  for (const auto* sold : {"gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3", "gpt-5"})
    EXPECT_EQ(bad.serving_model(sold, 1), "gpt-3.5-turbo") << sold;
  EXPECT_EQ(bad.serving_model("text-embedding-3-small", 1), "text-embedding-3-small");
}

TEST(Deal, SubstitutesTheConfiguredShareOfCalls) {
  for (const double share : {0.0, 0.1, 0.5, 1.0}) {
    const deal bad({cheat::mixed, share}, 7);
    int other = 0;
    for (std::uint64_t number = 1; number <= 5000; ++number)
      other += bad.serving_model("gpt-4", number) == "gpt-4" ? 0 : 1;
    // The difference is at most four standard deviations.
    EXPECT_NEAR(other, 5000 * share, 142) << share;
    if (share == 0.0) {
      EXPECT_EQ(other, 0);
    }
    if (share == 1.0) {
      EXPECT_EQ(other, 5000);
    }
  }
}

TEST(Deal, FactorsDependOnTheSeed) {
  std::set<std::uint64_t> prompts;
  std::set<std::uint64_t> reported;
  std::set<std::string> charged;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto hidden = deal({cheat::injected}, seed).hidden_prompt();
    EXPECT_GE(hidden, 20U);
    EXPECT_LE(hidden, 200U);
    prompts.insert(hidden);

    const auto usage = deal({cheat::inflated}, seed).reported({1000, 100, 2000, 10});
    EXPECT_GE(usage.prompt, 1100U);
    EXPECT_LE(usage.prompt, 1500U);
    EXPECT_EQ(usage.completion, 2 * usage.prompt);
    EXPECT_EQ(usage.cached, 100U);
    reported.insert(usage.prompt);

    const auto cost = deal({cheat::overbilled}, seed).charged({1'000'000});
    EXPECT_FALSE(cost < usd{1'200'000});
    EXPECT_FALSE(usd{2'000'000} < cost);
    charged.insert(cost.to_string());
  }
  for (const auto drawn : {prompts.size(), reported.size(), charged.size()}) EXPECT_GT(drawn, 50U);
}

TEST(Deal, InflatingTheLargestUsageDoesNotOverflow) {
  const auto usage = deal({cheat::inflated}, 1).reported({5, 0, ~std::uint64_t{0}, 0});
  EXPECT_EQ(usage.completion, ~std::uint64_t{0});
}

}  // namespace
}  // namespace sluice::simulator
