#include "loadtest/ranking.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "sluice/histogram.hpp"

namespace sluice::bench {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct relay {
  std::string name;
  double ttft_ms;
  int requests = 200;
  int failed = 0;
  bool streamed = true;
};

ordered_json load_of(const relay& of, double concurrency, std::mt19937_64& random) {
  histogram times;
  std::lognormal_distribution<double> drawn(std::log(of.ttft_ms), 0.4);
  for (int i = of.failed; i < of.requests; ++i) times.add(drawn(random));
  auto steps = ordered_json::array();
  for (const auto& [value, count] : times.steps()) steps.push_back({value, count});
  ordered_json load = {{"concurrency", concurrency},
                       {"requests", of.requests},
                       {"succeeded", of.requests - of.failed},
                       {"failed", of.failed},
                       {"histograms", ordered_json::object()}};
  load["histograms"][of.streamed ? "ttft_ms" : "latency_ms"] = steps;
  return load;
}

ordered_json document(const std::vector<relay>& relays, const std::vector<double>& loads = {8},
                      std::uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  auto targets = ordered_json::array();
  for (const auto& one : relays) {
    auto list = ordered_json::array();
    for (const double concurrency : loads) list.push_back(load_of(one, concurrency, random));
    targets.push_back({{"name", one.name}, {"target", "https://x.example"}, {"loads", list}});
  }
  return {{"model", "m"}, {"targets", targets}};
}

std::string sentence(const ordered_json& of) {
  const auto ranking = rank_targets(of);
  return ranking.is_null() ? "" : ranking.at("sentence").get<std::string>();
}

TEST(rank_targets, a_clear_difference_is_certain) {
  const auto text = sentence(document({{"green", 380}, {"blue", 210}}));
  EXPECT_THAT(text, StartsWith("blue is 1."));
  EXPECT_THAT(text, HasSubstr(" times as fast as green, p50 to first token 2"));
  EXPECT_THAT(text, HasSubstr(" against 3"));
  EXPECT_THAT(text, testing::EndsWith(" ms; difference certain at 95 %"));
}

TEST(rank_targets, equal_relays_are_rarely_called_different) {
  int certain = 0;
  constexpr int trials = 200;
  for (int seed = 1; seed <= trials; ++seed) {
    const auto ranking =
        rank_targets(document({{"blue", 300}, {"green", 300}}, {8}, static_cast<unsigned>(seed)));
    certain += ranking["targets"][1]["certain"].get<bool>() ? 1 : 0;
  }
  EXPECT_LE(certain, trials * 8 / 100) << "5 % of them by chance";
}

TEST(rank_targets, without_a_certain_difference_it_says_so) {
  const auto text = sentence(document({{"blue", 300, 30}, {"green", 300, 30}}));
  EXPECT_THAT(text, StartsWith("no certain difference between "));
  EXPECT_THAT(text, Not(HasSubstr("95 %")));
}

TEST(rank_targets, few_requests_are_not_judged) {
  EXPECT_THAT(sentence(document({{"blue", 100, 9}, {"green", 900, 9}})),
              HasSubstr("too few requests to judge green (10 are needed)"));
}

TEST(rank_targets, names_failures) {
  EXPECT_THAT(sentence(document({{"blue", 210, 200, 12}, {"green", 380}})),
              testing::EndsWith("; blue failed 12 of 200"));
}

TEST(rank_targets, several_loads_and_targets) {
  const auto of = document({{"red", 900}, {"blue", 210}, {"green", 380}}, {1, 32});
  const auto text = sentence(of);
  EXPECT_THAT(text, StartsWith("at 32 in flight: blue is 1."));
  EXPECT_THAT(text, HasSubstr(" times as fast as green, 4."));
  EXPECT_THAT(text, HasSubstr(" times as fast as red, p50"));
  const auto ranking = rank_targets(of);
  EXPECT_EQ(ranking["targets"][0]["target"], "blue");
  EXPECT_EQ(ranking["targets"][2]["target"], "red");
  EXPECT_EQ(ranking["targets"][0]["times"], nullptr);
  EXPECT_EQ(ranking, rank_targets(of)) << "the same document gives the same result";
}

TEST(rank_targets, without_streams_by_the_whole_reply) {
  EXPECT_THAT(sentence(document({{"blue", 210, 200, 0, false}, {"green", 380, 200, 0, false}})),
              HasSubstr("p50 to the end of the reply 2"));
}

TEST(rank_targets, one_target_is_not_ranked) {
  EXPECT_EQ(sentence(document({{"blue", 210}})), "");
  EXPECT_EQ(sentence(document({{"blue", 210}, {"green", 380, 20, 20}})), "")
      << "the other one answered nothing";
  EXPECT_TRUE(rank_targets({{"loads", ordered_json::array()}}).is_null());
}

}  // namespace
}  // namespace sluice::bench
