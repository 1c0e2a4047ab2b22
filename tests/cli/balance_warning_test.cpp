#include "cli/balance_warning.hpp"

#include <gtest/gtest.h>

#include <string>

#include "support/temp_dir.hpp"

namespace sluice::cli {
namespace {

struct balance_warning_test : testing::Test {
  test::temp_dir folder;

  // The estimated cost if ten prompts like this one are still to be sent.
  usd estimate(const std::string& line, double unix_now) {
    job_set::job_summary job;
    job.job = folder.write("x.jsonl", line + "\n" + line + "\n");
    job.to_send = 10;
    price_table prices;
    prices.merge(R"({"format":2,"date":"2026-11-22","sources":{},"models":{"m":{"input":"1000",
      "output":"1000","tiers":{"flex":{"times":"0.5"}},
      "next":[{"from":"2026-12-01","input":"3000"}]}}})",
                 "a test");
    return estimate_prompts({job}, {}, prices, unix_now);
  }
};

constexpr double before = 1'795'000'000;  // November 2026
constexpr double after = 1'797'000'000;   // December

TEST_F(balance_warning_test, prompts_cost_what_they_would_now) {
  const std::string line = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";
  const usd now = estimate(line, before);
  EXPECT_GT(now, usd{});
  EXPECT_EQ(estimate(line, after), now * 3);
}

TEST_F(balance_warning_test, prompts_cost_what_they_would_at_their_tier) {
  const auto at_tier = [&](const std::string& tier) {
    return estimate(R"({"model":"m","messages":[{"role":"user","content":"hi"}],"service_tier":")" +
                        tier + "\"}",
                    before);
  };
  EXPECT_GT(at_tier("default"), usd{});
  EXPECT_EQ(at_tier("flex") * 2, at_tier("default"));
  EXPECT_EQ(at_tier("auto"), at_tier("default"));
  EXPECT_EQ(at_tier("turbo"), usd{}) << "it has no price";
}

}  // namespace
}  // namespace sluice::cli
