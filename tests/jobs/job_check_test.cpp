#include "jobs/job_check.hpp"

#include <gmock/gmock.h>

#include <set>

#include "jobs/job_reader.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

using testing::HasSubstr;

std::string line(const std::string& id, const std::string& model, const std::string& content,
                 const std::string& more = R"(,"max_tokens":10)") {
  return R"({"custom_id":")" + id + R"(","model":")" + model +
         R"(","messages":[{"role":"user","content":")" + content + "\"}]" + more + "}\n";
}

struct job_check_test : testing::Test {
  test::temp_dir dir;
  job_options lines;
  relay_prices prices{price_table::built_in()};
  double now = 1'795'000'000;  // 2026-11-18
  bound_defaults defaults;
  likely_replies replies;
  unsigned threads = 2;
  std::vector<checked_request> seen;

  job_check check(const std::string& job) {
    seen.clear();
    return check_job(dir.write("x.jsonl", job), {lines, prices, now, defaults, threads, replies},
                     [this](const checked_request& request) { seen.push_back(request); });
  }
};

TEST_F(job_check_test, sums_up_what_its_requests_take) {
  const auto told = check(line("a", "gpt-4o", "hello world") + line("b", "gpt-4", "hello") +
                          line("c", "gpt-4o", "hello"));
  EXPECT_EQ(told.lines(), 3U);
  EXPECT_EQ(told.good(), 3U);
  EXPECT_TRUE(told.bad_lines().empty());
  EXPECT_EQ(told.most_completion_tokens(), 30U);
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(told.prompt_tokens(),
            seen[0].prompt.tokens + seen[1].prompt.tokens + seen[2].prompt.tokens);
  EXPECT_EQ(told.models().at("gpt-4o").requests, 2U);
  EXPECT_EQ(told.models().at("gpt-4o").prompt_tokens,
            seen[0].prompt.tokens + seen[2].prompt.tokens);
  const auto cost = [](const char* price, std::uint64_t tokens) {
    return *usd::parse(price) * static_cast<std::int64_t>(tokens);
  };
  const usd prompts = cost("0.0000025", told.models().at("gpt-4o").prompt_tokens) +
                      cost("0.00003", told.models().at("gpt-4").prompt_tokens);
  EXPECT_EQ(told.prompt_cost(), prompts);
  const usd replies_at_most = cost("0.00001", 20) + cost("0.00006", 10);
  EXPECT_EQ(told.likely_cost(), prompts + replies_at_most) << "10 tokens are fewer than usual";
  EXPECT_EQ(told.most_cost_at_standard(), prompts + replies_at_most);
  // gpt-4o has a priority tier at 1.7 times the price.
  const usd at_priority =
      cost("0.00000425", told.models().at("gpt-4o").prompt_tokens) + cost("0.000017", 20);
  EXPECT_EQ(told.most_cost(),
            at_priority + cost("0.00003", seen[1].prompt.tokens) + cost("0.00006", 10));
  defaults.tier = "standard";
  EXPECT_EQ(check(line("a", "gpt-4o", "hello world") + line("b", "gpt-4", "hello") +
                  line("c", "gpt-4o", "hello"))
                .most_cost(),
            prompts + replies_at_most);
}

TEST_F(job_check_test, a_likely_reply_is_the_mean_of_earlier_ones_within_its_limit) {
  const auto output_cost = [&](const std::string& job) {
    const auto told = check(job);
    usd reply = *told.likely_cost();
    reply -= *told.prompt_cost();
    return reply.to_string();
  };
  const std::string roomy = R"(,"max_tokens":5000)";
  EXPECT_EQ(output_cost(line("a", "gpt-4", "x", roomy)), "0.02028") << "338 at 0.00006";
  EXPECT_EQ(output_cost(line("a", "gpt-4", "x", roomy + R"(,"n":2)")), "0.04056");
  replies = likely_replies_of(
      R"({"models":{"gpt-4":{"requests":3,"tokens":{"completion":100}},"x":{"requests":0}}})");
  EXPECT_EQ(output_cost(line("a", "gpt-4", "x", roomy)), "0.00204") << "34 at 0.00006";
  EXPECT_EQ(output_cost(line("a", "gpt-4", "x")), "0.0006") << "its limit is lower";
  for (const char* odd : {"", "[]", "{}", R"({"models":[]})", R"({"models":{"gpt-4":3}})",
                          R"({"models":{"gpt-4":{"requests":"3","tokens":{"completion":1}}}})",
                          R"({"models":{"gpt-4":{"requests":3,"tokens":[]}}})",
                          R"({"simulated":true,"models":{"gpt-4":{"requests":3,"tokens":)"
                          R"({"completion":100}}}})"}) {
    EXPECT_TRUE(likely_replies_of(odd).by_model.empty()) << odd;
  }
}

TEST_F(job_check_test, prices_are_those_of_the_time_of_the_check) {
  price_table table;
  table.merge(R"({"format":2,"models":{
    "m":{"input":"10","output":"20",
         "hours":[{"utc":"01:00-04:00","input":"100","output":"200"}],
         "next":[{"from":"2026-12-01","input":"1000","output":"2000"}]},
    "c":{"input":"10","output":"20","tiers":{"fast":{"times":"2"}},
         "geo":{"us":{"times":"1.1"}}}}})",
              "the test");
  prices = relay_prices(std::move(table));
  const auto likely = [&](double time, const std::string& model, const std::string& more = "") {
    now = time;
    check(line("a", model, "hello", R"(,"max_tokens":10)" + more));
    const usd replies_at_20 = *usd::parse("0.00002") * 10;
    const usd at_base =
        *usd::parse("0.00001") * static_cast<std::int64_t>(seen[0].prompt.tokens) + replies_at_20;
    return std::pair(seen[0].likely_cost, at_base);
  };
  const double noon = 1'795'003'200;  // 2026-11-18 12:00 UTC
  EXPECT_EQ(likely(noon, "m").first, likely(noon, "m").second);
  const auto at_night = likely(noon - 10 * 3600, "m");
  EXPECT_EQ(at_night.first, at_night.second * 10) << "the hours are open";
  const auto later = likely(noon + 30 * 86'400, "m");
  EXPECT_EQ(later.first, later.second * 100) << "the announced rates are in force";
  likely(noon, "c", R"(,"speed":"fast","inference_geo":"us")");
  EXPECT_EQ(seen[0].prompt_cost,
            *usd::parse("0.000022") * static_cast<std::int64_t>(seen[0].prompt.tokens));
}

TEST_F(job_check_test, tells_each_request_in_order_whatever_the_threads) {
  std::string job;
  for (int i = 0; i < 3000; ++i) {  // several blocks
    job += line("r" + std::to_string(i), "gpt-4o", std::string(1000, 'x'));
  }
  std::set<std::uint64_t> sums;
  for (const unsigned many : {1U, 2U, 7U}) {
    threads = many;
    sums.insert(check(job).prompt_tokens());
    ASSERT_EQ(seen.size(), 3000U);
    for (std::size_t i = 0; i < seen.size(); ++i) {
      ASSERT_EQ(seen[i].line, i + 1);
      ASSERT_EQ(seen[i].custom_id, "r" + std::to_string(i));
    }
  }
  EXPECT_EQ(sums.size(), 1U);
}

TEST_F(job_check_test, finds_the_bad_lines_that_a_run_finds) {
  lines.max_line_bytes = 200;
  const std::string job = line("a", "gpt-4o", "hi") + "\n{oops\n" + line("a", "gpt-4o", "twice") +
                          "[]\n" + line("b", "gpt-4o", std::string(300, 'x')) +
                          R"({"method":"GET","url":"/v1/chat/completions","body":{}})" + "\n" +
                          line("c", "gpt-4o", "good");
  const auto told = check(job);
  std::vector<std::pair<std::uint64_t, std::string>> bad;
  for (const auto& each : told.bad_lines()) bad.emplace_back(each.line, told.message_of(each));
  std::vector<std::pair<std::uint64_t, std::string>> expected;
  std::set<std::string> ids;
  job_reader reader(dir / "x.jsonl", lines);
  while (const auto next = reader.next()) {
    if (!*next) {
      expected.emplace_back(next->error().line, next->error().message);
    } else if (!ids.insert((*next)->custom_id).second) {
      expected.emplace_back((*next)->line,
                            duplicate_line((*next)->line, (*next)->custom_id).message);
    }
  }
  EXPECT_EQ(bad, expected);
  EXPECT_EQ(told.lines(), 7U) << "blank lines are none";
  EXPECT_EQ(told.good(), 2U);
  EXPECT_EQ(told.bad_lines()[1].code, errc::duplicate_custom_id);
}

TEST_F(job_check_test, reads_no_further_than_the_limit) {
  lines.limit = 2;
  EXPECT_EQ(check(line("a", "gpt-4o", "x") + line("b", "gpt-4o", "x") + "{oops\n").lines(), 2U);
}

TEST_F(job_check_test, what_has_no_bound_or_no_price_is_not_summed_up) {
  auto told = check(line("a", "gpt-4o", "x") + line("b", "nobody-knows", "x", ""));
  EXPECT_FALSE(told.most_completion_tokens());
  EXPECT_FALSE(told.most_cost());
  EXPECT_TRUE(told.prompt_cost()) << "at least what is known";
  ASSERT_TRUE(told.unbounded());
  EXPECT_EQ(told.unbounded()->line, 2U);
  EXPECT_THAT(told.unbounded()->why, HasSubstr("how long"));
  EXPECT_TRUE(told.models().at("nobody-knows").rough);
  EXPECT_FALSE(told.models().at("nobody-knows").exact);
  EXPECT_FALSE(told.models().at("nobody-knows").priced);
  EXPECT_TRUE(told.models().at("gpt-4o").priced);
  EXPECT_FALSE(seen[1].encoding);
  defaults.reply_tokens = 100;
  told = check(line("b", "nobody-knows", "x", ""));
  EXPECT_EQ(told.most_completion_tokens(), 100U);
  EXPECT_FALSE(told.prompt_cost());
  EXPECT_FALSE(told.most_cost());
}

// A priced request may have no bound: its account may serve it at a tier that lacks a rate.
TEST_F(job_check_test, the_highest_cost_is_unknown_if_that_of_a_request_is) {
  price_table table;
  table.merge(R"({"format":2,"models":{
    "m":{"input":"10","output":"20"},
    "half":{"input":"10","output":"20","tiers":{"priority":{"input":"20"}}}}})",
              "the test");
  prices = relay_prices(std::move(table));
  EXPECT_TRUE(check(line("a", "m", "x")).most_cost());
  const auto told = check(line("a", "m", "x") + line("b", "half", "x"));
  EXPECT_TRUE(told.likely_cost());
  EXPECT_FALSE(told.most_cost());
  EXPECT_FALSE(told.most_cost_at_standard());
}

TEST_F(job_check_test, takes_as_long_as_the_tighter_limit_lets) {
  const auto told = check(line("a", "gpt-4o", "x") + line("b", "gpt-4o", "x"));
  EXPECT_FALSE(told.minutes_at(0, 0));
  EXPECT_EQ(told.minutes_at(4, 0), 0.5);
  const auto tokens = told.prompt_tokens() + 20;
  EXPECT_EQ(told.minutes_at(0, tokens), 1);
  EXPECT_EQ(told.minutes_at(4, tokens), 1);
  EXPECT_EQ(told.minutes_at(1, tokens), 2);
}

TEST_F(job_check_test, a_job_without_a_line_is_refused) {
  for (const char* job : {"", "\n \n"}) {
    try {
      check(job);
      ADD_FAILURE();
    } catch (const fatal_error& refusal) {
      EXPECT_THAT(refusal.what(), HasSubstr("is empty"));
    }
  }
}

}  // namespace
}  // namespace sluice
