#include "jobs/job_reprice.hpp"

#include <gmock/gmock.h>

#include <string>

#include "jobs/result_line.hpp"
#include "jobs/result_price.hpp"
#include "openai/whole_reply.hpp"
#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

using testing::ElementsAre;

result success(const std::string& model, const std::optional<token_usage>& usage) {
  result made;
  made.line = 7;
  made.custom_id = "of " + model;
  made.model = model;
  made.digest = std::string(32, 'd');
  made.attempts = 1;
  reply whole;
  whole.body = R"({"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]})";
  whole.usage = usage;
  made.outcome = whole;
  return made;
}

price_table prices(const char* json) {
  price_table table;
  table.merge(json, "a test");
  return table;
}

std::string text(const std::optional<usd>& amount) {
  return amount ? amount->to_string() : "none";
}

class job_reprice_file : public testing::Test {
 protected:
  void add(const result& finished, const char* cost) {
    output_ += result_line(finished, cost == nullptr ? std::nullopt : usd::parse(cost), false);
  }
  job_reprice reprice(const relay_prices& prices, std::size_t most_named = 10) {
    return reprice_job(folder_.write("x.output.jsonl", output_),
                       folder_.write("x.errors.jsonl", errors_), prices, most_named);
  }

  test::temp_dir folder_;
  std::string output_;
  std::string errors_;
};

TEST_F(job_reprice_file, sums_old_and_new_costs_by_model) {
  const token_usage usage{.prompt_tokens = 1'000'000, .completion_tokens = 1'000'000};
  add(success("a", usage), "0.1");
  add(success("b", usage), "0.5");
  add(success("a", usage), "0.2");
  const auto found =
      reprice(prices(R"({"a":{"input":"0.1","output":"0.2"},"b":{"input":"0.1","output":"0.1"}})"));
  const auto& a = found.models.at("a");
  EXPECT_EQ(a.requests, 2U);
  EXPECT_EQ(text(a.old_cost), "0.3");
  EXPECT_EQ(text(a.new_cost), "0.6");
  EXPECT_EQ(text(a.difference), "0.3");
  EXPECT_EQ(text(found.models.at("b").difference), "-0.3");
  EXPECT_EQ(found.total.requests, 3U);
  EXPECT_EQ(text(found.total.old_cost), "0.8");
  EXPECT_EQ(text(found.total.new_cost), "0.8");
  EXPECT_EQ(text(found.total.difference), "0");
  EXPECT_TRUE(found.unpriced.empty());
}

TEST_F(job_reprice_file, what_has_no_price_before_or_now_is_left_out_of_the_difference) {
  const token_usage usage{.prompt_tokens = 1'000'000, .completion_tokens = 1'000'000};
  token_usage written = usage;
  written.cache_write_tokens = 5;
  add(success("a", usage), nullptr);         // has a price only now
  add(success("a", usage), "0.1");           // has a price before and now
  add(success("a", written), "7");           // no rate for cache writes
  add(success("a", std::nullopt), nullptr);  // no usage
  add(success("gone", usage), "5");
  add(success("gone", usage), "5");
  add(success("gone", usage), "5");
  output_ += R"({"id":"batch_req_1","custom_id":"to)";  // an incomplete line: a run is writing
  const auto found = reprice(prices(R"({"a":{"input":"0.1","output":"0.2"}})"), 2);
  const auto& a = found.models.at("a");
  EXPECT_EQ(a.requests, 4U);
  EXPECT_EQ(a.without_old, 2U);
  EXPECT_EQ(a.without_new, 2U);
  EXPECT_EQ(text(a.old_cost), "7.1");
  EXPECT_EQ(text(a.new_cost), "0.6");
  EXPECT_EQ(text(a.difference), "0.2");
  const auto& gone = found.models.at("gone");
  EXPECT_EQ(text(gone.old_cost), "15");
  EXPECT_EQ(text(gone.new_cost), "none");
  EXPECT_EQ(text(gone.difference), "none");
  EXPECT_EQ(text(found.total.difference), "0.2");
  EXPECT_EQ(found.unreadable_lines, 1U);
  ASSERT_EQ(found.unpriced.size(), 3U);
  EXPECT_EQ(found.unpriced.at({"a", "cache_write"}).requests, 1U);
  EXPECT_EQ(found.unpriced.at({"a", "usage"}).requests, 1U);
  const auto& named = found.unpriced.at({"gone", "price"});
  EXPECT_EQ(named.requests, 3U);
  ASSERT_EQ(named.first.size(), 2U);
  EXPECT_EQ(named.first[0].custom_id, "of gone");
  EXPECT_EQ(named.first[0].line, 7U);
}

TEST_F(job_reprice_file, uses_the_tier_times_and_cache_writes_of_the_line) {
  const relay_prices built_in{price_table::built_in()};
  result flex = success("gpt-5.6-luna", token_usage{.prompt_tokens = 300'000,
                                                    .completion_tokens = 2000,
                                                    .cache_write_tokens = 290'000});
  flex.outcome->service_tier = "flex";
  add(flex, "1");
  EXPECT_EQ(text(reprice(built_in).total.new_cost), "0.0763");
  output_.clear();
  result peak = success(
      "deepseek-v4-pro",
      token_usage{.prompt_tokens = 12'000, .cached_tokens = 10'000, .completion_tokens = 3000});
  peak.started_at = 1'795'773'599;  // 2026-11-27 09:59:59 UTC: the last second of the high price
  add(peak, "1");
  EXPECT_EQ(text(reprice(built_in).total.new_cost), "0.01496");
  output_.clear();
  peak.started_at += 1;
  add(peak, "1");
  EXPECT_EQ(text(reprice(built_in).total.new_cost), "0.00748");
}

TEST_F(job_reprice_file, uses_the_speed_and_the_place_of_the_usage) {
  const relay_prices built_in{price_table::built_in()};
  const struct {
    const char* model;
    const char* members;
    const char* cost;
  } rows[] = {
      {"claude-opus-4-8", R"("service_tier":"standard","speed":"fast","inference_geo":"us")",
       "0.066"},
      {"claude-opus-4-8", R"("speed":"fast")", "0.06"},
      {"claude-opus-4-8", R"("speed":"fast","service_tier":"fast")", "0.06"},
      {"claude-opus-4-8", R"("inference_geo":"us")", "0.033"},
      {"claude-opus-4-8", R"("service_tier":"batch","inference_geo":"us")", "0.0165"},
      {"claude-opus-4-8", R"("speed":"standard","inference_geo":"global")", "0.03"},
      {"claude-opus-4-8", R"("speed":null,"inference_geo":"not_available")", "0.03"},
      {"claude-opus-4-8", R"("speed":35.5,"inference_geo":null)", "0.03"},  // tokens per second
      {"claude-opus-4-8", R"("speed":"turbo")", "none"},
      {"claude-opus-4-8", R"("speed":"batch")", "none"},
      {"claude-opus-4-8", R"("inference_geo":"eu")", "none"},
      {"claude-opus-4-8", R"("service_tier":"batch","speed":"fast")", "none"},
      {"claude-sonnet-4-5", R"("speed":"fast")", "none"},
      {"claude-sonnet-4-5", R"("inference_geo":"us")", "none"},
      {"gpt-4o", R"("service_tier":"fast")", "0.02125"},
      {"gpt-4o", R"("speed":"fast")", "none"},  // it has a priority tier
  };
  for (const auto& row : rows) {
    result made = success(row.model, {});
    made.started_at = 1'795'000'000;  // 2026-11-18
    made.outcome = *openai::read_whole_reply(
        made.outcome->body.substr(0, made.outcome->body.size() - 1) +
            R"(,"usage":{"prompt_tokens":1000,"completion_tokens":1000,)" + row.members + "}}",
        made.target, 0);
    const auto cost = price_of(made, built_in).cost;
    EXPECT_EQ(text(cost), row.cost) << row.model << " " << row.members;
    output_ = result_line(made, cost, false);
    EXPECT_EQ(text(reprice(built_in).total.new_cost), row.cost) << output_;
  }
}

TEST_F(job_reprice_file, with_the_prices_of_the_run_nothing_changes) {
  const relay_prices built_in{price_table::built_in()};
  int lines = 0;
  for (const char* model : {"gpt-4o", "gpt-5.6-sol", "deepseek-v4-pro", "claude-sonnet-4-5"}) {
    const model_prices* price = built_in.listed("", model);
    ASSERT_NE(price, nullptr) << model;
    for (int i = 0; i < 50; ++i) {
      const std::int64_t written = i % 2 == 0 || model[0] == 'd' || model[4] == '4' ? 0 : i;
      result made = success(model, token_usage{.prompt_tokens = 1000 + i,
                                               .cached_tokens = 7 * i,
                                               .completion_tokens = 31 * i,
                                               .cache_write_tokens = written});
      // Times around the end of an hour with another price, in steps of 3.99 ms.
      made.started_at = 1'795'773'599.9 + i * 0.00399;
      made.latency_ms = 0.04 * i;
      output_ += result_line(made, price->cost(*made.outcome->usage, serving_of(made)).cost, false);
      ++lines;
    }
  }
  const auto found = reprice(built_in);
  EXPECT_EQ(found.total.requests, static_cast<std::uint64_t>(lines));
  EXPECT_EQ(found.total.without_old, 0U);
  for (const auto& [name, model] : found.models) EXPECT_EQ(text(model.difference), "0") << name;
}

TEST_F(job_reprice_file, each_relay_of_a_pool_has_its_prices) {
  relay_prices pool(prices(R"({"m":{"input":"1","output":"1"}})"));
  pool.set("blue", prices(R"({"m":{"input":"3","output":"1"}})"));
  for (const char* relay : {"blue", "green"}) {
    result made = success("m", token_usage{.prompt_tokens = 1'000'000});
    made.relay = relay;
    add(made, "2");
  }
  EXPECT_EQ(text(reprice(pool).total.new_cost), "4");
}

TEST_F(job_reprice_file, embeddings_need_no_price_of_output) {
  result made = success("text-embedding-3-small", token_usage{.prompt_tokens = 8191});
  made.outcome->body = R"({"object":"list","data":[{"embedding":[0.5]}]})";
  add(made, "1");
  EXPECT_EQ(text(reprice(price_table::built_in()).total.new_cost), "0.00016382");
}

// These replies are in the totals, too.
TEST_F(job_reprice_file, counts_the_rejected_replies_of_requests_that_failed) {
  const token_usage usage{.prompt_tokens = 1'000'000, .completion_tokens = 1'000'000};
  const auto rejected = [&](const char* cost) {
    rejected_reply one;
    one.usage = usage;
    one.cost = usd::parse(cost);
    return one;
  };
  const auto failed = [&](const std::string& id, const std::vector<rejected_reply>& replies) {
    result made = success("a", usage);
    made.custom_id = id;
    failure why;
    why.code = errc::reply_rejected;
    why.body = made.outcome->body;
    made.outcome = why;
    errors_ += result_line(made, std::nullopt, false, {}, {}, replies);
  };
  failed("one", {rejected("0.1")});
  failed("one", {rejected("0.1"), rejected("0.2")});
  failed("two", {rejected("0.5")});
  failed("three", {});
  result later = success("a", usage);
  later.custom_id = "two";
  output_ += result_line(later, usd::parse("1"), false, {}, {}, {rejected("0.5")});
  const auto found = reprice(prices(R"({"a":{"input":"0.1","output":"0.2"}})"));
  EXPECT_EQ(found.unreadable_lines, 0U);
  const auto& a = found.models.at("a");
  EXPECT_EQ(a.requests, 2U);
  EXPECT_EQ(text(a.old_cost), "1.8");
  EXPECT_EQ(text(a.new_cost), "1.2");
  EXPECT_EQ(text(a.difference), "-0.6");
  const auto unknown = reprice(prices("{}")).unpriced;
  ASSERT_EQ(unknown.size(), 1U);
  EXPECT_EQ(unknown.at({"a", "price"}).requests, 2U);
}

TEST_F(job_reprice_file, that_is_not_there) {
  EXPECT_THROW(reprice_job(folder_ / "none.jsonl", folder_ / "no.errors.jsonl", relay_prices(), 1),
               fatal_error);
}

TEST_F(job_reprice_file, without_a_file_of_errors) {
  add(success("a", std::nullopt), "1");
  const auto found =
      reprice_job(folder_.write("x.output.jsonl", output_), folder_ / "none.jsonl", {}, 1);
  EXPECT_EQ(found.total.requests, 1U);
}

}  // namespace
}  // namespace sluice
