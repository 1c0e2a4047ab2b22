#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <utility>

#include "probe/claim.hpp"
#include "probe/evaluate.hpp"
#include "probe/plan.hpp"
#include "probe/questions.hpp"
#include "probe/session.hpp"
#include "tokens/prompt_tokens.hpp"
#include "tokens/tokenizer.hpp"
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
  return *claim_of(model, "", relay_prices(price_table::built_in()), "standard");
}

const check& check_named(const report& report, std::string_view name) {
  for (const auto& one : report.checks) {
    if (one.kind->name == name) return one;
  }
  throw std::logic_error("the report does not have this check");
}

const relay_kind& kind_named(std::string_view name) {
  static const auto kinds = relay_kinds();
  for (const auto& kind : kinds) {
    if (kind.name == name) return kind;
  }
  throw std::logic_error("there is no such relay");
}

bool has_limit(const report& made, std::string_view words) {
  return std::any_of(made.limits.begin(), made.limits.end(), [&](const std::string& limit) {
    return limit.find(words) != std::string::npos;
  });
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

// The overhead of this model's messages is not known, so a probe cannot find a hidden prompt.
TEST(probe, an_honest_relay_of_a_reasoning_model_is_never_accused) {
  for (const relay_kind& kind : relay_kinds()) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      if (!kind.honest) continue;
      const auto trial = try_probe(kind, "gpt-5", dollars("0.05"), seed);
      EXPECT_EQ(trial.result.told, verdict::consistent) << kind.name << ", seed " << seed;
    }
  }
}

claim claim_of_gpt_oss() {
  price_table prices;
  prices.merge(R"({"openai/gpt-oss-120b": {"input": "0.15", "output": "0.6"}})", "prices.json");
  return *claim_of("openai/gpt-oss-120b", "", relay_prices(std::move(prices)), "standard");
}

// How the relays of gpt-oss differ: vLLM does not report reasoning tokens apart, Groq does.
enum class reasoning_usage : std::uint8_t { apart, in_total };

// The reply of an honest relay of gpt-oss. The format of the model begins each prompt with a long
// fixed text. The model thinks first, and this counts towards the limit of its answer.
observation answer_of_gpt_oss(const sample& asked, const std::string& model, reasoning_usage kind,
                              std::mt19937_64& random) {
  const tokenizer& words = *tokenizer::of(vocabulary::o200k_base);
  const auto body = nlohmann::json::parse(asked.to_request(model, 1).body);
  const std::int64_t limit =
      body.value("max_completion_tokens", body.value("max_tokens", std::int64_t{4096}));
  std::int64_t thinking = 40 + static_cast<std::int64_t>(random() % 80);
  std::string text;
  for (std::size_t left = 4 + random() % 30; left > 0; --left) text += " river";
  auto spoken = static_cast<std::int64_t>(*words.count(text));
  const bool cut = thinking + spoken > limit;
  if (cut) {
    thinking = std::min(thinking, limit);
    spoken = limit - thinking;
    text.clear();
    for (std::int64_t i = 0; i < spoken; ++i) text += " river";
  }
  constexpr std::int64_t fixed_text = 68;
  result made;
  made.latency_ms = 900;
  made.ttft_ms = 150;
  reply whole;
  whole.http_status = 200;
  whole.usage = token_usage{
      .prompt_tokens = fixed_text + static_cast<std::int64_t>(*words.count(asked.prompt)),
      .completion_tokens = thinking + spoken};
  if (kind == reasoning_usage::apart) whole.usage->reasoning_tokens = thinking;
  whole.body =
      nlohmann::json{
          {"model", model},
          {"choices",
           {{{"message", {{"content", text}, {"reasoning_content", "The user wants that I"}}},
             {"finish_reason", cut ? "length" : "stop"}}}}}
          .dump();
  made.outcome = std::move(whole);
  return observe(asked, made);
}

TEST(probe, an_honest_relay_of_gpt_oss_is_never_accused) {
  const claim sold = claim_of_gpt_oss();
  ASSERT_EQ(sold.tokens, vocabulary::o200k_base);
  for (const reasoning_usage kind : {reasoning_usage::apart, reasoning_usage::in_total}) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      const plan planned = make_plan(sold, dollars("0.05"), seed);
      std::mt19937_64 random(seed);
      evidence found;
      found.sold = sold;
      found.account.why_unknown = "the relay does not show the balance of this key";
      for (const sample& each : planned.samples) {
        found.seen.push_back(answer_of_gpt_oss(each, sold.model, kind, random));
      }
      const report made = evaluate(found);
      SCOPED_TRACE(fmt::format("seed {}", seed));
      for (const check& one : made.checks) {
        const bool accuses =
            one.kind->counts == weight::strong || one.kind->counts == weight::medium;
        EXPECT_FALSE(accuses && one.result == check_result::fail)
            << one.kind->name << ": " << one.evidence;
      }
      EXPECT_EQ(made.told, verdict::consistent);
      EXPECT_EQ(made.identity, identity_finding::fits);
      EXPECT_EQ(check_named(made, "completion_tokens").result,
                kind == reasoning_usage::apart ? check_result::pass : check_result::skip);
    }
  }
}

TEST(probe, a_reasoning_model_is_one_of_the_known_families_but_no_chat_variant) {
  const auto reasons = [](const std::string& model) {
    price_table prices;
    prices.merge(nlohmann::json{{model, {{"input", "1"}, {"output", "2"}}}}.dump(), "prices.json");
    return claim_of(model, "", relay_prices(std::move(prices)), "standard")->reasons;
  };
  for (const char* model : {"gpt-oss-20b", "openai/gpt-oss-120b:free", "o1", "o3-mini", "o4-mini",
                            "gpt-5", "gpt-5.1", "azure/gpt-5-mini", "gpt-6", "gpt-6.1-sol"}) {
    EXPECT_TRUE(reasons(model)) << model;
  }
  for (const char* model : {"gpt-4o", "gpt-5-chat-latest", "gpt-5.1-chat-latest", "gpt-4.1-mini",
                            "deepseek-v4-pro", "gpt-6-chat-latest"}) {
    EXPECT_FALSE(reasons(model)) << model;
  }
}

TEST(probe, a_cut_answer_without_text_shows_nothing_about_the_vocabulary) {
  sample source;
  source.why = purpose::max_tokens;
  source.most_tokens = 24;
  evidence found;
  found.sold = claim_for("gpt-4o");
  observation one;
  one.request = &source;
  one.answered = true;
  const auto judge = [&](const char* text) {
    one.choices = {{.content = text,
                    .finish_reason = "length",
                    .tokens = {},
                    .tool = {},
                    .tool_arguments = {}}};
    found.seen = {one};
    return check_named(evaluate(found), "max_tokens").result;
  };
  EXPECT_EQ(judge(""), check_result::skip);
  EXPECT_EQ(judge(" river river"), check_result::fail);
}

// The price doubles at peak hours. In one of these trials, the peak hours begin in the middle.
TEST(probe, without_a_public_vocabulary_the_verdict_says_that_the_identity_is_not_testable) {
  using enum simulator::cheat;
  for (const relay_kind& kind : relay_kinds()) {
    const auto how = kind.options.cheat.how;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      const auto made = try_probe(kind, "deepseek-v4-pro", dollars("0.05"), seed).result;
      SCOPED_TRACE(kind.name + fmt::format(", seed {}", seed));
      EXPECT_EQ(made.identity, identity_finding::not_testable);
      if (how == overbilled || how == endless) {
        EXPECT_EQ(made.told, verdict::inconsistent);
        EXPECT_EQ(made.bill, bill_finding::wrong);
      } else if (how == fake_stream) {
        EXPECT_EQ(made.told, verdict::suspicious);
      } else if (kind.cut > 0 && check_named(made, "billing").result == check_result::skip) {
        EXPECT_EQ(made.told, verdict::inconclusive);
        EXPECT_TRUE(has_limit(made, "calls that were cut may be billed"));
      } else {
        EXPECT_EQ(made.told, verdict::consistent);
        EXPECT_EQ(made.bill, bill_finding::right);
      }
      EXPECT_TRUE(has_limit(made, "no check can tell which model answers"));
    }
  }
}

TEST(probe, a_bill_at_peak_hours_is_compared_with_the_price_of_these_hours) {
  const auto usual = try_probe(kind_named("honest"), "deepseek-v4-pro", dollars("0.05"), 1);
  const auto peak =
      try_probe(kind_named("honest, at peak hours"), "deepseek-v4-pro", dollars("0.05"), 1);
  EXPECT_EQ(peak.cost, usual.cost * 2);
  EXPECT_EQ(check_named(usual.result, "billing").result, check_result::pass);
  EXPECT_EQ(check_named(peak.result, "billing").result, check_result::pass);
}

TEST(probe, a_relay_that_ignores_the_limit_of_answers_fails_that_check) {
  for (const char* model : {"gpt-4o-mini", "gpt-4", "gpt-5", "deepseek-v4-pro"}) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      const auto trial = try_probe(kind_named("ignores max_tokens"), model, dollars("0.05"), seed);
      SCOPED_TRACE(fmt::format("{}, seed {}", model, seed));
      const check& limit = check_named(trial.result, "max_tokens");
      EXPECT_EQ(limit.result, check_result::fail) << limit.evidence;
      EXPECT_NE(limit.evidence.find("longer than their limit"), std::string::npos);
      EXPECT_EQ(trial.result.bill, bill_finding::wrong);
      EXPECT_LE(trial.cost, dollars("0.06"));
    }
  }
}

TEST(probe, an_answer_may_be_as_long_as_its_limit_but_no_longer) {
  sample source;
  source.why = purpose::question;
  source.most_tokens = 48;
  evidence found;
  found.sold = claim_for("gpt-4");
  observation one;
  one.request = &source;
  one.answered = true;
  const auto judge = [&](int words) {
    std::string text;
    for (int i = 0; i < words; ++i) text += " river";
    one.choices = {
        {.content = text, .finish_reason = "stop", .tokens = {}, .tool = {}, .tool_arguments = {}}};
    found.seen = {one};
    return check_named(evaluate(found), "max_tokens").result;
  };
  EXPECT_EQ(judge(48), check_result::skip) << "it ended by itself";
  EXPECT_EQ(judge(51), check_result::skip) << "a cut character";
  EXPECT_EQ(judge(52), check_result::fail);
  source.most_tokens = 1;
  EXPECT_EQ(judge(16), check_result::skip) << "no limit is lower at some endpoints";
  EXPECT_EQ(judge(19), check_result::fail);
}

TEST(probe, the_cache_check_shows_whether_reads_are_reported_and_discounted) {
  for (const char* model : {"gpt-4o-mini", "gpt-4o", "gpt-5", "deepseek-v4-pro"}) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      SCOPED_TRACE(fmt::format("{}, seed {}", model, seed));
      const auto judged = [&](std::string_view kind) {
        return check_named(try_probe(kind_named(kind), model, dollars("0.05"), seed).result,
                           "cache");
      };
      const check cached = judged("honest, with a cache");
      EXPECT_EQ(cached.result, check_result::pass) << cached.evidence;
      EXPECT_NE(cached.evidence.find(" and discounted: "), std::string::npos) << cached.evidence;
      const check kept = judged("honest, no discount for its cache");
      EXPECT_EQ(kept.result, check_result::fail) << kept.evidence;
      EXPECT_NE(kept.evidence.find("but not discounted"), std::string::npos) << kept.evidence;
      const check none = judged("honest");
      EXPECT_EQ(none.result, check_result::fail);
      EXPECT_NE(none.evidence.find("no token was reported"), std::string::npos) << none.evidence;
    }
  }
}

TEST(probe, the_cache_check_fits_into_the_budget_or_says_why_it_was_skipped) {
  const auto skipped = [](const char* model, const char* budget) {
    const auto trial = try_probe(kind_named("honest, with a cache"), model, dollars(budget), 1);
    const check& cache = check_named(trial.result, "cache");
    EXPECT_LE(trial.cost, dollars(budget));
    return cache.result == check_result::skip ? cache.evidence : std::string();
  };
  EXPECT_NE(skipped("gpt-4", "0.05").find("no discount for tokens that are read from a cache"),
            std::string::npos);
  EXPECT_NE(skipped("o1", "0.05").find("a larger --budget"), std::string::npos);
  EXPECT_EQ(skipped("o1", "1"), "");
  EXPECT_EQ(skipped("gpt-4o-mini", "0.05"), "");
}

TEST(probe, the_samples_of_the_cache_check_come_last_and_one_after_another) {
  const claim sold = claim_for("gpt-4o-mini");
  const plan planned = make_plan(sold, dollars("0.05"), 3);
  ASSERT_EQ(planned.samples.size() - planned.cache_begin, 3U);
  session answers(sold, planned, dollars("0.05"), "order");
  std::size_t before = 0;
  while (answers.next()) ++before;
  EXPECT_EQ(before, planned.cache_begin);
  ASSERT_TRUE(answers.begin_cache_check());
  const auto first = *answers.next();
  const auto second = *answers.next();
  EXPECT_EQ(first.body.substr(0, 3000), second.body.substr(0, 3000));
  EXPECT_EQ(answers.reserve(second), funds::wait);
  EXPECT_EQ(answers.reserve(first), funds::reserved);
  EXPECT_EQ(answers.reserve(second), funds::wait);
  result refused;
  refused.line = first.line;
  refused.custom_id = first.custom_id;
  refused.outcome = failure{};
  answers.attempt_ended({first.job, first.custom_id, 1, first.most}, attempt_end::answered);
  answers.put(std::move(refused));
  EXPECT_EQ(answers.reserve(second), funds::reserved);
}

TEST(probe, tokens_from_the_cache_at_the_full_price_are_no_wrong_bill) {
  evidence found;
  found.sold = claim_for("gpt-4o");
  found.account.tariff = "at 1 times the price";
  found.account.expected = {dollars("1"), dollars("1"), dollars("1"), dollars("1")};
  found.account.cache_expected = {dollars("0.6"), dollars("0.6"), dollars("1"), dollars("1")};
  const auto judge = [&](const char* drop, const char* cache_drop) {
    found.account.drop = dollars(drop);
    found.account.cache_drop = dollars(cache_drop);
    return check_named(evaluate(found), "billing").result;
  };
  EXPECT_EQ(judge("1", "0.6"), check_result::pass);
  EXPECT_EQ(judge("1", "1"), check_result::pass);
  EXPECT_EQ(judge("1", "1.1"), check_result::fail);
  EXPECT_EQ(judge("1.1", "0.6"), check_result::fail) << "the discount must not hide this";
  EXPECT_EQ(judge("0.8", "1.2"), check_result::pass) << "a part was booked late";
}

TEST(probe, each_verdict_has_its_limits) {
  for (const char* model : {"gpt-4o-mini", "gpt-4", "gpt-5", "deepseek-v4-pro"}) {
    for (const relay_kind& kind : relay_kinds()) {
      const auto made = try_probe(kind, model, dollars("0.05"), 5).result;
      SCOPED_TRACE(std::string(model) + ", " + kind.name);
      EXPECT_TRUE(has_limit(made, "may recognize these requests"));
      EXPECT_EQ(has_limit(made, "Models with the same vocabulary"),
                made.identity == identity_finding::fits);
      EXPECT_EQ(has_limit(made, "Hidden reasoning"), std::string(model) == "gpt-5");
      for (const auto& one : made.checks) {
        const bool accuses =
            one.kind->counts == weight::strong || one.kind->counts == weight::medium;
        EXPECT_EQ(has_limit(made, fmt::format("About {}: ", one.kind->name)),
                  accuses && one.result == check_result::fail);
      }
    }
  }
  evidence nothing;
  nothing.sold = claim_for("gpt-4");
  nothing.account.why_unknown = "the relay does not show the balance of this key";
  const auto made = evaluate(nothing);
  EXPECT_EQ(made.told, verdict::inconclusive);
  EXPECT_TRUE(has_limit(made, "The bill was not compared: the relay does not show the balance"));
}

TEST(probe, without_a_vocabulary_and_without_a_balance_it_is_inconclusive) {
  evidence found;
  found.sold = claim_for("deepseek-v4-pro");
  found.account.rows = 3;  // the log names no other model
  EXPECT_EQ(evaluate(found).told, verdict::inconclusive);
  found.account.served = {"gpt-4o-mini"};
  EXPECT_EQ(evaluate(found).identity, identity_finding::wrong);
}

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

TEST(probe, a_log_that_names_a_snapshot_of_the_model_is_no_accusation) {
  evidence found;
  found.account.rows = 3;
  const auto judge = [&found](const char* sold, std::vector<std::string> served) {
    found.sold.model = sold;
    found.account.served = std::move(served);
    return check_named(evaluate(found), "usage_log");
  };
  EXPECT_EQ(judge("gpt-4o", {"gpt-4o-2024-08-06"}).result, check_result::pass);
  EXPECT_EQ(judge("gpt-4o", {"openai/gpt-4o", "gpt-4o"}).result, check_result::pass);
  EXPECT_EQ(judge("openai/gpt-4", {"gpt-4-0613"}).result, check_result::pass);
  EXPECT_EQ(judge("gpt-4o", {"gpt-4o-mini"}).result, check_result::fail);
  EXPECT_EQ(judge("gpt-4o", {"gpt-4o-mini-2024-07-18"}).result, check_result::fail);
  const check mixed = judge("gpt-4o", {"gpt-3.5-turbo", "gpt-4o-2024-08-06"});
  EXPECT_EQ(mixed.result, check_result::fail);
  EXPECT_EQ(mixed.evidence, "the log says that gpt-3.5-turbo served calls for gpt-4o");
}

TEST(probe, a_bill_may_be_rounded_but_not_higher) {
  evidence found;
  found.sold = claim_for("gpt-4");
  found.account.tariff = "at 1 times the price";
  found.account.expected = {dollars("1"), dollars("1"), dollars("1"), dollars("1")};
  found.account.drop = dollars("1.02");
  EXPECT_EQ(check_named(evaluate(found), "billing").result, check_result::pass);
  found.account.drop = dollars("1.021");
  EXPECT_EQ(check_named(evaluate(found), "billing").result, check_result::fail);
  found.account.drop.reset();
  EXPECT_EQ(check_named(evaluate(found), "billing").result, check_result::skip);
}

// The balance after one reply, and one call that was cut in each of the two runs.
TEST(probe, a_call_that_was_cut_may_be_billed) {
  evidence found;
  found.sold = claim_for("gpt-4o-mini");
  const plan planned = make_plan(found.sold, dollars("0.05"), 3);
  session answers(found.sold, planned, dollars("0.05"), "cut");
  const auto cut = [&answers](const request& next, attempt_end how) {
    EXPECT_EQ(answers.reserve(next), funds::reserved);
    answers.attempt_started({next.job, next.custom_id, 1, next.most});
    answers.attempt_ended({next.job, next.custom_id, 1, next.most}, how);
    return next.most;
  };
  const request first = *answers.next();
  const usd lost = cut(first, attempt_end::lost);
  EXPECT_EQ(answers.reserve(first), funds::reserved);
  result replied;
  replied.line = first.line;
  replied.custom_id = first.custom_id;
  reply whole;
  whole.usage = token_usage{.prompt_tokens = 10, .completion_tokens = 1};
  replied.outcome = whole;
  answers.put(std::move(replied));
  while (answers.next()) {
  }
  ASSERT_TRUE(answers.begin_cache_check());
  const usd lost_then = cut(*answers.next(), attempt_end::given_up);
  EXPECT_EQ(answers.cost(), dollars("0.0000021")) << "the price of what was reported";

  found.account.expected = answers.before_cache();
  found.account.cache_expected = answers.in_cache_check();
  const auto judge = [&found](usd drop, usd cache_drop) {
    found.account.drop = drop;
    found.account.cache_drop = cache_drop;
    return check_named(evaluate(found), "billing");
  };
  const usd reported = dollars("0.0000021");
  const usd little = dollars("0.000001");
  const usd much = dollars("0.0001");
  EXPECT_EQ(judge(reported, little).result, check_result::pass);
  const check open = judge(reported + lost, lost_then);
  EXPECT_EQ(open.result, check_result::skip) << "it may be right, but it is not shown";
  EXPECT_NE(open.evidence.find("calls that were cut may be billed"), std::string::npos)
      << open.evidence;
  EXPECT_EQ(judge(reported + lost + much, lost_then).result, check_result::fail);
  EXPECT_EQ(judge(reported + lost, lost_then + much).result, check_result::fail);
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
