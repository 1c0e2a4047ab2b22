#include "cluster/collect.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "cluster/enqueue.hpp"
#include "files/file_system.hpp"
#include "jobs/job_files.hpp"
#include "memory_job_store.hpp"
#include "support/temp_dir.hpp"

namespace sluice::cluster {
namespace {

using namespace std::chrono_literals;

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
