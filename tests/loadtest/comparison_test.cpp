#include "loadtest/comparison.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "sluice/error.hpp"
#include "sluice/histogram.hpp"

namespace sluice::bench {
namespace {

using nlohmann::ordered_json;
using testing::Contains;
using testing::HasSubstr;

/// A relay with log-normal latencies. It makes the documents of benchmarks of this relay.
struct relay {
  std::mt19937_64 random;
  double latency_ms = 800;
  double spread = 0.4;
  double a_second = 8;
  double failing = 0.02;
  int seconds = 60;

  explicit relay(std::uint64_t seed) : random(seed) {}

  ordered_json load(double concurrency = 8) {
    histogram latency;
    histogram ttft;
    histogram between;
    std::lognormal_distribution<double> drawn(std::log(latency_ms), spread);
    std::poisson_distribution<int> count(a_second);
    auto succeeded = ordered_json::array();
    auto tokens = ordered_json::array();
    int failed = 0;
    int good = 0;
    for (int second = 0; second < seconds; ++second) {
      int ended = 0;
      for (int i = count(random); i > 0; --i) {
        if (std::bernoulli_distribution(failing)(random)) {
          ++failed;
          continue;
        }
        ++ended;
        latency.add(drawn(random));
        ttft.add(drawn(random) / 4);
        between.add(drawn(random) / 40);
      }
      good += ended;
      succeeded.push_back(ended);
      tokens.push_back(ended * 50);
    }
    const auto steps = [](const histogram& of) {
      auto list = ordered_json::array();
      for (const auto& [value, n] : of.steps()) list.push_back({value, n});
      return list;
    };
    return {{"concurrency", concurrency},
            {"rate", nullptr},
            {"rate_kind", nullptr},
            {"requests", good + failed},
            {"succeeded", good},
            {"failed", failed},
            {"duration_s", seconds + 0.4},
            {"requests_per_s", good / (seconds + 0.4)},
            {"output_tokens_per_s", good * 50 / (seconds + 0.4)},
            {"histograms",
             {{"latency_ms", steps(latency)},
              {"ttft_ms", steps(ttft)},
              {"inter_token_ms", steps(between)}}},
            {"timeline", {{"step_s", 1}, {"succeeded", succeeded}, {"output_tokens", tokens}}}};
  }
};

ordered_json document(const std::vector<ordered_json>& loads) {
  return {{"target", "https://relay.example/v1"}, {"model", "m"}, {"loads", loads}};
}

const ordered_json& metric(const ordered_json& comparison, const std::string& name,
                           std::size_t load = 0) {
  for (const auto& one : comparison.at("loads").at(load).at("metrics")) {
    if (one.at("metric") == name) return one;
  }
  throw std::out_of_range(name);
}

bool differs(const ordered_json& metric) {
  return metric.at("verdict") != "no difference beyond the noise" &&
         metric.at("verdict") != "too few samples to tell";
}

TEST(comparison, calls_equals_different_about_as_often_as_it_says) {
  constexpr int trials = 200;
  std::map<std::string, int> called;
  int overall = 0;
  for (int seed = 1; seed <= trials; ++seed) {
    relay same(static_cast<std::uint64_t>(seed));
    same.seconds = 80;
    const auto before = document({same.load()});
    const auto told =
        compare(before, document({same.load()}), {400, static_cast<std::uint64_t>(seed)});
    for (const auto& one : told.at("loads")[0].at("metrics")) {
      EXPECT_NE(one.at("verdict"), "too few samples to tell") << one;
      called[one.at("metric")] += differs(one) ? 1 : 0;
    }
    const std::string sentence = told.at("sentence");
    overall += sentence.find("no difference") == std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(called.size(), 8U);
  // 5 % of 200 trials are 10. By chance, one in 1000 such series reaches 21.
  for (const auto& [name, times] : called) {
    RecordProperty(name, times);
    EXPECT_LE(times, 21) << name;
  }
  EXPECT_LE(overall, 21);
}

TEST(comparison, finds_ten_percent_in_five_hundred_samples) {
  constexpr int trials = 50;
  int found = 0;
  int wrong_way = 0;
  for (int seed = 1; seed <= trials; ++seed) {
    relay quick(static_cast<std::uint64_t>(seed));
    quick.seconds = 64;
    const auto before = document({quick.load()});
    quick.latency_ms *= 1.1;
    const auto told = compare(before, document({quick.load()}));
    const auto& one = metric(told, "latency_ms.p50");
    found += one.at("verdict") == "slower" ? 1 : 0;
    wrong_way += one.at("verdict") == "faster" ? 1 : 0;
  }
  EXPECT_GE(found, 37);
  EXPECT_EQ(wrong_way, 0);
}

TEST(comparison, the_interval_holds_the_true_change) {
  constexpr int trials = 150;
  int held = 0;
  for (int seed = 1; seed <= trials; ++seed) {
    relay quick(static_cast<std::uint64_t>(seed) + 10'000);
    const auto before = document({quick.load()});
    quick.latency_ms *= 1.2;
    const auto told = compare(before, document({quick.load()}), {400, 7});
    const auto& one = metric(told, "latency_ms.p50");
    held += one.at("low") <= 20.0 && one.at("high") >= 20.0 ? 1 : 0;
  }
  EXPECT_GE(held, trials * 90 / 100);
}

TEST(comparison, tells_throughput_and_failures_too) {
  relay quick(3);
  const auto before = document({quick.load()});
  quick.a_second = 16;
  quick.failing = 0.2;
  const auto told = compare(before, document({quick.load()}));
  EXPECT_EQ(metric(told, "requests_per_s").at("verdict"), "faster");
  EXPECT_EQ(metric(told, "output_tokens_per_s").at("verdict"), "faster");
  EXPECT_EQ(metric(told, "failed_share").at("verdict"), "more failures");
  EXPECT_EQ(metric(told, "failed_share").at("unit"), "points");
}

// The timeline begins with the load, and the duration with the first request.
TEST(comparison, a_load_that_first_waited_for_the_window_is_compared_by_what_it_did) {
  relay was(5);
  relay is(6);
  is.a_second = 12;
  const ordered_json before = was.load();
  const ordered_json after = is.load();
  const auto waited = [](ordered_json load) {
    constexpr int wait_s = 50;
    ordered_json& line = load["timeline"];
    line["started"] = line["succeeded"];
    for (const char* name : {"started", "succeeded", "output_tokens"}) {
      line[name].insert(line[name].begin(), wait_s, ordered_json(0));
    }
    return load;
  };
  const auto expected = compare(document({before}), document({after}));
  const auto told = compare(document({waited(before)}), document({waited(after)}));
  for (const char* name : {"requests_per_s", "output_tokens_per_s"}) {
    EXPECT_EQ(metric(told, name), metric(expected, name));
    EXPECT_EQ(metric(told, name).at("verdict"), "faster");
  }
}

TEST(comparison, the_same_seed_tells_the_same) {
  relay one(3);
  const auto before = document({one.load()});
  const auto after = document({one.load()});
  EXPECT_EQ(compare(before, after), compare(before, after));
}

TEST(comparison, few_samples_are_not_judged) {
  relay slow(3);
  slow.seconds = 10;
  slow.a_second = 0.8;
  const auto told = compare(document({slow.load()}), document({slow.load()}));
  for (const auto& one : told.at("loads")[0].at("metrics")) {
    EXPECT_EQ(one.at("verdict"), "too few samples to tell") << one;
    EXPECT_TRUE(one.at("low").is_null());
  }
  EXPECT_THAT(std::string(told.at("sentence")), HasSubstr("too few samples"));
}

TEST(comparison, a_p99_takes_five_hundred_samples) {
  relay slow(3);
  slow.seconds = 30;  // about 240 samples
  const auto told = compare(document({slow.load()}), document({slow.load()}));
  EXPECT_EQ(metric(told, "latency_ms.p99").at("verdict"), "too few samples to tell");
  EXPECT_NE(metric(told, "latency_ms.p50").at("verdict"), "too few samples to tell");
}

TEST(comparison, a_change_within_the_steps_of_a_histogram_is_none) {
  auto before = relay(1).load();
  auto after = before;
  before["histograms"]["latency_ms"] = {{1000.0, 5000}};
  after["histograms"]["latency_ms"] = {{1008.0, 5000}};
  const auto told = compare(document({before}), document({after}));
  EXPECT_EQ(metric(told, "latency_ms.p50").at("verdict"), "no difference beyond the noise");
}

TEST(comparison, loads_without_a_partner_are_named) {
  relay one(1);
  const auto told =
      compare(document({one.load(4), one.load(8)}), document({one.load(8), one.load(16)}));
  EXPECT_EQ(told.at("loads").size(), 1U);
  EXPECT_EQ(told.at("loads")[0].at("concurrency"), 8);
  EXPECT_EQ(told.at("only_before"), ordered_json({"concurrency 4"}));
  EXPECT_EQ(told.at("only_after"), ordered_json({"concurrency 16"}));
  const auto lines = comparison_lines(told);
  EXPECT_THAT(lines, Contains("Not measured again: concurrency 4."));
  EXPECT_THAT(lines, Contains("Not measured before: concurrency 16."));
}

TEST(comparison, open_loads_are_matched_by_rate_and_kind) {
  relay one(1);
  const auto open = [&](double rate, const char* kind) {
    auto load = one.load();
    load["concurrency"] = nullptr;
    load["rate"] = rate;
    load["rate_kind"] = kind;
    return load;
  };
  const auto told = compare(document({open(60, "even"), open(120, "even")}),
                            document({open(60, "poisson"), open(120, "even")}));
  ASSERT_EQ(told.at("loads").size(), 1U);
  EXPECT_EQ(told.at("loads")[0].at("rate"), 120);
  EXPECT_EQ(told.at("only_after"), ordered_json({"60 a minute, poisson"}));
}

TEST(comparison, targets_are_matched_by_name) {
  relay one(1);
  const auto target = [&](const char* name, double concurrency) {
    auto told = document({one.load(concurrency)});
    told["name"] = name;
    return told;
  };
  const ordered_json before{{"model", "m"}, {"targets", {target("blue", 4), target("red", 8)}}};
  const ordered_json after{{"model", "m"}, {"targets", {target("red", 8), target("green", 4)}}};
  const auto told = compare(before, after);
  ASSERT_EQ(told.at("loads").size(), 1U);
  EXPECT_EQ(told.at("loads")[0].at("target"), "red");
  EXPECT_EQ(told.at("only_before"), ordered_json({"blue, concurrency 4"}));
  EXPECT_EQ(told.at("only_after"), ordered_json({"green, concurrency 4"}));
}

TEST(comparison, nothing_in_common_is_said) {
  relay one(1);
  const auto told = compare(document({one.load(1)}), document({one.load(2)}));
  EXPECT_THAT(std::string(told.at("sentence")), HasSubstr("nothing to compare"));
}

TEST(comparison, another_model_is_noted) {
  relay one(1);
  auto after = document({one.load()});
  after["model"] = "n\x1b[31m\xE9";
  const auto told = compare(document({one.load()}), after);
  ASSERT_EQ(told.at("notes").size(), 1U);
  for (const auto& line : comparison_lines(told)) {
    EXPECT_EQ(line.find('\x1b'), std::string::npos) << line;
  }
}

TEST(comparison, lines_give_change_interval_and_verdict) {
  relay quick(3);
  const auto before = document({quick.load()});
  quick.latency_ms *= 2;
  const auto told = compare(before, document({quick.load()}));
  const auto lines = comparison_lines(told);
  EXPECT_THAT(lines.front(), HasSubstr("Concurrency 8: "));
  EXPECT_THAT(lines,
              Contains(testing::ContainsRegex(
                  "latency_ms.p50 +[0-9.]+ -> [0-9.e+]+, \\+[0-9.]+ % \\(.+ to .+\\): slower")));
  EXPECT_EQ(lines.back(), told.at("sentence"));
}

TEST(comparison, missing_and_odd_members_do_no_harm) {
  auto bare = relay(1).load();
  for (const char* name : {"requests", "succeeded", "failed", "duration_s", "requests_per_s"})
    bare[name] = nullptr;
  bare["histograms"]["latency_ms"] = {{"x", 3}, {1}};
  bare["histograms"]["ttft_ms"] = nullptr;
  bare["timeline"]["step_s"] = 0;
  bare["timeline"]["succeeded"] = "many";
  const auto told = compare(document({bare}), document({relay(1).load()}));
  EXPECT_EQ(metric(told, "latency_ms.p50").at("verdict"), "too few samples to tell");
  EXPECT_FALSE(comparison_lines(told).empty());
}

TEST(bench_document, another_shape_is_refused_by_one_sentence) {
  const auto refusal = [](std::string_view text) -> std::string {
    try {
      parse_bench_document(text, "--compare", "old.json");
    } catch (const fatal_error& refused) {
      return refused.what();
    }
    return "taken";
  };
  EXPECT_THAT(refusal("{"), HasSubstr("--compare old.json: it is not JSON"));
  EXPECT_THAT(refusal("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal(R"({"job":"x"})"), HasSubstr("neither \"loads\" nor \"targets\""));
  EXPECT_THAT(refusal(R"({"targets":[]})"), HasSubstr("\"targets\" is empty"));
  EXPECT_THAT(refusal(R"({"targets":[1]})"), HasSubstr("a target has no \"loads\""));
  EXPECT_THAT(refusal(R"({"loads":[{}]})"), HasSubstr("neither \"concurrency\" nor \"rate\""));
  EXPECT_THAT(refusal(R"({"loads":[{"concurrency":1}]})"), HasSubstr("no \"histograms\""));
  EXPECT_EQ(refusal(document({relay(1).load()}).dump()), "taken");
}

}  // namespace
}  // namespace sluice::bench
