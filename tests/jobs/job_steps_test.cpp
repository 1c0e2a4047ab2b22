// Tests that the types enforce the order of a job's steps, and that a dropped step undoes its
// changes.
#include "jobs/job_steps.hpp"

#include <gmock/gmock.h>

#include <type_traits>

#include "jobs/running_job.hpp"
#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

// Which functions a step offers, for an lvalue or for a temporary.
template <typename Step>
constexpr bool scans = requires(Step step) {
  std::forward<Step>(step).scan();
};
template <typename Step>
constexpr bool makes_room = requires(Step step) {
  std::forward<Step>(step).make_room();
};
template <typename Step>
constexpr bool creates = requires(Step step) {
  std::forward<Step>(step).create();
};
template <typename Step>
constexpr bool starts = requires(Step step) {
  std::forward<Step>(step).start();
};
template <typename Job>
constexpr bool gives_requests = requires(Job& job) {
  job.next_request();
};
template <typename Job>
constexpr bool looks_ahead = requires(Job& job, running_job::ahead_search& search) {
  job.look_ahead(search);
};
template <typename Job>
constexpr bool takes_results = requires(Job& job, const result& finished) {
  job.put(finished);
};
template <typename Job>
constexpr bool takes_attempts = requires(Job& job, const attempt_record& attempt) {
  job.attempt_started(attempt);
};
template <typename Job>
constexpr bool syncs = requires(Job& job) {
  job.sync_state();
};
template <typename Job>
constexpr bool ends = requires(Job& job) {
  job.write(job_status::completed, 1.0, 1);
};

// Each step offers only the next step. A running job also offers the functions of a run.
static_assert(scans<loaded_job> && !scans<outdated_job> && !scans<scanned_job> &&
              !scans<created_job> && !scans<running_job&> && !scans<finished_job>);
static_assert(!makes_room<loaded_job> && makes_room<outdated_job> && !makes_room<scanned_job> &&
              !makes_room<created_job> && !makes_room<running_job&> && !makes_room<finished_job>);
static_assert(!creates<loaded_job> && !creates<outdated_job> && creates<scanned_job> &&
              !creates<created_job> && !creates<running_job&> && !creates<finished_job>);
static_assert(!starts<loaded_job> && !starts<outdated_job> && !starts<scanned_job> &&
              starts<created_job> && !starts<running_job&> && !starts<finished_job>);
static_assert(!gives_requests<loaded_job> && !gives_requests<outdated_job> &&
              !gives_requests<scanned_job> && !gives_requests<created_job> &&
              gives_requests<running_job> && !gives_requests<finished_job>);
static_assert(!takes_results<loaded_job> && !takes_results<outdated_job> &&
              !takes_results<scanned_job> && !takes_results<created_job> &&
              takes_results<running_job> && !takes_results<finished_job>);
static_assert(!ends<loaded_job> && !ends<outdated_job> && !ends<scanned_job> &&
              !ends<created_job> && !ends<running_job> && ends<finished_job>);

// A step consumes its object, so an lvalue cannot take a step.
static_assert(!scans<loaded_job&> && !makes_room<outdated_job&> && !creates<scanned_job&> &&
              !starts<created_job&>);
static_assert(!std::is_copy_constructible_v<loaded_job> &&
              !std::is_copy_constructible_v<outdated_job> &&
              !std::is_copy_constructible_v<scanned_job> &&
              !std::is_copy_constructible_v<created_job> &&
              !std::is_copy_constructible_v<running_job> &&
              !std::is_copy_constructible_v<finished_job>);
// Only the first step can be constructed from a setup. A run ends when its owner gives it away.
static_assert(!std::is_constructible_v<outdated_job, job_setup> &&
              !std::is_constructible_v<scanned_job, job_setup> &&
              !std::is_constructible_v<created_job, job_setup> &&
              !std::is_constructible_v<running_job, job_setup>);
static_assert(!std::is_constructible_v<outdated_job, std::unique_ptr<job_parts>> &&
              !std::is_constructible_v<scanned_job, std::unique_ptr<job_parts>> &&
              !std::is_constructible_v<created_job, std::unique_ptr<job_parts>> &&
              !std::is_constructible_v<running_job, std::unique_ptr<job_parts>>);
static_assert(std::is_constructible_v<finished_job, std::unique_ptr<running_job>> &&
              !std::is_constructible_v<finished_job, std::unique_ptr<running_job>&> &&
              !std::is_constructible_v<finished_job, running_job&>);
// A finished job gives only read access to its run.
using shown = decltype(std::declval<const finished_job&>().job());
static_assert(requires(shown & job) { job.totals(); });
static_assert(!gives_requests<shown> && !looks_ahead<shown> && !takes_results<shown> &&
              !takes_attempts<shown> && !syncs<shown>);

constexpr const char* one_line =
    R"({"custom_id":"a","model":"gpt-4o","messages":[{"role":"user","content":"hi"}]})"
    "\n";

struct job_steps_test : testing::Test {
  test::temp_dir dir;
  job_options lines;
  output_options output;
  relay_prices prices = price_table::built_in();
  std::unique_ptr<file_system> disk = system_files();
  std::vector<std::string> warnings;

  job_setup setup() {
    return {.index = 0,
            .files = {dir / "x.jsonl", dir / "x.output.jsonl", dir / "x.errors.jsonl",
                      dir / "x.totals.json", dir / "x.state"},
            .lines = lines,
            .output = output,
            .prices = prices,
            .disk = *disk,
            .shared = nullptr,
            .room = 0,
            .warn = [this](const std::string& sentence) { warnings.push_back(sentence); }};
  }
  scanned_job scan() { return std::get<scanned_job>(loaded_job(setup()).scan()); }
  // Runs the job. Its request succeeds.
  void run_once() {
    auto job = scan().create().start();
    while (const auto next = job->next_request()) {
      result finished;
      finished.line = next->line;
      finished.custom_id = next->custom_id;
      finished.model = next->model;
      finished.digest = next->digest;
      finished.attempts = 1;
      reply whole;
      whole.body = R"({"choices":[]})";
      finished.outcome = whole;
      job->put(finished);
    }
    finished_job(std::move(job)).write(job_status::completed, 1, 1);
  }
};

TEST_F(job_steps_test, a_job_that_is_loaded_or_scanned_changes_nothing) {
  dir.write("x.jsonl", one_line);
  (void)loaded_job(setup());
  (void)scan();
  EXPECT_EQ(dir.entries(), 1U);
}

TEST_F(job_steps_test, a_created_job_that_is_dropped_takes_its_files_back) {
  dir.write("x.jsonl", one_line);
  {
    const auto created = scan().create();
    EXPECT_EQ(dir.entries(), 4U) << "output, errors and state";
  }
  EXPECT_EQ(dir.entries(), 1U);
}

TEST_F(job_steps_test, a_created_job_that_is_dropped_leaves_what_was_there_before) {
  dir.write("x.jsonl", one_line);
  run_once();
  const std::string before = dir.read("x.output.jsonl");
  ASSERT_NE(before, "");
  (void)scan().create();
  EXPECT_EQ(dir.read("x.output.jsonl"), before);
  EXPECT_TRUE(dir.has("x.errors.jsonl"));
  EXPECT_FALSE(dir.has("x.state")) << "it was not there before";
}

TEST_F(job_steps_test, a_created_job_that_is_moved_keeps_its_files) {
  dir.write("x.jsonl", one_line);
  auto created = scan().create();
  {
    const created_job moved = std::move(created);
    EXPECT_TRUE(dir.has("x.output.jsonl"));
  }
  EXPECT_FALSE(dir.has("x.output.jsonl"));
}

TEST_F(job_steps_test, a_running_job_that_is_dropped_leaves_its_files) {
  dir.write("x.jsonl", one_line);
  { const auto running = scan().create().start(); }
  EXPECT_TRUE(dir.has("x.output.jsonl"));
  EXPECT_TRUE(dir.has("x.state"));
}

TEST_F(job_steps_test, a_job_that_has_vanished_since_the_scan_makes_no_files) {
  dir.write("x.jsonl", one_line);
  auto scanned = scan();
  std::filesystem::remove(dir / "x.jsonl");
  EXPECT_THROW((void)std::move(scanned).create(), fatal_error);
  EXPECT_EQ(dir.entries(), 0U);
}

TEST_F(job_steps_test, an_outdated_job_makes_room_and_begins_again) {
  dir.write("x.jsonl", one_line);
  run_once();
  std::string changed = one_line;
  changed.replace(changed.find("hi"), 2, "ho");
  dir.write("x.jsonl", changed);
  output.changed = on_change::redo;
  auto found = loaded_job(setup()).scan();
  ASSERT_TRUE(std::holds_alternative<outdated_job>(found));
  EXPECT_EQ(dir.lines("x.output.jsonl").size(), 1U) << "nothing is changed yet";
  auto again = std::get<outdated_job>(std::move(found)).make_room().scan();
  EXPECT_EQ(dir.lines("x.output.jsonl").size(), 0U);
  ASSERT_TRUE(std::holds_alternative<scanned_job>(again));
  EXPECT_EQ(std::get<scanned_job>(std::move(again)).create().start()->to_send(), 1U);
}

TEST_F(job_steps_test, the_end_of_the_requests_is_the_end) {
  dir.write("x.jsonl", one_line);
  const auto job = scan().create().start();
  EXPECT_TRUE(job->next_request());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(job->next_request());
  EXPECT_EQ(job->totals().requests, 1U);
}

TEST_F(job_steps_test, a_finished_job_is_written_as_often_as_it_takes) {
  dir.write("x.jsonl", one_line);
  auto job = scan().create().start();
  (void)job->next_request();
  finished_job ended(std::move(job));
  for (int i = 0; i < 3; ++i) {
    ended.write(job_status::interrupted, 1, 1);
    EXPECT_EQ(ended.job().totals().pending(), 1U);
    EXPECT_TRUE(dir.has("x.state"));
  }
}

TEST_F(job_steps_test, totals_that_are_damaged_are_warned_of) {
  dir.write("x.jsonl", one_line);
  run_once();
  dir.write("x.totals.json", "");
  EXPECT_THAT(warnings, testing::IsEmpty());
  (void)scan();
  EXPECT_THAT(warnings, testing::ElementsAre((dir / "x.totals.json") +
                                             ": is damaged; what earlier runs counted is lost"));
}

}  // namespace
}  // namespace sluice
