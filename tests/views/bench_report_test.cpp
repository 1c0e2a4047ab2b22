#include "views/bench_report.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace sluice::cli {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;
using testing::Not;

ordered_json one_load() {
  return {{"concurrency", 8},
          {"rate", nullptr},
          {"rpm", 200},
          {"succeeded", 1234},
          {"failed", 5},
          {"requests_per_s", 3.14159},
          {"output_tokens_per_s", 1234.5},
          {"ttft_ms", {{"p50", 152.37}, {"p99", 12.345}}},
          {"inter_token_ms", nullptr},
          {"latency_ms", {{"p50", 0.456}, {"p99", 99.96}}},
          {"errors", ordered_json::object()},
          {"client_busy", 0.1},
          {"held_by_cap", 0.01},
          {"held_by_budget", 0.01},
          {"stopped", nullptr}};
}

ordered_json document(const ordered_json& load) {
  return {{"target", "https://relay.example/v1"},
          {"model", "gpt-4o-mini"},
          {"simulated", false},
          {"cost_usd", "0.0123"},
          {"stopped", nullptr},
          {"loads", ordered_json::array({load})}};
}

TEST(bench_lines, has_a_row_for_each_load) {
  const auto lines = bench_lines(document(one_load()));
  EXPECT_THAT(lines, HasSubstr("https://relay.example/v1, gpt-4o-mini\n"));
  EXPECT_THAT(lines, HasSubstr("8 in flight     1,234      5     3.14    1,235     152    12.3"
                               "       -    0.46     100\n"));
  EXPECT_THAT(lines, HasSubstr("cost $0.0123\n"));
  EXPECT_THAT(lines, Not(HasSubstr("sluice's own cap")));
  EXPECT_THAT(lines, Not(HasSubstr("busy")));
}

TEST(bench_lines, fits_a_narrow_terminal) {
  auto load = one_load();
  load["latency_ms"]["count"] = 20;
  const auto lines = bench_lines(document(load), 60);
  EXPECT_THAT(lines, HasSubstr("  load               ok failed success    TTFT     ITL latency\n"
                               "                                     /s     p50, ms\n"));
  EXPECT_THAT(lines,
              HasSubstr("  8 in flight     1,234      5     3.14     152       -   0.46*\n"));
  EXPECT_THAT(lines, HasSubstr("more columns"));
  EXPECT_EQ(bench_lines(document(load), 100), bench_lines(document(load)));
}

TEST(bench_lines, marks_percentiles_of_few_requests) {
  auto load = one_load();
  load["ttft_ms"]["count"] = 99;
  load["latency_ms"]["count"] = 100;
  EXPECT_THAT(bench_lines(document(load)), HasSubstr("   152*   12.3*       -    0.46     100\n"));
  EXPECT_THAT(bench_lines(document(load)), Not(HasSubstr("fewer than 100")));
  load["latency_ms"]["count"] = 20;
  EXPECT_THAT(bench_lines(document(load)), HasSubstr("  * of fewer than 100 requests: the p99"));
}

TEST(bench_lines, tells_one_reason_once) {
  auto load = one_load();
  load["stopped"] = "the relay cannot be reached";
  auto whole = document(load);
  whole["stopped"] = "the relay cannot be reached";
  const auto lines = bench_lines(whole);
  EXPECT_EQ(lines.find("cannot be reached"), lines.rfind("cannot be reached"));
}

TEST(bench_lines, the_ranking_is_a_line) {
  EXPECT_EQ(ranking_line({{"ranking", {{"sentence", "blue is 2 times as fast"}}}}),
            "blue is 2 times as fast\n");
  EXPECT_EQ(ranking_line({{"ranking", nullptr}}), "");
  EXPECT_EQ(ranking_line(document(one_load())), "");
}

TEST(bench_lines, warns_of_what_the_figures_may_be_instead) {
  auto load = one_load();
  load["held_by_cap"] = 0.63;
  load["held_by_budget"] = 0.31;
  load["client_busy"] = 0.71;
  load["errors"] = {{"429", 3}, {"connection_failed", 2}};
  load["stopped"] = "the budget is spent";
  const auto lines = bench_lines(document(load));
  EXPECT_THAT(lines, HasSubstr("sluice's own cap of 200 a minute held it for 63 % of the time"));
  EXPECT_THAT(lines, HasSubstr("starts waited for the budget for 31 % of the time"));
  EXPECT_THAT(lines, HasSubstr("this program was busy for 71 % of the time"));
  EXPECT_THAT(lines, HasSubstr("failed: 3 429, 2 connection_failed"));
  EXPECT_THAT(lines, HasSubstr("not all of it was sent: the budget is spent"));
}

TEST(bench_warnings, are_those_of_all_loads) {
  EXPECT_TRUE(bench_warnings(document(one_load())).empty());
  auto load = one_load();
  load["client_busy"] = 0.93;
  auto blue = document(load);
  blue["name"] = "blue";
  EXPECT_THAT(bench_warnings({{"targets", ordered_json::array({blue, document(load)})}}),
              testing::ElementsAre(HasSubstr("blue, 8 in flight: this program was busy for 93 %"),
                                   testing::StartsWith("8 in flight: this program was busy")));
}

TEST(bench_lines, has_both_latencies_of_an_open_loop) {
  auto load = one_load();
  load["concurrency"] = nullptr;
  load["rate"] = 120.0;
  load["rate_kind"] = "poisson";
  load["asked_per_s"] = 2;
  load["started_per_s"] = 1.5;
  load["latency_from_intended_ms"] = {{"p50", 2000}, {"p99", 30000}};
  const auto lines = bench_lines(document(load));
  EXPECT_THAT(lines, HasSubstr("120/min P"));
  EXPECT_THAT(lines, HasSubstr("latency is 2,000 ms (p50) and 30,000 ms (p99)"));
  EXPECT_THAT(lines, HasSubstr("1.50 starts/s of 2.00 asked"));
}

TEST(bench_lines, tells_a_limit) {
  auto told = document(one_load());
  told["loads"] = ordered_json::array();
  told["limit"] = {{"kind", "none_found"}, {"rpm", nullptr},
                   {"at_least", 300},      {"at_most", nullptr},
                   {"ceiling", 600},       {"requests", 600},
                   {"refused", 0},         {"evidence", "all got through"}};
  const auto lines = bench_lines(told);
  EXPECT_THAT(lines, HasSubstr("limit: all got through\n"));
  EXPECT_THAT(lines, HasSubstr("at least 300 a minute"));
  EXPECT_THAT(lines, HasSubstr("sluice's own ceiling of 600"));
  EXPECT_THAT(lines, Not(HasSubstr("nothing was measured")));
}

TEST(bench_lines, puts_targets_below_each_other) {
  auto blue = document(one_load());
  blue["name"] = "blue";
  auto green = document(one_load());
  green["name"] = "green";
  green["loads"] = ordered_json::array();
  green["stopped"] = "the relay cannot be reached";
  const auto lines = bench_lines({{"model", "m"}, {"targets", ordered_json::array({blue, green})}});
  EXPECT_THAT(lines, HasSubstr("blue https://relay.example/v1"));
  EXPECT_THAT(lines, HasSubstr("green https://relay.example/v1, gpt-4o-mini\n"
                               "  nothing was measured\n"));
  EXPECT_THAT(lines, HasSubstr("not everything was measured: the relay cannot be reached"));
}

TEST(bench_lines, takes_any_document_and_shows_no_controls) {
  EXPECT_NO_THROW(bench_lines(ordered_json::object()));
  EXPECT_NO_THROW(bench_lines(ordered_json::parse(
      R"({"loads":[1,null,{"ttft_ms":[],"errors":[1],"rate":"x"}],"limit":{},"simulated":3})")));
  auto told = document(one_load());
  told["model"] = "\x1b[31mred";
  EXPECT_THAT(bench_lines(told), Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace sluice::cli
