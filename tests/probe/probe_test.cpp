#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "probe/claim.hpp"
#include "probe/evaluate.hpp"
#include "probe/plan.hpp"
#include "probe/questions.hpp"
#include "tokens/prompt_tokens.hpp"
#include "trial.hpp"

namespace sluice::probe {
namespace {

using test::accused;
using test::relay_kind;
using test::relay_kinds;
using test::try_probe;

constexpr std::uint64_t seeds = 40;

usd dollars(std::string_view text) {
  return *usd::parse(text);
}

claim claim_for(const std::string& model) {
  return *claim_of(model, "", relay_prices(price_table::built_in()));
}

const check& check_named(const report& report, std::string_view name) {
  for (const auto& one : report.checks) {
    if (one.kind->name == name) return one;
  }
  throw std::logic_error("the report does not have this check");
}

class probed_models : public ::testing::TestWithParam<std::string> {};

TEST_P(probed_models, an_honest_relay_is_never_accused_and_a_cheat_is_found) {
  for (const relay_kind& kind : relay_kinds()) {
    if (kind.options.cheat.how == simulator::cheat::mixed) continue;
    std::uint64_t found = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      if (accused(try_probe(kind, GetParam(), dollars("0.05"), seed).result)) ++found;
    }
    if (kind.honest) {
      EXPECT_EQ(found, 0U) << kind.name;
    } else {
      EXPECT_GE(found, seeds * 95 / 100) << kind.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(models, probed_models,
                         ::testing::Values("gpt-4o-mini", "gpt-3.5-turbo", "gpt-4o",
                                           "gpt-4-1106-preview", "gpt-4"),
                         [](const auto& model) {
                           std::string name = model.param;
                           for (char& c : name) {
                             if (c == '-' || c == '.') c = '_';
                           }
                           return name;
                         });

TEST(probe, a_mixture_is_found_or_the_check_does_not_pass) {
  for (const auto& kind : relay_kinds()) {
    if (kind.options.cheat.how != simulator::cheat::mixed) continue;
    std::uint64_t found = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      const auto cheap = try_probe(kind, "gpt-4o-mini", dollars("0.05"), seed);
      if (accused(cheap.result)) ++found;
      const auto dear = try_probe(kind, "gpt-4", dollars("0.02"), seed);
      EXPECT_NE(check_named(dear.result, "mixed_routing").result, check_result::pass);
    }
    EXPECT_GE(found, seeds * 95 / 100);
  }
}

TEST(probe, never_exceeds_its_budget_and_uses_most_of_it) {
  for (const char* budget : {"0.000001", "0.002", "0.01", "0.05", "1"}) {
    for (const char* model : {"gpt-4o-mini", "gpt-4", "o1"}) {
      const plan planned = make_plan(claim_for(model), dollars(budget), 7);
      usd sum;
      for (const auto& one : planned.samples) sum += one.most;
      EXPECT_EQ(sum, planned.at_most);
      EXPECT_LE(planned.at_most, dollars(budget)) << model;
    }
  }
  EXPECT_TRUE(make_plan(claim_for("gpt-4"), dollars("0.000001"), 7).samples.empty());
}

TEST(probe, a_hidden_prompt_does_not_break_the_budget) {
  for (const auto& kind : relay_kinds()) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      const auto trial = try_probe(kind, "gpt-4", dollars("0.05"), seed);
      EXPECT_LE(trial.cost, dollars("0.06")) << kind.name << ", seed " << seed;
    }
  }
}

TEST(probe, all_texts_of_a_plan_differ_and_the_seed_repeats_them) {
  const claim sold = claim_for("gpt-4o-mini");
  const plan first = make_plan(sold, dollars("0.05"), 11);
  const plan again = make_plan(sold, dollars("0.05"), 11);
  ASSERT_EQ(first.samples.size(), again.samples.size());
  std::set<std::string> texts;
  std::size_t counted = 0;
  for (std::size_t i = 0; i < first.samples.size(); ++i) {
    EXPECT_EQ(first.samples[i].body, again.samples[i].body);
    if (first.samples[i].why != purpose::prompt_tokens) continue;
    ++counted;
    texts.insert(first.samples[i].prompt);
  }
  EXPECT_EQ(texts.size(), counted);
}

TEST(probe, without_a_known_vocabulary_no_token_check_fails) {
  const auto trial =
      try_probe(relay_kinds().front(), "claude-3-5-sonnet-20241022", dollars("0.05"), 1);
  EXPECT_EQ(check_named(trial.result, "prompt_tokens").result, check_result::skip);
  EXPECT_FALSE(accused(trial.result));
}

TEST(probe, a_log_that_names_another_model_is_inconsistent) {
  evidence found;
  found.sold = claim_for("gpt-4");
  found.account.rows = 3;
  EXPECT_EQ(check_named(evaluate(found), "usage_log").result, check_result::pass);
  found.account.served = {"gpt-3.5-turbo"};
  EXPECT_EQ(check_named(evaluate(found), "usage_log").result, check_result::fail);
  EXPECT_EQ(evaluate(found).told, verdict::inconsistent);
}

TEST(probe, a_bill_may_be_rounded_but_not_higher) {
  evidence found;
  found.sold = claim_for("gpt-4");
  found.account.tariff = "at 1 times the price";
  found.account.expected = dollars("1");
  found.account.expected_at_most = dollars("1");
  found.account.drop = dollars("1.02");
  EXPECT_EQ(check_named(evaluate(found), "billing").result, check_result::pass);
  found.account.drop = dollars("1.021");
  EXPECT_EQ(check_named(evaluate(found), "billing").result, check_result::fail);
  found.account.drop.reset();
  EXPECT_EQ(check_named(evaluate(found), "billing").result, check_result::skip);
}

TEST(probe, refusals_show_whether_the_limits_are_those_of_the_model) {
  sample source;
  source.why = purpose::context_limit;
  evidence found;
  found.sold = claim_for("gpt-4");
  observation refused;
  refused.request = &source;
  refused.status = 400;
  const auto judged = [&](const char* words) {
    refused.refusal = words;
    found.seen = {refused};
    return check_named(evaluate(found), "context_limit").result;
  };
  EXPECT_EQ(judged("This model's maximum context length is 8192 tokens. However, you requested"),
            check_result::pass);
  EXPECT_EQ(judged("This model's maximum context length is 16385 tokens."), check_result::fail);
  EXPECT_EQ(judged("max_tokens is too large: 9000. This model supports at most 4,096 completion "
                   "tokens"),
            check_result::pass);
  EXPECT_EQ(judged("max_tokens is too large: 9000. This model supports at most 16384 completion"),
            check_result::fail);
  EXPECT_EQ(judged("no"), check_result::skip);
}

TEST(probe, trick_questions_tell_strong_answers_from_weak_ones) {
  const auto strong = [](std::string_view name, std::string_view answer) {
    return find_question(name)->strong(answer);
  };
  EXPECT_TRUE(strong("day-zh", "前天。"));
  EXPECT_FALSE(strong("day-zh", "昨天。"));
  EXPECT_TRUE(strong("birds-zh", "0 只，因为其他的鸟都飞走了。"));
  EXPECT_FALSE(strong("birds-zh", "还剩 8 只。"));
  EXPECT_TRUE(strong("birds-en", "None: the others flew away."));
  EXPECT_FALSE(strong("birds-en", "8 are left."));
  EXPECT_TRUE(strong("writer-zh", "鲁迅是周树人的笔名，他们是同一个人。"));
  EXPECT_FALSE(strong("writer-zh", "因为他们在学校里有过争执。"));
  EXPECT_TRUE(strong("writer-en", "They are the same person."));
}

}  // namespace
}  // namespace sluice::probe
