#include "page/job_history.hpp"

#include <gmock/gmock.h>

#include "jobs/result_line.hpp"

namespace sluice {
namespace {

using nlohmann::ordered_json;
using testing::ElementsAre;

result success(const std::string& id, double started_at, double latency_ms) {
  reply whole;
  whole.http_status = 200;
  whole.request_id = "req-" + id;
  whole.body =
      R"({"choices":[{"message":{"content":"</sluice> \"sluice\":{}"},"finish_reason":"stop"}]})";
  whole.usage = token_usage{
      .prompt_tokens = 10, .cached_tokens = 0, .completion_tokens = 11, .reasoning_tokens = 0};
  whole.streamed = true;
  result told;
  told.custom_id = id;
  told.digest = "00";
  told.model = "gpt-4o-mini";
  told.line = 1;
  told.attempts = 2;
  told.started_at = started_at;
  told.latency_ms = latency_ms;
  told.ttft_ms = 100;
  told.outcome = whole;
  return told;
}

result failed(const std::string& id, const failure& why) {
  result told = success(id, 1700000003, 50);
  told.ttft_ms.reset();
  told.outcome = why;
  return told;
}

failure http(int status, const std::string& body) {
  failure why;
  why.code = errc::http_error;
  why.http_status = status;
  why.body = body;
  why.request_id = "refused";
  return why;
}

ordered_json told_of(const std::vector<result>& results) {
  job_history history;
  for (const auto& one : results) history.add(result_line(one, std::nullopt, false));
  ordered_json job;
  history.add_to(job);
  return job;
}

TEST(job_history, of_nothing) {
  const auto job = told_of({});
  EXPECT_EQ(job["lines"], 0);
  EXPECT_TRUE(job["started_at"].is_null());
  EXPECT_TRUE(job["latency_ms"].is_null());
  EXPECT_TRUE(job["timeline"]["started"].empty());
  EXPECT_TRUE(job["slowest"].empty());
}

TEST(job_history, times_of_the_successes) {
  const auto job = told_of({success("a", 1700000000, 1100), success("b", 1700000001, 2100),
                            failed("c", http(500, "oops"))});
  EXPECT_EQ(job["lines"], 3);
  EXPECT_EQ(job["streamed"], 2);
  EXPECT_EQ(job["started_at"], 1700000000.0);
  EXPECT_NEAR(job["ended_at"].get<double>(), 1700000003.1, 1e-3);
  EXPECT_EQ(job["latency_ms"]["count"], 2);
  EXPECT_EQ(job["latency_ms"]["mean"], 1600.0);
  EXPECT_EQ(job["latency_ms"]["max"], 2100.0);
  EXPECT_EQ(job["ttft_ms"]["mean"], 100.0);
  EXPECT_EQ(job["inter_token_ms"]["mean"], 150.0);  // ten tokens in 1000 ms and in 2000 ms
  EXPECT_EQ(job["histograms"]["latency_ms"].size(), 2U);
  EXPECT_EQ(job["model_times"]["gpt-4o-mini"]["latency_ms"], job["latency_ms"]);
}

TEST(job_history, no_quantile_is_above_the_greatest) {
  const auto job = told_of({success("a", 1700000000, 1613)});
  for (const char* share : {"p50", "p90", "p99"}) EXPECT_LE(job["latency_ms"][share], 1613.0);
}

TEST(job_history, what_happened_when) {
  const auto job = told_of({success("a", 1700000000, 1100), failed("b", http(429, "slow down"))});
  const auto& times = job["timeline"];
  EXPECT_EQ(times["started_at"], 1700000000.0);
  EXPECT_EQ(times["step_s"], 0.5);
  EXPECT_THAT(times["started"].get<std::vector<int>>(), ElementsAre(1, 0, 0, 0, 0, 0, 1));
  EXPECT_THAT(times["succeeded"].get<std::vector<int>>(), ElementsAre(0, 0, 1, 0, 0, 0, 0));
  EXPECT_THAT(times["failed"].get<std::vector<int>>(), ElementsAre(0, 0, 0, 0, 0, 0, 1));
  EXPECT_THAT(times["output_tokens"].get<std::vector<int>>(), ElementsAre(0, 0, 11, 0, 0, 0, 0));
}

TEST(job_history, times_by_how_much_was_in_flight) {
  std::vector<result> results = {success("alone", 1700000000, 500)};
  for (int i = 0; i < 4; ++i) results.push_back(success(std::to_string(i), 1700000010, 1100));
  const auto loads = told_of(results)["by_in_flight"];
  ASSERT_EQ(loads.size(), 2U);
  EXPECT_EQ(loads[0]["up_to"], 1.0);
  EXPECT_EQ(loads[0]["requests"], 1);
  EXPECT_EQ(loads[0]["inter_token_ms"], 40.0);
  EXPECT_EQ(loads[1]["above"], 2.0);
  EXPECT_EQ(loads[1]["up_to"], 4.0);
  EXPECT_EQ(loads[1]["requests"], 4);
  EXPECT_EQ(loads[1]["ttft_ms"], 100.0);
}

TEST(job_history, the_slowest_with_their_ids) {
  std::vector<result> results;
  for (int i = 1; i <= 30; ++i)
    results.push_back(success("r" + std::to_string(i * 7 % 31), 1700000000, i * 7 % 31 * 10));
  const auto slowest = told_of(results)["slowest"];
  ASSERT_EQ(slowest.size(), job_history::most_slowest);
  for (std::size_t at = 0; at < slowest.size(); ++at) {
    EXPECT_EQ(slowest[at]["id"], "r" + std::to_string(30 - at));
    EXPECT_EQ(slowest[at]["latency_ms"], static_cast<double>(30 - at) * 10);
  }
  EXPECT_EQ(slowest[0]["request_id"], "req-r30");
  EXPECT_EQ(slowest[0]["completion_tokens"], 11);
  EXPECT_EQ(slowest[0]["attempts"], 2);
}

TEST(job_history, failures_in_their_own_words) {
  failure cut;
  cut.code = errc::stream_interrupted;
  cut.message = "the stream ended early";
  const auto job = told_of({failed("a", http(404, R"({"error":{"message":"no such model"}})")),
                            failed("b", http(502, "<html><title>Bad Gateway</title></html>")),
                            failed("c", cut)});
  const auto& told = job["failures"];
  ASSERT_EQ(told.size(), 3U);
  EXPECT_EQ(told[0]["id"], "a");
  EXPECT_EQ(told[0]["error"], "404");
  EXPECT_EQ(told[0]["message"], "no such model");
  EXPECT_EQ(told[0]["request_id"], "refused");
  EXPECT_EQ(told[1]["message"], "Bad Gateway");
  EXPECT_EQ(told[2]["error"], "stream_interrupted");
  EXPECT_EQ(told[2]["message"], "the stream ended early");
  EXPECT_TRUE(told[2]["request_id"].is_null());
  EXPECT_EQ(job["reasons"]["404"], "no such model");
}

TEST(job_history, a_rare_failure_is_told_beside_many) {
  std::vector<result> results = {failed("rare", http(404, "gone"))};
  for (int i = 0; i < 100; ++i)
    results.push_back(failed("m" + std::to_string(i), http(500, "oops")));
  const auto told = told_of(results)["failures"];
  ASSERT_EQ(told.size(), job_history::most_failures);
  EXPECT_EQ(told.front()["id"], "rare");
  EXPECT_EQ(told.back()["id"], "m99");
}

TEST(job_history, a_bad_line_has_no_time) {
  failure bad;
  bad.code = errc::invalid_json_line;
  bad.message = "no JSON";
  result line;
  line.custom_id = "line-3";
  line.line = 3;
  line.outcome = bad;
  const auto job = told_of({line});
  EXPECT_TRUE(job["timeline"]["started"].empty());
  EXPECT_TRUE(job["failures"][0]["started_at"].is_null());
  EXPECT_TRUE(job["failures"][0]["model"].is_null());
  EXPECT_EQ(job["failures"][0]["error"], "invalid_json_line");
}

TEST(job_history, times_that_no_clock_tells_are_passed_over) {
  job_history history;
  for (const char* moment : {"-1", "1e300"}) {
    std::string line = result_line(success("a", 1700000000, 1), std::nullopt, false);
    const std::string written = "1700000000.000";
    line.replace(line.find(written), written.size(), moment);
    history.add(line);
  }
  ordered_json job;
  history.add_to(job);
  EXPECT_TRUE(job["timeline"]["started"].empty());
  EXPECT_EQ(job["latency_ms"]["count"], 2);
}

TEST(job_history, what_no_run_wrote_is_counted) {
  job_history history;
  for (const char* line : {"", "{", "[]", "null", "{}", R"({"custom_id":"a"})", "\x01\xff",
                           R"({"custom_id":1,"sluice":7})"}) {
    history.add(line);
  }
  ordered_json job;
  history.add_to(job);
  EXPECT_EQ(job["lines"], 8);
  EXPECT_EQ(job["unreadable_lines"], 8);
}

TEST(job_history, models_without_end_are_not_all_told_apart) {
  std::vector<result> results;
  for (std::size_t i = 0; i < 3 * job_history::most_models; ++i) {
    results.push_back(success("a", 1700000000, 1000));
    results.back().model = "model-" + std::to_string(i);
  }
  const auto job = told_of(results);
  EXPECT_EQ(job["model_times"].size(), job_history::most_models);
  EXPECT_EQ(job["latency_ms"]["count"], 3 * job_history::most_models);
}

TEST(job_document, the_totals_have_the_last_word) {
  job_history history;
  history.add(result_line(success("a", 1700000000, 1100), std::nullopt, true));
  const ordered_json totals = {{"status", "running"},
                               {"latency_ms", {{"p50", 1}, {"p90", 2}, {"p99", nullptr}}}};
  const auto job = job_document("x.jsonl", totals, history, 200, 1700000009.5);
  EXPECT_EQ(job["job"], "x.jsonl");
  EXPECT_EQ(job["rpm"], 200);
  EXPECT_EQ(job["as_of"], 1700000009.5);
  EXPECT_EQ(job["totals"], totals);
  EXPECT_EQ(job["simulated"], 1);
  EXPECT_EQ(job["latency_ms"]["p50"], 1);
  EXPECT_EQ(job["latency_ms"]["p90"], 2);
  EXPECT_TRUE(job["latency_ms"]["p99"].is_number());
}

}  // namespace
}  // namespace sluice
