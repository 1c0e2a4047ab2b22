#include "jobs/job_follower.hpp"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "sluice/job_set.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

using nlohmann::json;

// A job of five requests, in progress.
struct job_follower_test : testing::Test {
  job_follower_test() {
    for (int i = 0; i < 5; ++i) text += "{\"model\":\"gpt-4o\",\"messages\":[]}\n";
    const std::string path = dir.write("x.jsonl", text + "no JSON\n");
    output_options output;
    output.durable = durability::none;
    jobs = std::make_unique<job_set>(std::vector<std::string>{path}, job_options{}, output,
                                     price_table::built_in());
    files = name_job_files({path}, output).front();
  }

  void end_one(bool well, failure_class kind = failure_class::passing) {
    auto next = jobs->next();
    ASSERT_TRUE(next);
    end(*next, well, kind);
  }
  void end(const request& sent, bool well, failure_class kind = failure_class::passing) {
    result finished;
    finished.line = sent.line;
    finished.custom_id = sent.custom_id;
    finished.model = sent.model;
    finished.digest = sent.digest;
    if (well) {
      reply whole;
      whole.body = "{}";
      whole.usage = token_usage{1000, 400, 100, 0};
      finished.outcome = whole;
    } else {
      failure why;
      why.http_status = 503;
      why.kind = kind;
      finished.retryable = true;
      finished.outcome = why;
    }
    jobs->attempt_started({0, sent.custom_id, 1, {}});
    jobs->put(std::move(finished));
    jobs->flush();
  }
  json now(job_follower& follower, job_status status = job_status::running) const {
    return json::parse(follower.totals_now(dir.read("x.totals.json"), status));
  }

  test::temp_dir dir;
  std::string text;
  std::unique_ptr<job_set> jobs;
  job_files files;
};

TEST_F(job_follower_test, counts_what_the_totals_do_not_tell_yet) {
  job_follower follower(files);
  end_one(true);
  end_one(false);
  const json stored = json::parse(dir.read("x.totals.json"));
  EXPECT_EQ(stored["succeeded"], 0) << "ten seconds old";
  json told = now(follower);
  EXPECT_EQ(told["status"], "running");
  EXPECT_EQ(told["requests"], 6);
  EXPECT_EQ(told["succeeded"], 1);
  EXPECT_EQ(told["failed"], 1);
  EXPECT_EQ(told["pending"], 4);
  EXPECT_EQ(told["attempts"], 2);
  EXPECT_EQ(told["tokens"]["prompt"], 1000);
  EXPECT_EQ(told["errors"], (json{{"503", 1}}));
  end_one(true);
  told = now(follower);
  EXPECT_EQ(told["succeeded"], 2) << "it goes on where it was";
  EXPECT_EQ(told["tokens"]["prompt"], 2000);
}

TEST_F(job_follower_test, ends_with_the_totals_of_the_run) {
  job_follower follower(files);
  for (int i = 0; i < 5; ++i) end_one(i != 2);
  EXPECT_FALSE(jobs->next()) << "which writes the bad line";
  jobs->flush();
  const json counted = now(follower, job_status::completed);
  jobs->finish(job_status::completed, 12, 5);
  const json stored = json::parse(dir.read("x.totals.json"));
  for (const char* name : {"requests", "succeeded", "failed", "pending", "tokens", "cost_usd",
                           "models", "errors", "attempts", "finish_reasons"}) {
    EXPECT_EQ(counted[name], stored[name]) << name;
  }
}

TEST_F(job_follower_test, files_that_another_run_has_replaced_are_counted_anew) {
  job_follower follower(files);
  end_one(true);
  EXPECT_EQ(now(follower)["succeeded"], 1);
  const std::string totals = dir.read("x.totals.json");
  jobs.reset();
  dir.write("x.output.jsonl", "");
  EXPECT_EQ(json::parse(follower.totals_now(totals, job_status::running))["succeeded"], 0);
}

TEST_F(job_follower_test, half_a_line_is_read_when_it_is_whole) {
  job_follower follower(files);
  end_one(true);
  const std::string totals = dir.read("x.totals.json");
  const std::string line = dir.read("x.output.jsonl");
  jobs.reset();
  dir.write("x.output.jsonl", line.substr(0, line.size() / 2));
  EXPECT_EQ(json::parse(follower.totals_now(totals, job_status::running))["succeeded"], 0);
  dir.write("x.output.jsonl", line);
  EXPECT_EQ(json::parse(follower.totals_now(totals, job_status::running))["succeeded"], 1);
}

TEST_F(job_follower_test, the_lock_shows_who_works_on_it) {
  const job_life busy = life_of(files, "running");
  EXPECT_EQ(busy.is, job_life::state::running);
  EXPECT_EQ(busy.process, ::getpid());
  ASSERT_TRUE(busy.since);
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  EXPECT_LE(*busy.since, now.count() + 1);
  EXPECT_GE(*busy.since, now.count() - 3600);
  jobs.reset();
  const job_life killed = life_of(files, "running");
  EXPECT_EQ(killed.is, job_life::state::killed);
  EXPECT_LT(killed.quiet_s, 60);
  EXPECT_EQ(life_of(files, "completed").is, job_life::state::at_rest);
}

}  // namespace
}  // namespace sluice
