// Tests of replies that do not have the expected shape: what they cost, and which files record this
// cost.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "jobs/job_files.hpp"
#include "jobs/job_follower.hpp"
#include "jobs/job_reprice.hpp"
#include "jobs/result_line.hpp"
#include "jobs/stored_line.hpp"
#include "sluice/error.hpp"
#include "sluice/job_set.hpp"
#include "sluice/reply_check.hpp"
#include "support/faulty_files.hpp"
#include "support/job_rig.hpp"

namespace sluice {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;
using step = reply_verdict::step;

// Rejects replies that contain "bad". Requests with a body that contains "unchecked" cannot be
// checked.
struct test_check final : reply_check {
  std::optional<std::string> why_unchecked(const request& asked) const override {
    if (asked.body.find("unchecked") == std::string::npos) return std::nullopt;
    return "It cannot be checked.";
  }
  std::optional<std::string> fault_of(const request& /*asked*/, const reply& whole) const override {
    if (whole.body.find("bad") == std::string::npos) return std::nullopt;
    return "the reply is bad";
  }
  std::optional<std::string> body_with_reason(const request& asked, const reply& /*rejected*/,
                                              const std::string& reason) const override {
    std::string body = asked.body;
    return body.insert(body.find("}]") + 1, R"(,{"role":"user","content":")" + reason + "\"}");
  }
};

std::string job_line(const std::string& id, const std::string& prompt = "hi") {
  return R"({"custom_id":")" + id +
         R"(","model":"gpt-4o","max_tokens":50,"messages":[{"role":"user","content":")" + prompt +
         R"("}]})" + "\n";
}

reply said(const std::string& text, std::optional<token_usage> usage = token_usage{100, 0, 10, 0}) {
  reply whole;
  whole.body =
      R"({"choices":[{"index":0,"message":{"content":")" + text + R"("},"finish_reason":"stop"}]})";
  whole.usage = usage;
  whole.finish_reasons = {{"stop", 1}};
  return whole;
}

// With gpt-4o: 100 tokens at $2.50 and 10 tokens at $10.00 per million.
constexpr auto one_reply = "0.00035";

usd dollars(const std::string& text) {
  return *usd::parse(text);
}

struct rejected_replies_test : test::job_rig {
  rejected_replies_test() { lines.expect = std::make_shared<test_check>(); }

  // Makes one attempt, as the engine does. Returns true if the request now has its line.
  static bool attempt(job_set& jobs, request& asked, std::uint32_t& sent,
                      boost::system::result<reply, failure> outcome) {
    EXPECT_EQ(jobs.reserve(asked), funds::reserved);
    jobs.attempt_started({asked.job, asked.custom_id, asked.attempts + ++sent, asked.most});
    result finished = result_for(asked, asked.attempts + sent);
    finished.started_at += sent;
    finished.outcome = std::move(outcome);
    if (!finished.outcome) {
      jobs.attempt_ended({asked.job, asked.custom_id, asked.attempts + sent, asked.most},
                         attempt_end::answered);
    } else {
      const reply_verdict verdict = jobs.examine(asked, finished);
      if (verdict.next == step::again) return false;
      if (verdict.next == step::give_up) {
        failure why;
        why.code = errc::reply_rejected;
        why.kind = failure_class::permanent;
        why.http_status = 200;
        why.message = verdict.reason;
        why.body = finished.outcome->body;
        finished.outcome = why;
      }
    }
    jobs.put(std::move(finished));
    return true;
  }

  // Runs the job; `texts` answer the attempts of each request. If no text is left, the request
  // stays pending. Returns the number of attempts.
  unsigned run(const std::vector<std::string>& texts, bool finishes = true) {
    auto jobs = open();
    unsigned attempts = 0;
    bool complete = true;
    while (auto next = jobs->next()) {
      std::uint32_t sent = 0;
      bool done = false;
      for (const std::string& text : texts) {
        ++attempts;
        if ((done = attempt(*jobs, *next, sent, said(text)))) break;
      }
      complete = complete && done;
    }
    jobs->flush();
    if (finishes) jobs->finish(complete ? job_status::completed : job_status::interrupted, 1, 1);
    return attempts;
  }

  json totals() const { return json::parse(dir.read("x.totals.json")); }
  json line_in(const std::string& file, std::size_t index = 0) const {
    return json::parse(dir.lines(file).at(index));
  }
};

TEST_F(rejected_replies_test, stand_in_the_line_and_their_cost_in_line_and_totals) {
  dir.write("x.jsonl", job_line("a"));
  EXPECT_EQ(run({"bad", "good"}), 2U);
  const json extra = line_in("x.output.jsonl")["sluice"];
  EXPECT_EQ(extra["attempts"], 2);
  EXPECT_EQ(extra["cost_usd"], "0.0007");
  EXPECT_EQ(extra["reply_cost_usd"], one_reply);
  EXPECT_EQ(extra["usage"]["prompt_tokens"], 100);
  ASSERT_EQ(extra["rejected"].size(), 1U);
  const json& rejected = extra["rejected"][0];
  EXPECT_EQ(rejected["reason"], "the reply is bad");
  EXPECT_EQ(rejected["cost_usd"], one_reply);
  EXPECT_EQ(rejected["usage"]["completion_tokens"], 10);
  EXPECT_EQ(rejected["usage_source"], "reported");
  const json told = totals();
  EXPECT_EQ(told["cost_usd"], "0.0007");
  EXPECT_EQ(told["tokens"]["prompt"], 200);
  EXPECT_EQ(told["rejected"]["replies"], 1);
  EXPECT_EQ(told["rejected"]["cost_usd"], one_reply);
  EXPECT_EQ(told["rejected"]["tokens"]["total"], 110);
  EXPECT_EQ(told["models"]["gpt-4o"]["requests"], 1);
  EXPECT_EQ(told["models"]["gpt-4o"]["cost_usd"], "0.0007");
  EXPECT_EQ(told["attempts"], 2);
  EXPECT_EQ(told["maybe_billed_attempts"], 0);
  EXPECT_FALSE(dir.has("x.state"));
}

TEST_F(rejected_replies_test, leave_no_trace_in_lines_without_any) {
  dir.write("x.jsonl", job_line("a"));
  run({"good"});
  EXPECT_FALSE(line_in("x.output.jsonl")["sluice"].contains("rejected"));
  EXPECT_FALSE(line_in("x.output.jsonl")["sluice"].contains("reply_cost_usd"));
  EXPECT_FALSE(totals().contains("rejected"));
}

TEST_F(rejected_replies_test, end_in_the_errors_file_with_the_last_body) {
  dir.write("x.jsonl", job_line("a"));
  EXPECT_EQ(run({"bad", "bad", "bad 3", "good"}), 3U);
  const json line = line_in("x.errors.jsonl");
  EXPECT_EQ(line["error"]["code"], "reply_rejected");
  EXPECT_EQ(line["error"]["message"], "the reply is bad");
  EXPECT_EQ(line["response"]["status_code"], 200);
  EXPECT_EQ(line["response"]["body"]["choices"][0]["message"]["content"], "bad 3");
  EXPECT_EQ(line["sluice"]["rejected"].size(), 3U);
  EXPECT_EQ(line["sluice"]["cost_usd"], "0.00105");
  EXPECT_EQ(line["sluice"]["usage"], nullptr);
  EXPECT_EQ(line["sluice"]["retryable"], false);
  EXPECT_EQ(totals()["errors"], json::parse(R"({"reply_rejected":1})"));
  EXPECT_EQ(totals()["cost_usd"], "0.00105");
  EXPECT_EQ(totals()["models"]["gpt-4o"]["requests"], 0);
}

// A job may have ten million lines.
TEST_F(rejected_replies_test, of_earlier_runs_need_little_memory) {
  dir.write("x.jsonl", job_line("a"));
  run({"bad", "bad", "bad"});
  constexpr int count = 20'000;
  {
    const std::string line = dir.lines("x.errors.jsonl").at(0);
    const std::string name = R"("custom_id":"a")";
    const std::size_t at = line.find(name);
    std::ofstream job(dir / "x.jsonl", std::ios::binary);
    std::ofstream errors(dir / "x.errors.jsonl", std::ios::binary);
    for (int i = 0; i < count; ++i) {
      job << job_line(std::to_string(i));
      std::string other = line;
      errors << other.replace(at, name.size(), R"("custom_id":")" + std::to_string(i) + '"')
             << '\n';
    }
  }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const auto memory_of = [this](const std::function<void()>& act) {
    const pid_t child = ::fork();
    if (child == 0) {
      rusage before{};
      ::getrusage(RUSAGE_SELF, &before);
      act();
      rusage after{};
      ::getrusage(RUSAGE_SELF, &after);
      constexpr long most_kib = 10 << 10;
      ::_exit(after.ru_maxrss - before.ru_maxrss < most_kib ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return status;
  };
  EXPECT_EQ(memory_of([this] {
              job_follower follower(name_job_files({dir / "x.jsonl"}, {}).front());
              follower.totals_now("{}", job_status::running);
            }),
            0);
  EXPECT_EQ(memory_of([this] { open(); }), 0);
#endif
  // All of these requests are no longer in the job.
  dir.write("x.jsonl", job_line("other"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_EQ(memory_of([this] { open(); }), 0);
#endif
  output.budget = dollars("1000");
  run({"good"});
  EXPECT_FALSE(totals().contains("rejected"));
  EXPECT_EQ(totals()["kept_usd"], "21") << "20,000 times 0.00105";
}

TEST_F(rejected_replies_test, are_tried_again_with_retry_failed_alone_and_stay_counted) {
  dir.write("x.jsonl", job_line("a"));
  run({"bad", "bad", "bad"});
  const std::string before = dir.read("x.errors.jsonl");
  EXPECT_EQ(run({"good"}), 0U);
  EXPECT_EQ(dir.read("x.errors.jsonl"), before);
  output.retry_failed = true;
  EXPECT_EQ(run({"bad", "good"}), 2U);
  EXPECT_THAT(dir.read("x.errors.jsonl"), IsEmpty());
  const json extra = line_in("x.output.jsonl")["sluice"];
  EXPECT_EQ(extra["rejected"].size(), 4U);
  EXPECT_EQ(extra["attempts"], 5);
  EXPECT_EQ(extra["cost_usd"], "0.00175");
  EXPECT_EQ(totals()["cost_usd"], "0.00175");
  EXPECT_EQ(totals()["rejected"]["replies"], 4);
  EXPECT_EQ(totals()["failed"], 0);
}

TEST_F(rejected_replies_test, of_another_request_are_not_taken_from_a_changed_errors_file) {
  dir.write("x.jsonl", job_line("a"));
  run({"bad", "bad", "bad"});
  output.retry_failed = true;
  auto jobs = open();
  auto next = jobs->next();
  const std::string name = R"("custom_id":"a")";
  std::string changed = dir.read("x.errors.jsonl");
  dir.write("x.errors.jsonl",
            changed.replace(changed.find(name), name.size(), R"("custom_id":"b")"));
  std::uint32_t sent = 0;
  attempt(*jobs, *next, sent, said("good"));
  jobs->finish(job_status::completed, 1, 1);
  EXPECT_FALSE(line_in("x.output.jsonl")["sluice"].contains("rejected"));
  EXPECT_THAT(jobs->warnings(), ElementsAre(testing::HasSubstr("a line cannot be read again")));
}

TEST_F(rejected_replies_test, of_a_killed_retry_outlive_a_run_that_does_not_retry) {
  dir.write("x.jsonl", job_line("a"));
  run({"bad", "bad", "bad"});
  output.retry_failed = true;
  run({"bad"}, false);
  output.retry_failed = false;
  EXPECT_EQ(run({"good"}), 0U);
  EXPECT_EQ(totals()["cost_usd"], "0.0014");
  EXPECT_EQ(totals()["rejected"]["replies"], 4);
  output.retry_failed = true;
  EXPECT_EQ(run({"good"}), 1U);
  const json extra = line_in("x.output.jsonl")["sluice"];
  EXPECT_EQ(extra["rejected"].size(), 4U);
  EXPECT_EQ(extra["attempts"], 5);
  EXPECT_EQ(totals()["cost_usd"], "0.00175");
  EXPECT_EQ(totals()["rejected"]["replies"], 4);
  EXPECT_FALSE(dir.has("x.state"));
}

TEST_F(rejected_replies_test, survive_a_kill_before_the_next_attempt) {
  dir.write("x.jsonl", job_line("a"));
  run({"bad", "bad"}, false);
  EXPECT_EQ(run({"bad"}), 1U) << "the count of rejections survives";
  const json extra = line_in("x.errors.jsonl")["sluice"];
  EXPECT_EQ(extra["attempts"], 3);
  EXPECT_EQ(extra["rejected"].size(), 3U);
  EXPECT_EQ(totals()["cost_usd"], "0.00105");
  EXPECT_EQ(totals()["rejected"]["replies"], 3);
  EXPECT_EQ(totals()["maybe_billed_attempts"], 0);
}

TEST_F(rejected_replies_test, are_in_the_totals_while_their_request_is_pending) {
  dir.write("x.jsonl", job_line("a"));
  run({"bad"});
  EXPECT_EQ(totals()["pending"], 1);
  EXPECT_EQ(totals()["cost_usd"], one_reply);
  EXPECT_EQ(totals()["rejected"]["replies"], 1);
  EXPECT_TRUE(dir.has("x.state"));
  run({"bad"}, false);  // killed after a checkpoint
  EXPECT_EQ(run({"good"}), 1U);
  EXPECT_EQ(totals()["cost_usd"], "0.00105");
  EXPECT_EQ(line_in("x.output.jsonl")["sluice"]["rejected"].size(), 2U);
}

TEST_F(rejected_replies_test, give_their_reservation_back_and_count_for_the_budget) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  output.budget = dollars("1");
  run({"bad"}, false);
  auto jobs = open();
  const auto next = jobs->next();
  ASSERT_TRUE(next);
  request dear = *next;
  dear.most = dollars("0.9993");  // 1 - 2 x 0.00035
  EXPECT_EQ(jobs->reserve(dear), funds::reserved);
  jobs->unreserve(dear);
  dear.most += dollars("0.000001");
  EXPECT_EQ(jobs->reserve(dear), funds::spent);
}

TEST_F(rejected_replies_test, keep_their_reservation_if_their_cost_is_unknown) {
  dir.write("x.jsonl", job_line("a"));
  output.budget = dollars("1");
  auto jobs = open();
  auto next = jobs->next();
  const usd most = next->most;
  std::uint32_t sent = 0;
  EXPECT_FALSE(attempt(*jobs, *next, sent, said("bad", std::nullopt)));
  EXPECT_TRUE(attempt(*jobs, *next, sent, said("good")));
  jobs->finish(job_status::completed, 1, 1);
  const json extra = line_in("x.output.jsonl")["sluice"];
  EXPECT_EQ(extra["cost_usd"], nullptr) << "an unknown cost is not zero";
  EXPECT_EQ(extra["reply_cost_usd"], one_reply);
  EXPECT_EQ(extra["rejected"][0]["cost_usd"], nullptr);
  EXPECT_EQ(extra["kept_usd"], most.to_string());
  EXPECT_EQ(totals()["cost_usd"], one_reply);
  EXPECT_EQ(totals()["rejected"]["unpriced_replies"], 1);
  EXPECT_EQ(totals()["kept_usd"], most.to_string());
}

TEST_F(rejected_replies_test, lengthen_the_prompt_and_its_reservation_if_the_model_is_told_why) {
  dir.write("x.jsonl", job_line("a"));
  output.budget = dollars("1");
  lines.tell_why = true;
  auto jobs = open();
  auto next = jobs->next();
  const request before = *next;
  std::uint32_t sent = 0;
  EXPECT_FALSE(attempt(*jobs, *next, sent, said("bad")));
  EXPECT_NE(next->body.find("the reply is bad"), std::string::npos);
  EXPECT_GT(next->most, before.most);
  EXPECT_EQ(next->digest, before.digest);
  EXPECT_EQ(next->stream_fields, before.stream_fields);
  EXPECT_TRUE(attempt(*jobs, *next, sent, said("good")));
  jobs->finish(job_status::completed, 1, 1);
  jobs.reset();
  EXPECT_EQ(run({"good"}), 0U) << "the line still belongs to its request";
}

TEST_F(rejected_replies_test, do_not_change_the_body_unless_asked_to) {
  dir.write("x.jsonl", job_line("a"));
  auto jobs = open();
  auto next = jobs->next();
  const std::string before = next->body;
  std::uint32_t sent = 0;
  EXPECT_FALSE(attempt(*jobs, *next, sent, said("bad")));
  EXPECT_EQ(next->body, before);
}

TEST_F(rejected_replies_test, are_kept_if_their_request_goes_from_the_job) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  output.budget = dollars("1");
  run({"bad", "bad", "bad"});
  dir.write("x.jsonl", job_line("b"));
  run({});
  EXPECT_THAT(dir.lines("x.errors.jsonl"), testing::SizeIs(1));
  EXPECT_EQ(totals()["rejected"]["replies"], 3);
  EXPECT_EQ(totals()["cost_usd"], "0.00105");
  EXPECT_EQ(totals()["kept_usd"], "0.00105") << "what it cost stays spent";
}

TEST_F(rejected_replies_test,
       of_a_request_that_is_gone_are_paid_once_however_often_the_run_is_killed) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  output.budget = dollars("1");
  run({"bad", "bad", "bad"});
  dir.write("x.jsonl", job_line("b"));
  output.retry_failed = true;
  const auto spent = [this] {
    const auto jobs = open();
    const job_totals told = jobs->totals(0);
    EXPECT_EQ(jobs->budget_left() + told.cost + told.kept, dollars("1"));
    return (told.cost + told.kept).to_string();
  };
  for (int kills = 0; kills < 3; ++kills) {
    EXPECT_EQ(spent(), "0.0021") << kills;
    run({}, false);
  }
  run({"good"}, false);
  EXPECT_EQ(spent(), "0.00245") << "the new line does not count what an old line still counts";
  EXPECT_THAT(dir.lines("x.errors.jsonl"), testing::SizeIs(2));
  run({});
  EXPECT_THAT(dir.lines("x.errors.jsonl"), IsEmpty());
  EXPECT_EQ(totals()["kept_usd"], "0.00105");
  EXPECT_EQ(totals()["cost_usd"], "0.0014");
  EXPECT_EQ(totals()["rejected"]["replies"], 3);
  EXPECT_EQ(spent(), "0.00245");
}

TEST_F(rejected_replies_test, of_a_request_that_is_gone_are_on_record_before_their_line_goes) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  output.budget = dollars("1");
  run({"bad", "bad", "bad"});
  dir.write("x.jsonl", job_line("b"));
  for (const bool state_fails : {true, false}) {
    test::faulty_files disk;
    job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
    EXPECT_FALSE(jobs.next());
    disk.fault = [&](std::string_view what, const std::string& path) {
      const bool of_state = path.starts_with(dir / "x.state");
      const bool of_errors = path.starts_with(dir / "x.errors.jsonl");
      if (what == "rename" && of_errors) {
        EXPECT_NE(dir.read("x.state").find(R"("kept_usd":"0.00105")"), std::string::npos);
      }
      const bool fails = what == "rename" && (state_fails ? of_state : of_errors);
      return fails ? test::faulty_files::broken() : std::error_code();
    };
    EXPECT_THROW(jobs.finish(job_status::completed, 1, 1), fatal_error);
    EXPECT_THAT(dir.lines("x.errors.jsonl"), testing::SizeIs(2)) << state_fails;
    disk.fault = [](std::string_view, const std::string&) { return std::error_code(); };
    if (state_fails) continue;
    jobs.finish(job_status::completed, 1, 1);
    EXPECT_THAT(dir.lines("x.errors.jsonl"), testing::SizeIs(1));
    EXPECT_EQ(totals()["kept_usd"], "0.00105");
    EXPECT_EQ(totals()["cost_usd"], "0.00105");
  }
}

TEST_F(rejected_replies_test, stay_paid_if_their_file_is_taken_away_during_the_run) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + job_line("c"));
  output.budget = dollars("1");
  const auto spent = [this] {
    const auto jobs = open();
    const job_totals told = jobs->totals(0);
    EXPECT_EQ(jobs->budget_left() + told.cost + told.kept, dollars("1"));
    return (told.cost + told.kept).to_string();
  };
  for (const bool comes_back : {true, false}) {
    {
      auto jobs = open();
      for (const std::vector<std::string>& texts :
           {std::vector<std::string>{"bad", "bad", "bad"}, {"good"}, {"bad"}}) {
        auto next = jobs->next();
        ASSERT_TRUE(next);
        std::uint32_t sent = 0;
        for (const std::string& text : texts) attempt(*jobs, *next, sent, said(text));
      }
      jobs->flush();
      std::filesystem::rename(dir / "x.errors.jsonl", dir / "moved");
      EXPECT_THROW(jobs->finish(job_status::interrupted, 1, 1), fatal_error);
    }
    if (comes_back) std::filesystem::rename(dir / "moved", dir / "x.errors.jsonl");
    EXPECT_EQ(spent(), "0.00175") << "three replies of a, one of b, one of c";
    run({"bad", "good"});
    EXPECT_EQ(spent(), comes_back ? "0.00245" : "0.00315") << "a is sent again if it has no line";
    for (const char* file : {"x.output.jsonl", "x.errors.jsonl", "x.totals.json", "moved"})
      std::filesystem::remove(dir / file);
    std::filesystem::remove(dir / "x.state");
  }
}

TEST_F(rejected_replies_test, are_reported_while_the_job_runs_and_after_a_kill) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + job_line("c"));
  const job_files files = name_job_files({dir / "x.jsonl"}, output).front();
  job_follower follower(files);
  std::unique_ptr<job_set> jobs;
  json counted;
  // Both one that has followed the job from its beginning and one that begins now.
  const auto expect_counted = [&](const char* when) {
    if (jobs) {
      jobs->flush();
      counted = json::parse(jobs->totals(0).to_json("x.jsonl", job_status::running));
    }
    job_follower fresh(files);
    for (job_follower* const each : {&follower, &fresh}) {
      const json told =
          json::parse(each->totals_now(dir.read("x.totals.json"), job_status::running));
      for (const char* name : {"requests", "succeeded", "failed", "tokens", "cost_usd", "rejected",
                               "models", "attempts", "cache"}) {
        EXPECT_EQ(told.value(name, json()), counted.value(name, json()))
            << name << ' ' << when << (each == &fresh ? ", fresh" : "");
      }
    }
  };
  jobs = open();
  auto next = jobs->next();
  std::uint32_t sent = 0;
  EXPECT_FALSE(attempt(*jobs, *next, sent, said("bad")));
  expect_counted("before the line");
  EXPECT_TRUE(attempt(*jobs, *next, sent, said("good")));
  expect_counted("with the line");
  EXPECT_EQ(counted["rejected"]["replies"], 1);
  next = jobs->next();
  sent = 0;
  for (int i = 0; i < 3; ++i) attempt(*jobs, *next, sent, said("bad"));
  expect_counted("with a line in the errors file");
  EXPECT_EQ(counted["rejected"]["replies"], 4);
  next = jobs->next();
  sent = 0;
  EXPECT_FALSE(attempt(*jobs, *next, sent, said("bad", std::nullopt)));
  expect_counted("with a reply of unknown cost");
  jobs.reset();
  expect_counted("after a kill");

  output.retry_failed = true;
  jobs = open();
  next = jobs->next();
  ASSERT_EQ(next->custom_id, "b");
  sent = 0;
  EXPECT_FALSE(attempt(*jobs, *next, sent, said("bad")));
  expect_counted("while a failed request is sent again");
  jobs.reset();
  expect_counted("after another kill");
  jobs = open();
  next = jobs->next();
  sent = 0;
  EXPECT_TRUE(attempt(*jobs, *next, sent, said("good")));
  expect_counted("with a second line");
  EXPECT_EQ(counted["rejected"]["replies"], 6);
  next = jobs->next();
  sent = 0;
  EXPECT_TRUE(attempt(*jobs, *next, sent, said("good")));
  expect_counted("at the end");
  jobs->finish(job_status::completed, 1, 1);
  expect_counted("after the old line is removed");
}

TEST_F(rejected_replies_test, give_their_copies_the_accepted_reply) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  lines.dedup = true;
  EXPECT_EQ(run({"bad", "good"}), 2U);
  EXPECT_EQ(dir.lines("x.output.jsonl").size(), 2U);
  const json copy = line_in("x.output.jsonl", 1);
  EXPECT_EQ(copy["sluice"]["copied_from"], "a");
  EXPECT_EQ(copy["sluice"]["cost_usd"], "0");
  EXPECT_FALSE(copy["sluice"].contains("rejected"));
  EXPECT_EQ(copy["response"]["body"]["choices"][0]["message"]["content"], "good");
  EXPECT_EQ(totals()["rejected"]["replies"], 1);
}

TEST_F(rejected_replies_test, cannot_be_told_from_good_ones_on_lines_that_cannot_be_checked) {
  dir.write("x.jsonl", job_line("a", "unchecked") + job_line("b"));
  EXPECT_EQ(run({"good"}), 1U);
  const json line = line_in("x.errors.jsonl");
  EXPECT_EQ(line["error"]["code"], "invalid_request_line");
  EXPECT_EQ(line["error"]["message"], "It cannot be checked.");
  EXPECT_EQ(line["sluice"]["line"], 1);
}

TEST_F(rejected_replies_test, are_warned_of_once_when_no_reply_passes) {
  std::string job;
  for (int i = 0; i < 25; ++i) job += job_line(std::to_string(i));
  dir.write("x.jsonl", job);
  lines.max_rejections = 0;
  auto jobs = open();
  std::size_t failed = 0;
  while (auto next = jobs->next()) {
    EXPECT_EQ(jobs->warnings().size(), failed < 20 ? 0U : 1U) << failed;
    std::uint32_t sent = 0;
    EXPECT_TRUE(attempt(*jobs, *next, sent, said("bad")));
    ++failed;
  }
  EXPECT_THAT(jobs->warnings(), ElementsAre(testing::HasSubstr("the reply is bad")));
}

TEST_F(rejected_replies_test, are_repriced_with_their_line) {
  dir.write("x.jsonl", job_line("a"));
  run({"bad", "good"});
  price_table twice;
  twice.merge(R"({"gpt-4o":{"input":"5.00","output":"20.00"}})", "the test");
  const job_reprice found = reprice_job(dir / "x.output.jsonl", dir / "x.errors.jsonl", twice, 3);
  EXPECT_EQ(found.total.old_cost, dollars("0.0007"));
  EXPECT_EQ(found.total.new_cost, dollars("0.0014"));
}

TEST_F(rejected_replies_test, come_back_from_json_as_they_were) {
  rejected_reply one;
  one.reason = "a \"b\"\n";
  one.relay = "blue";
  one.usage = token_usage{7, 3, 2, 1};
  one.estimated = true;
  one.cost = dollars("0.1");
  one.reported_cost = dollars("0.2");
  one.cache_saved = usd::from_units(-dollars("0.3").count());
  one.service_tier = "flex";
  one.speed = "fast";
  one.inference_geo = "us";
  one.started_at = 1.5;
  one.latency_ms = 2.5;
  const rejected_reply read = parse_rejected(rejected_json(one));
  EXPECT_EQ(read.reason, one.reason);
  EXPECT_EQ(read.relay, one.relay);
  EXPECT_EQ(read.usage, one.usage);
  EXPECT_EQ(read.estimated, one.estimated);
  EXPECT_EQ(read.cost, one.cost);
  EXPECT_EQ(read.reported_cost, one.reported_cost);
  EXPECT_EQ(read.cache_saved, one.cache_saved);
  EXPECT_EQ(read.service_tier, one.service_tier);
  EXPECT_EQ(read.speed, one.speed);
  EXPECT_EQ(read.inference_geo, one.inference_geo);
  EXPECT_EQ(read.started_at, one.started_at);
  EXPECT_EQ(read.latency_ms, one.latency_ms);
}

}  // namespace
}  // namespace sluice
