#include "views/job_report.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace sluice::cli {
namespace {

using nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const job_files files{"d/x.jsonl", "d/x.output.jsonl", "d/x.errors.jsonl", "d/x.totals.json",
                      "d/x.state"};

TEST(job_report, a_finished_job) {
  const auto totals = ordered_json::parse(R"({"job":"d/x.jsonl","status":"completed",
    "requests":12345,"succeeded":12340,"failed":5,"pending":0,"attempts":12400,"retries":55,
    "tokens":{"prompt":1000,"cached":10,"completion":2000,"reasoning":7},"cost_usd":"1.25",
    "cache":{"read_share":0.01,"saved_usd":"-0.5"},
    "reported_cost_usd":"1.3","unpriced_requests":2,"maybe_billed_attempts":3,
    "finish_reasons":{"length":4,"stop":12336},
    "models":{"gpt-4o":{"requests":12338,"tokens":{"prompt":990,"completion":1990},
    "cost_usd":"1.25"},"other":{"requests":2,"tokens":{},"cost_usd":null}},"wall_s":61.5,
    "max_requests_in_60s":200,"latency_ms":{"p50":812.4,"p90":1000,"p99":2000},"ttft_ms":{"p50":null},
    "errors":{"404":2,"500":3}})");
  const std::string lines = job_report_lines(files, totals, {{"404", "no such model"}}, {});
  EXPECT_THAT(lines,
              HasSubstr("d/x.jsonl: completed: 12,340 of 12,345 succeeded, 5 failed, 0 "
                        "pending\n  failed    3 x 500\n  failed    2 x 404: no such model\n"));
  EXPECT_THAT(lines,
              HasSubstr("  cache     10 tokens read (1.0 % of the prompts), 0 written; writing "
                        "cost $0.5 more than reading saved\n"));
  EXPECT_THAT(lines, AllOf(HasSubstr("$1.25, and 2 without a price or usage"),
                           HasSubstr("$1.3 by the relay's own word"),
                           HasSubstr("gpt-4o: 12,338 succeeded, 990 + 1,990 tokens, $1.25"),
                           HasSubstr("other: 2 succeeded, 0 + 0 tokens, cost unknown"),
                           HasSubstr("ends      stop 12,336, length 4"),
                           HasSubstr("latency   p50 812, p90 1000, p99 2000 ms")));
  EXPECT_THAT(lines, AllOf(HasSubstr("12,400, 55 of them retries; 200 at most in any 60 s"),
                           HasSubstr("3 ended without a result"), HasSubstr("time      1m 02s"),
                           HasSubstr("d/x.errors.jsonl"), Not(HasSubstr("ttft"))));
}

TEST(job_report, is_chinese_where_the_screen_is) {
  const auto totals = ordered_json::parse(R"({"status":"stopped","requests":4,"succeeded":1,
    "failed":2,"pending":1,"attempts":5,"retries":2,"cost_usd":"1.25","wall_s":61.5,
    "models":{"gpt-4o":{"requests":1,"tokens":{"prompt":9,"completion":8},"cost_usd":null}},
    "latency_ms":{"p50":812.4,"p90":1000,"p99":2000},"errors":{"404":2}})");
  const std::string lines =
      job_report_lines(files, totals, {{"404", "no such model"}}, {}, language::chinese);
  EXPECT_THAT(lines, AllOf(HasSubstr("d/x.jsonl：已停止：共 4 个请求，成功 1，失败 2，未完成 1\n"
                                     "  失败      2 x 404: no such model\n"),
                           HasSubstr("\n  费用      $1.25\n"),
                           HasSubstr("\n  模型      gpt-4o：成功 1，9 + 8 token，费用未知\n"),
                           HasSubstr("\n  用时      1分02秒\n"),
                           HasSubstr("尝试      5 次，其中重试 2 次")));
  EXPECT_THAT(job_report_lines(files, {{"status", "running"}}, {},
                               {.is = job_life::state::killed, .quiet_s = 25.4}, language::chinese),
              HasSubstr("d/x.jsonl：26 秒前被强行结束；运行同一条命令即可继续："));
}

TEST(job_report, says_who_works_on_the_job) {
  using enum job_life::state;
  const auto words = [](const job_life& life) {
    return job_report_lines(files, {{"status", "running"}}, {}, life);
  };
  EXPECT_THAT(words({.is = unknown, .quiet_s = 8}),
              HasSubstr("d/x.jsonl: running, as of 8 s ago: 0 of 0 succeeded"));
  EXPECT_THAT(words({.is = killed, .quiet_s = 25.4}), HasSubstr("killed 26 s ago; run the same"));
  EXPECT_THAT(words({.is = running, .process = 4711, .since = 1'700'000'000.0}),
              HasSubstr("running (process 4711, since 2023-11-1"));
  EXPECT_THAT(words({.is = running, .process = 0}), HasSubstr("d/x.jsonl: running: 0 of 0"));
}

TEST(job_report, says_that_a_store_has_the_rest) {
  const ordered_json totals = {{"status", "stopped"}, {"store_job", "x"}, {"pending", 4}};
  EXPECT_THAT(job_report_lines(files, totals, {}, {}),
              HasSubstr("d/x.jsonl: collected so far; 'sluice collect' gets more from the store: "
                        "0 of 0 succeeded"));
  EXPECT_THAT(
      job_report_lines(files, totals, {}, {}, language::chinese),
      HasSubstr("d/x.jsonl：已取回目前的结果；再次运行 sluice collect 可从数据库取回更多："));
}

TEST(job_report, words_of_others_are_made_harmless) {
  const auto totals = ordered_json::parse(
      R"({"status":"completed","errors":{"500":1},"models":{"m\u001b[2J":{"requests":1}}})");
  const std::string lines = job_report_lines(files, totals, {{"500", "\x1b[31mred\nline"}}, {});
  EXPECT_THAT(lines, AllOf(Not(HasSubstr("\x1b")), HasSubstr("m\\x1b[2J"), HasSubstr("red")));
}

TEST(job_report, any_object_is_a_document) {
  const auto odd = ordered_json::parse(
      R"({"status":3,"tokens":[],"models":[1],"errors":"x","latency_ms":7,"requests":-1})");
  EXPECT_THAT(job_report_lines(files, odd, {}, {}), HasSubstr("0 of 0 succeeded"));
}

}  // namespace
}  // namespace sluice::cli
