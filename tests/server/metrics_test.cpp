#include "server/metrics.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>

#include "server/access_log.hpp"
#include "server/request_counts.hpp"
#include "server/request_id.hpp"
#include "server/server_figures.hpp"
#include "server/server_metrics.hpp"

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
  EXPECT_EQ(counts.by_route().at("/a").by_status,
            (std::map<int, std::uint64_t>{{200, 2}, {500, 1}}));
  const auto& times = counts.by_route().at("/a");
  EXPECT_EQ(times.at_most.front(), 1U) << "a bound belongs to its class";
  EXPECT_EQ(times.at_most.at(4), 2U) << "25 ms";
  EXPECT_EQ(times.at_most.at(time_classes::bounds.size() - 1), 2U);
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

TEST(server_metrics, has_the_figures_of_all_parts) {
  request_counts requests;
  requests.add("/v1/files", 200, 3ms);
  server_figures figures(0);
  job_totals totals;
  figures.batch_began("b", "", totals, 0);
  totals.add(success("gpt-4o-mini", "0.125"));
  totals.add(failure_of("timeout"));
  figures.batch_progressed("b", totals, 1);
  figures.batch_ended(store::batch_status::completed);
  figures.store_failed();
  const auto call = figures.call_began("", "gpt-4o-mini", time_point{});
  figures.attempt_began(call);
  figures.attempt_ended(call, true, false);
  figures.call_ended(call, {.status = 200, .took = 20s, .first_byte = 4ms}, 1);
  figures.call_used(call, token_usage{.prompt_tokens = 3}, usd::parse("0.5"), 1);
  figures.call_ended(figures.call_began("", "x", time_point{}), {.status = 429, .error = "429"}, 1);
  run_status runs;
  runs.started_last_minute = 7;
  runs.started_by_others = 5;
  runs.in_flight = 2;
  runs.waiting_for_budget = 1;
  relay_status relay;
  relay.name = "blue";
  relay.resting = true;
  const std::string text = server_metrics({.requests = requests,
                                           .figures = figures.all(),
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
        "sluice_batches{status=\"in_progress\"} 3\n",
        "sluice_batches_queued 2\n",
        "sluice_batches_ended_total{status=\"completed\"} 1\n",
        "sluice_batch_lines_total{result=\"succeeded\"} 1\n",
        "sluice_batch_errors_total{code=\"timeout\"} 1\n",
        "sluice_tokens_total{model=\"gpt-4o-mini\",kind=\"input\"} 13\n",
        "sluice_cost_usd_total{model=\"gpt-4o-mini\"} 0.625\n",
        "sluice_call_tokens_total{model=\"gpt-4o-mini\",kind=\"input\"} 3\n",
        "sluice_call_cost_usd_total{model=\"gpt-4o-mini\"} 0.5\n",
        "sluice_calls_total{result=\"succeeded\"} 1\n",
        "sluice_calls_total{result=\"failed\"} 1\n",
        "sluice_calls_total{result=\"gone\"} 0\n",
        "sluice_call_errors_total{code=\"429\"} 1\n",
        "sluice_calls_open 0\n",
        "sluice_call_duration_seconds_bucket{le=\"60\"} 2\n",
        "sluice_call_duration_seconds_bucket{le=\"15\"} 1\n",
        "sluice_call_first_byte_seconds_bucket{le=\"0.005\"} 1\n",
        "sluice_call_first_byte_seconds_count 1\n",
        "sluice_relay_requests_total 1\n",
        "sluice_relay_starts_last_minute 12\n",
        "sluice_relay_starts_of_others 5\n",
        "sluice_relay_starts_limit 200\n",
        "sluice_requests_waiting{for=\"budget\"} 1\n",
        "sluice_relay_up{relay=\"blue\"} 0\n",
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
