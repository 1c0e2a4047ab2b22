#include "server/metrics.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "server/access_log.hpp"
#include "server/request_counts.hpp"
#include "server/request_id.hpp"
#include "server/server_metrics.hpp"
#include "server/work_counts.hpp"

namespace sluice::server {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using enum metrics_text::kind;

TEST(metrics, a_family_has_its_help_and_its_type_before_its_samples) {
  metrics_text text;
  text.family(counter, "a_total", "What it\ncounts \\ \"so\".");
  text.sample({}, std::uint64_t{18'446'744'073'709'551'615U});
  text.sample({{"x", "1"}, {"y", "a\"b\\c\nd"}}, 0.5);
  text.family(gauge, "b", "Money.");
  text.sample_text({{"model", "m"}}, "0.000000000000000001");
  EXPECT_EQ(text.text(),
            "# HELP a_total What it\\ncounts \\\\ \"so\".\n"
            "# TYPE a_total counter\n"
            "a_total 18446744073709551615\n"
            "a_total{x=\"1\",y=\"a\\\"b\\\\c\\nd\"} 0.5\n"
            "# HELP b Money.\n"
            "# TYPE b gauge\n"
            "b{model=\"m\"} 0.000000000000000001\n");
}

TEST(metrics, a_family_without_samples_is_left_out) {
  metrics_text text;
  text.family(gauge, "empty", "Nothing.");
  text.family(gauge, "full", "Something.");
  text.sample({}, 1.0);
  EXPECT_THAT(text.text(), AllOf(StartsWith("# HELP full"), Not(HasSubstr("empty"))));
}

TEST(metrics, numbers_that_are_none_have_their_own_words) {
  metrics_text text;
  text.family(gauge, "a", "A.");
  text.sample({}, std::nan(""));
  text.sample({}, std::numeric_limits<double>::infinity());
  text.sample({}, -std::numeric_limits<double>::infinity());
  EXPECT_THAT(text.text(), HasSubstr("a NaN\na +Inf\na -Inf\n"));
}

TEST(request_counts, times_are_counted_in_every_class_that_holds_them) {
  request_counts counts;
  counts.add("/a", 200, 1ms);
  counts.add("/a", 200, 20ms);
  counts.add("/a", 500, 10min);
  counts.add("/b", 200, 0ms);
  EXPECT_EQ(counts.by_status().at({"/a", 200}), 2U);
  EXPECT_EQ(counts.by_status().at({"/a", 500}), 1U);
  const auto& times = counts.by_route().at("/a");
  EXPECT_EQ(times.at_most.front(), 1U) << "a bound belongs to its class";
  EXPECT_EQ(times.at_most.at(4), 2U) << "25 ms";
  EXPECT_EQ(times.at_most.at(request_counts::bounds.size() - 1), 2U);
  EXPECT_EQ(times.at_most.back(), 3U);
  EXPECT_DOUBLE_EQ(times.sum_s, 600.021);
}

line_facts success(const std::string& model, const char* cost) {
  line_facts line;
  line.succeeded = true;
  line.model = model;
  line.usage = token_usage{.prompt_tokens = 10, .completion_tokens = 5};
  line.cost = usd::parse(cost);
  return line;
}
line_facts failure_of(const std::string& code) {
  line_facts line;
  line.error = code;
  return line;
}

TEST(work_counts, only_what_is_done_since_the_start_counts) {
  work_counts counts([](std::string_view model) { return model != "strange"; });
  job_totals totals;
  totals.add(success("m", "1"));
  counts.progressed("b", totals);
  counts.began("b", totals);
  EXPECT_EQ(counts.now().succeeded, 0U) << "an earlier process did it";
  totals.add(success("m", "0.000000000000000002"));
  totals.add(success("strange", "3"));
  totals.add(failure_of("timeout"));
  totals.attempts = 4;
  totals.retries = 1;
  counts.progressed("b", totals);
  counts.progressed("b", totals);
  EXPECT_EQ(counts.now().succeeded, 2U);
  EXPECT_EQ(counts.now().failed, 1U);
  EXPECT_EQ(counts.now().attempts, 4U);
  EXPECT_EQ(counts.now().retries, 1U);
  EXPECT_EQ(counts.now().errors.at("timeout"), 1U);
  EXPECT_EQ(counts.now().tokens.at("m").prompt_tokens, 10);
  EXPECT_EQ(counts.now().cost.at("m").to_string(), "0.000000000000000002");
  EXPECT_EQ(counts.now().cost.at("other").to_string(), "3");
  EXPECT_FALSE(counts.now().cost.contains("strange")) << "a client made this name up";
}

TEST(work_counts, never_go_down) {
  work_counts counts([](std::string_view) { return true; });
  job_totals totals;
  counts.began("b", totals);
  totals.add(failure_of("timeout"));
  counts.progressed("b", totals);
  totals.take_back_failure("timeout", false);
  counts.progressed("b", totals);
  EXPECT_EQ(counts.now().failed, 1U);
  totals.add(success("m", "1"));
  counts.stopped("b", totals);
  EXPECT_EQ(counts.now().failed, 1U);
  EXPECT_EQ(counts.now().succeeded, 1U);
  // The next run of the same batch begins where this one ended.
  counts.began("b", totals);
  counts.stopped("b", totals);
  EXPECT_EQ(counts.now().succeeded, 1U);
}

TEST(work_counts, errors_and_models_without_end_are_counted_together) {
  work_counts counts([](std::string_view) { return true; });
  job_totals totals;
  counts.began("b", totals);
  for (int i = 0; i < 500; ++i) {
    totals.add(failure_of("code" + std::to_string(i)));
    totals.add(success("model" + std::to_string(i), "1"));
  }
  counts.progressed("b", totals);
  EXPECT_EQ(counts.now().errors.size(), work_counts::most_errors + 1);
  EXPECT_EQ(counts.now().errors.at("other"), 500 - work_counts::most_errors);
  EXPECT_EQ(counts.now().tokens.size(), work_counts::most_models + 1);
}

TEST(server_metrics, has_the_figures_of_all_parts) {
  request_counts requests;
  requests.add("/v1/files", 200, 3ms);
  work_counts work([](std::string_view) { return true; });
  job_totals totals;
  work.began("b", totals);
  totals.add(success("gpt-4o-mini", "0.125"));
  totals.add(failure_of("timeout"));
  work.progressed("b", totals);
  work.ended(store::batch_status::completed);
  work.store_failed();
  run_status runs;
  runs.started_last_minute = 7;
  runs.in_flight = 2;
  runs.waiting_for_budget = 1;
  relay_status relay;
  relay.name = "blue";
  relay.resting = true;
  const std::string text = server_metrics({.requests = requests,
                                           .work = work.now(),
                                           .now = {},
                                           .runs = runs,
                                           .requests_per_minute = 200,
                                           .relays = {relay},
                                           .open_batches = {{store::batch_status::in_progress, 3}},
                                           .batches_at_work = 1,
                                           .connections = 4,
                                           .process = {}});
  for (const char* line :
       {"sluice_http_requests_total{route=\"/v1/files\",status=\"200\"} 1\n",
        "sluice_http_request_duration_seconds_bucket{route=\"/v1/files\",le=\"0.005\"} 1\n",
        "sluice_http_request_duration_seconds_bucket{route=\"/v1/files\",le=\"+Inf\"} 1\n",
        "sluice_http_request_duration_seconds_count{route=\"/v1/files\"} 1\n",
        "sluice_batches{status=\"in_progress\"} 3\n", "sluice_batches_queued 2\n",
        "sluice_batches_ended_total{status=\"completed\"} 1\n",
        "sluice_batch_lines_total{result=\"succeeded\"} 1\n",
        "sluice_batch_errors_total{code=\"timeout\"} 1\n",
        "sluice_tokens_total{model=\"gpt-4o-mini\",kind=\"input\"} 10\n",
        "sluice_cost_usd_total{model=\"gpt-4o-mini\"} 0.125\n",
        "sluice_relay_starts_last_minute 7\n", "sluice_relay_starts_limit 200\n",
        "sluice_requests_waiting{for=\"budget\"} 1\n", "sluice_relay_up{relay=\"blue\"} 0\n",
        "sluice_store_errors_total 1\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(request_id, is_the_client_s_own_if_it_is_plain) {
  EXPECT_EQ(request_id_of("trace-1_2.3:4/5+6=@"), "trace-1_2.3:4/5+6=@");
  EXPECT_EQ(request_id_of(std::string(128, 'a')), std::string(128, 'a'));
  for (const std::string& bad :
       {std::string(), std::string("a b"), std::string("a\"b"), std::string("a\r\nb"),
        std::string("\xc3\xa9"), std::string(129, 'a')}) {
    EXPECT_THAT(request_id_of(bad), StartsWith("req_")) << bad;
  }
  EXPECT_NE(request_id_of(std::nullopt), request_id_of(std::nullopt));
}

TEST(access_log, a_request_is_one_line_of_json) {
  access_entry entry;
  entry.unix_time = 1'700'000'000.0625;
  entry.key = "al\"ice";
  entry.method = "GET";
  entry.route = "/v1/files/{id}";
  entry.status = 200;
  entry.bytes_out = 12;
  entry.duration_ms = 1.5;
  entry.request_id = "req_1";
  EXPECT_EQ(access_line(entry),
            R"({"time":"2023-11-14T22:13:20.062Z","key":"al\"ice","peer":null,"method":"GET",)"
            R"("route":"/v1/files/{id}","status":200,"bytes_in":0,"bytes_out":12,)"
            R"("duration_ms":1.500,"request_id":"req_1"})");
}

}  // namespace
}  // namespace sluice::server
