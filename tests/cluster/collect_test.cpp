#include "cluster/collect.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cluster/enqueue.hpp"
#include "files/file_system.hpp"
#include "jobs/job_files.hpp"
#include "jobs/result_line.hpp"
#include "memory_job_store.hpp"
#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice::cluster {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

// A result as a worker stores it.
std::string success(std::uint64_t line, const std::string& digest, bool simulated = false) {
  result one;
  one.line = line;
  one.custom_id = fmt::format("line-{}", line);
  one.model = "gpt-4-1106-preview";
  one.digest = digest;
  one.attempts = 1;
  reply answer;
  answer.body = "{}";
  one.outcome = std::move(answer);
  std::string text = result_line(one, usd{}, simulated);
  text.pop_back();
  return text;
}

// A job of two requests in a store, and its files.
struct stored_job {
  stored_job() {
    store.now = [] { return std::int64_t{1'700'000'000'000'000}; };
    path = folder.write("job.jsonl", R"({"prompt":"a"})"
                                     "\n"
                                     R"({"prompt":"b"})"
                                     "\n");
    put_in();
    files = name_job_files({path}, {}).front();
  }
  void put_in() {
    enqueue_options options;
    options.lines.model = "gpt-4-1106-preview";
    options.chunk_lines = 10;
    enqueue(store, path, "job", options);
  }
  // Stores results of the lines, as one worker does.
  void work(const std::vector<std::string>& successes, bool simulated = false) {
    const auto got = store.claim({"w", 60s, simulated, 0, {}}).got;
    std::vector<new_result> results;
    for (std::size_t i = 0; i < successes.size(); ++i) {
      new_result one;
      one.line = {i + 1, true, successes[i]};
      results.push_back(one);
    }
    store.commit({"w", ++sequence, 60s, {{got->key, {}, {}, results, true}}});
  }
  job_totals collect_it() {
    return collect(store, *store.find_job("job"), files,
                   *system_files(0600, [](const std::string&) {}));
  }
  std::string refusal() {
    try {
      collect_it();
    } catch (const fatal_error& fault) {
      EXPECT_EQ(fault.why(), fatal_error::kind::cannot_start);
      return fault.what();
    }
    return "collected";
  }
  nlohmann::json totals() const { return nlohmann::json::parse(folder.read("job.totals.json")); }

  test::temp_dir folder;
  test::memory_job_store store;
  std::string path;
  job_files files;
  std::uint64_t sequence = 0;
};

TEST(Collect, TheSameJobCanBeCollectedAgainAndAgain) {
  stored_job job;
  EXPECT_EQ(job.collect_it().pending(), 2U);
  EXPECT_EQ(job.collect_it().pending(), 2U);
  job.work({success(1, "one"), success(2, "two")});
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(job.collect_it().succeeded, 2U);
    EXPECT_EQ(job.folder.read("job.output.jsonl"),
              success(1, "one") + "\n" + success(2, "two") + "\n");
  }
}

TEST(Collect, ResultsThatTheStoreDoesNotHaveAreNotReplaced) {
  stored_job job;
  const std::string paid = success(2, "two") + "\n" + success(1, "one") + "\n";
  for (const std::string& torn : {std::string(), std::string(R"({"id":"batch_req_00)")}) {
    job.folder.write("job.output.jsonl", paid + torn);
    EXPECT_THAT(job.refusal(),
                AllOf(HasSubstr("job.output.jsonl: has 2 result(s)"), HasSubstr("--output-dir")));
    EXPECT_EQ(job.folder.read("job.output.jsonl"), paid + torn);
    EXPECT_FALSE(job.folder.has("job.totals.json"));
    EXPECT_FALSE(job.folder.has("job.errors.jsonl"));
  }
  // As soon as the store has them, too, they may be replaced.
  job.work({success(1, "one"), success(2, "two")});
  EXPECT_EQ(job.collect_it().succeeded, 2U);
}

TEST(Collect, ResultsOfAJobThatWasRemovedFromTheStoreAreNotReplaced) {
  stored_job job;
  job.work({success(1, "one"), success(2, "two")});
  job.collect_it();
  const std::string only_copy = job.folder.read("job.output.jsonl");
  job.store.remove_job(job.store.find_job("job")->id);
  job.put_in();
  EXPECT_THAT(job.refusal(), HasSubstr("has 2 result(s)"));
  job.work({success(1, "one"), success(2, "another prompt")});
  EXPECT_THAT(job.refusal(), HasSubstr("has 1 result(s)"));
  EXPECT_EQ(job.folder.read("job.output.jsonl"), only_copy);
}

TEST(Collect, RealResultsAreNotReplacedBySimulatedOnes) {
  stored_job job;
  job.folder.write("job.output.jsonl", success(1, "one") + "\n");
  job.work({success(1, "one", true), success(2, "two", true)}, true);
  EXPECT_THAT(job.refusal(), HasSubstr("has 1 result(s)"));
}

TEST(Collect, ALineThatCannotBeReadIsNotReplaced) {
  stored_job job;
  job.work({success(1, "one"), success(2, "two")});
  job.folder.write("job.output.jsonl", success(1, "one") + "\n{damaged\n");
  EXPECT_THAT(job.refusal(), HasSubstr("has 1 result(s)"));
}

TEST(Collect, ResultsOfARunThatBeganMeanwhileAreNotReplaced) {
  stored_job job;
  bool began = false;
  job.store.before = [&](const std::string& call) {
    if (call != "read_results" || std::exchange(began, true)) return;
    job.folder.write("job.output.jsonl", success(1, "one") + "\n");
  };
  EXPECT_THAT(job.refusal(), HasSubstr("job.output.jsonl: "));
  EXPECT_EQ(job.folder.read("job.output.jsonl"), success(1, "one") + "\n");
}

TEST(Collect, AnIncompleteJobIsNoRunThatWasKilled) {
  stored_job job;
  job.collect_it();
  EXPECT_EQ(job.totals().at("status"), "stopped");
  EXPECT_EQ(job.totals().at("store_job"), "job");
  job.work({success(1, "one"), success(2, "two")});
  job.collect_it();
  EXPECT_EQ(job.totals().at("status"), "completed");
  EXPECT_FALSE(job.totals().contains("store_job"));
}

TEST(Collect, BadLinesOfASimulatedJobAreSimulated) {
  for (const bool simulated : {false, true}) {
    test::temp_dir folder;
    test::memory_job_store store;
    const std::string path = folder.write("job.jsonl", R"({"prompt":"a"})"
                                                       "\nno json\n");
    enqueue_options options;
    options.lines.model = "gpt-4-1106-preview";
    options.chunk_lines = 10;
    enqueue(store, path, "job", options);
    const auto got = store.claim({"w", 60s, simulated, 0, {}}).got;
    ASSERT_TRUE(got);
    const job_files files = name_job_files({path}, {}).front();
    collect(store, *store.find_job("job"), files, *system_files(0600, [](const std::string&) {}));
    const auto line = nlohmann::json::parse(folder.read("job.errors.jsonl"));
    EXPECT_EQ(line.at("sluice").value("simulated", false), simulated);
    EXPECT_EQ(line.at("error").at("code"), "invalid_json_line");
  }
}

// A line that cannot be sent has its result from the start, in the form that collect reads.
TEST(Collect, AJobThatEndsWhileItIsReadIsCompleted) {
  test::temp_dir folder;
  test::memory_job_store store;
  std::int64_t now = 1'700'000'000'000'000;
  store.now = [&now] { return now; };
  const std::string path = folder.write("job.jsonl", R"({"prompt":"a"})"
                                                     "\nno json\n");
  enqueue_options options;
  options.lines.model = "gpt-4-1106-preview";
  enqueue(store, path, "job", options);
  const auto got = store.claim({"w", 60s, false, 0, {}}).got;
  ASSERT_TRUE(got);
  const job_record before = *store.find_job("job");
  ASSERT_FALSE(before.finished);
  const std::string bad = store.read_results(before.id, 0, 10).front().text;
  bool ended = false;
  store.before = [&](const std::string& call) {
    if (call != "read_results" || std::exchange(ended, true)) return;
    now += 2'000'000;
    new_result last;
    last.line = {1, false, bad};
    store.commit({"w", 1, 60s, {{got->key, {{1, 1, {}}}, {}, {last}, false}}});
  };
  const auto disk = system_files(0600, [](const std::string&) {});
  const job_files files = name_job_files({path}, {}).front();
  const job_totals totals = collect(store, before, files, *disk);
  EXPECT_EQ(totals.pending(), 0U);
  const auto written = nlohmann::json::parse(folder.read("job.totals.json"));
  EXPECT_EQ(written.at("status"), "completed");
  EXPECT_DOUBLE_EQ(written.at("wall_s").get<double>(), 2);
}

}  // namespace
}  // namespace sluice::cluster
