#include "views/run_summary.hpp"

#include <gmock/gmock.h>

#include "support/temp_dir.hpp"

namespace sluice::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct run_summary_test : testing::Test {
  test::temp_dir dir;
  run_outcome outcome;  // the outcome of the run

  // The summary of a job. Each letter is the outcome of a line: 's'ucceeded, '5'00, '4'00,
  // 'm'issing model, 'p'ending, 'b'ad line.
  std::string summary(const std::string& ends,
                      const std::vector<std::string>& command = {"sluice", "run", "x.jsonl"},
                      const std::string& relay = {}, language spoken = language::english) {
    std::string text;
    std::string sent;
    for (const char how : ends) {
      text += how == 'b' ? "no JSON\n" : "{\"model\":\"gpt-4o\",\"messages\":[]}\n";
      if (how != 'b') sent += how;
    }
    output_options output;
    output.durable = durability::none;
    output.fresh = true;
    job_set jobs({dir.write("x.jsonl", text)}, {}, output, price_table::built_in());
    std::size_t i = 0;
    while (auto next = jobs.next()) {
      const char how = sent[i++];
      if (how == 'p') continue;
      result finished;
      finished.line = next->line;
      finished.custom_id = next->custom_id;
      finished.relay = relay;
      finished.model = next->model;
      finished.digest = next->digest;
      if (how == 's') {
        reply whole;
        whole.body = "{}";
        whole.usage = token_usage{1000, 400, 100, 0};
        finished.outcome = whole;
      } else {
        failure why;
        why.http_status = how == '5' ? 500 : 400;
        why.kind = how == '5' ? failure_class::passing : failure_class::permanent;
        why.model_missing = how == 'm';
        why.message = "the relay's own words";
        finished.retryable = how == '5';
        finished.outcome = why;
      }
      jobs.attempt_started({0, next->custom_id, 1, {}});
      jobs.put(std::move(finished));
    }
    jobs.flush();
    return run_summary(jobs, 125, spoken) + "\n" +
           next_command(jobs, outcome, {command, {}}, true, spoken) + "\n" +
           one_line_summary(jobs, stop_sentence(outcome), spoken) + "\n";
  }
};

TEST_F(run_summary_test, what_failed_alike_is_corrected_before_the_next_run) {
  outcome.reason = stop_reason::refused_alike;
  EXPECT_THAT(summary("pp"),
              HasSubstr("next      correct --model or the job, then sluice run x.jsonl\n"));
}

TEST_F(run_summary_test, tells_what_each_member_of_a_pool_served) {
  EXPECT_THAT(summary("ss", {"sluice"}, "blue"),
              HasSubstr("\n  relay     blue: 2 replies, $0.006\n"));
  EXPECT_THAT(summary("ss"), Not(HasSubstr("  relay ")));
}

TEST_F(run_summary_test, tells_counts_failures_tokens_cost_and_files) {
  const std::string text = summary("sss44p");
  for (const std::string part :
       {"3 of 6 succeeded, 2 failed, 1 pending", "2 x 400: gpt-4o: the relay's own words",
        "3,000 prompt (1,200 cached) + 300 completion",
        "  cache     1,200 tokens read (40.0 % of the prompts), 0 written; saved $0.0015\n",
        "$0.009", "2m 05s", "5, 0 of them"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(text, HasSubstr(dir / "x.output.jsonl"));
  EXPECT_THAT(text, HasSubstr(dir / "x.errors.jsonl"));
  EXPECT_THAT(text, HasSubstr(dir / "x.totals.json"));
}

TEST_F(run_summary_test, is_chinese_where_the_screen_is) {
  outcome = {stop_reason::relay_down, "the relay's own words"};
  const std::string text =
      summary("sss44pb", {"sluice", "run", "x.jsonl"}, "blue", language::chinese);
  for (const std::string part :
       {"x.jsonl：共 7 个请求，成功 3，失败 3，未完成 1\n",
        "\n  失败      2 x 400: gpt-4o: the relay's own words\n",
        "\n  token     输入 3,000（缓存 1,200）+ 输出 300\n",
        "\n  缓存      读 1,200 token（占输入 40.0 %），写 0；节省 $0.0015\n",
        "\n  费用      $0.009\n", "\n  中转站    blue：3 个回复，$0.009\n",
        "\n  尝试      5 次，其中重试 0 次\n", "\n  文件      ", "\n用时      2分05秒\n",
        "\n下一步    sluice run x.jsonl\n",
        "已停止：超过 --give-up-after 规定的时间没有一个请求成功（the relay's own "
        "words）；重新运行即可"
        "继续；",
        "成功 3，失败 3（2 x 400: gpt-4o: the relay's own words，1 x invalid_json_line），未完成 "
        "1；"
        "费用 $0.009"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  outcome = {};
  EXPECT_THAT(summary("sb", {"sluice", "run", "x.jsonl"}, "", language::chinese),
              HasSubstr("\n下一步    改正 " + dir / "x.errors.jsonl" +
                        " 指出的行，然后 sluice run x.jsonl\n"));
  EXPECT_THAT(summary("sm", {"sluice", "run", "x.jsonl"}, "", language::chinese),
              HasSubstr("\n下一步    'sluice models' 列出中转站有的模型，其中没有 gpt-4o；"));
}

TEST_F(run_summary_test, says_nothing_of_a_cache_that_was_not_used) {
  EXPECT_THAT(summary("4"), Not(HasSubstr("  cache ")));
}

TEST_F(run_summary_test, ends_with_the_command_to_type_next) {
  EXPECT_THAT(summary("sp4"), HasSubstr("next      sluice run x.jsonl\n"));
  EXPECT_THAT(summary("s5"), HasSubstr("next      sluice run x.jsonl\n"));
  EXPECT_THAT(summary("s4"), HasSubstr("next      sluice run x.jsonl --retry-failed\n"));
  EXPECT_THAT(summary("s45"), HasSubstr("next      sluice run x.jsonl\n"));
  EXPECT_THAT(summary("sb"),
              HasSubstr("next      correct the lines that " + dir / "x.errors.jsonl" +
                        " names, then sluice run x.jsonl\n"));
  EXPECT_THAT(summary("sm"),
              HasSubstr("next      'sluice models' lists what the relay has, and gpt-4o"));
  EXPECT_THAT(summary("ss"), HasSubstr("next      jq "));
}

TEST_F(run_summary_test, the_command_can_be_pasted) {
  const std::string text =
      summary("p", {"sluice", "run", "my job.jsonl", "--system", "it's", "--fresh"});
  EXPECT_THAT(text, HasSubstr(R"(next      sluice run 'my job.jsonl' --system 'it'\''s')"
                              "\n"));
  EXPECT_THAT(text, Not(HasSubstr("--fresh"))) << "it would throw away what is there";
}

TEST_F(run_summary_test, retry_failed_is_not_said_twice) {
  EXPECT_THAT(summary("4", {"sluice", "run", "x.jsonl", "--retry-failed"}),
              Not(HasSubstr("--retry-failed --retry-failed")));
}

TEST(stop_sentence, names_the_reason_and_the_next_step) {
  const std::tuple<stop_reason, const char*, const char*> rows[] = {
      {stop_reason::key_ended, "words", "key"},
      {stop_reason::quota_spent, "words", "sluice quota"},
      {stop_reason::blocked, "words", "gateway"},
      {stop_reason::unreachable, "words", "HTTPS_PROXY"},
      {stop_reason::wrong_address, "words", "https://relay.example/v1"},
      {stop_reason::bad_certificate, "words", "SSL_CERT_FILE"},
      {stop_reason::bad_proxy, "words", "user:password@"},
      {stop_reason::relay_down, "words", "run again"},
      {stop_reason::come_back_later, "words", "run again"},
      {stop_reason::budget_spent, "words", "--budget"},
      {stop_reason::interrupted, "", "interrupted"},
  };
  for (const auto& [reason, words, part] : rows) {
    const std::string told = stop_sentence({reason, words}).english;
    EXPECT_THAT(told, HasSubstr(words));
    EXPECT_THAT(told, HasSubstr(part));
    const std::string chinese = stop_sentence({reason, words}).chinese;
    EXPECT_THAT(chinese, HasSubstr(words));
    EXPECT_THAT(chinese,
                testing::StartsWith(reason == stop_reason::interrupted ? "已中断；" : "已停止："));
  }
  EXPECT_TRUE(stop_sentence({}).empty());
  const std::string told = stop_sentence({stop_reason::budget_spent, "words"},
                                         {{*usd::parse("0.42"), *usd::parse("0.1"), 500}})
                               .english;
  EXPECT_THAT(told, HasSubstr("may cost up to $0.42, and $0.10 is left"));
  EXPECT_THAT(told, HasSubstr("max_tokens 500 or less"));
}

TEST(stop_sentence, names_what_was_given_up_before) {
  const run_outcome plain{stop_reason::key_ended, "no"};
  EXPECT_EQ(with_given_up(stop_sentence(plain), plain), stop_sentence(plain));
  for (const auto gave_up : {stop_reason::refused_alike, stop_reason::model_out}) {
    const run_outcome both{stop_reason::key_ended, "no", {}, gave_up, "the relay's words"};
    const wording told = with_given_up(stop_sentence(both), both);
    for (const std::string& text : {told.english, told.chinese}) {
      EXPECT_THAT(text, HasSubstr("the relay's words"));
    }
    EXPECT_THAT(told.english, HasSubstr(stop_sentence(both).english + "; "));
  }
}

TEST_F(run_summary_test, a_job_that_was_given_up_is_corrected_whatever_stopped_the_run) {
  outcome = {stop_reason::key_ended, "no", {}, stop_reason::refused_alike, "unknown model"};
  EXPECT_THAT(summary("pp"),
              HasSubstr("next      correct --model or the job, then sluice run x.jsonl\n"));
}

}  // namespace
}  // namespace sluice::cli
