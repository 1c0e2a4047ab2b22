// Tests of job_set: the files of a job, and what happens when the job runs again.
#include "sluice/job_set.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "money/cost_bound.hpp"
#include "sluice/error.hpp"
#include "sluice/reply_check.hpp"
#include "support/faulty_files.hpp"
#include "support/job_rig.hpp"

namespace sluice {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string job_line(const std::string& id, const std::string& prompt = "hi") {
  return R"({"custom_id":")" + id + R"(","model":"gpt-4o","messages":[{"role":"user","content":")" +
         prompt + R"("}]})" + "\n";
}

failure passing(int status = 500) {
  failure why;
  why.http_status = status;
  why.message = "trouble";
  why.body = R"({"error":{"message":"trouble"}})";
  return why;
}

failure permanent(int status = 400) {
  failure why = passing(status);
  why.kind = failure_class::permanent;
  return why;
}

using outcome_of =
    std::function<std::optional<boost::system::result<reply, failure>>(const request&)>;

boost::system::result<reply, failure> answer() {
  reply whole;
  whole.body = R"({"choices":[{"index":0,"message":{"content":"hello"},"finish_reason":"stop"}]})";
  whole.usage = token_usage{100, 0, 10, 0};
  whole.finish_reasons = {{"stop", 1}};
  return whole;
}

std::optional<boost::system::result<reply, failure>> succeed(const request&) {
  return answer();
}

struct job_set_test : test::job_rig {
  /// Starts an attempt and records it, in the way in which an engine does before it sends the
  /// request.
  static void start(job_set& jobs, const attempt_record& attempt) {
    jobs.attempt_started(attempt);
    ASSERT_TRUE(jobs.must_be_recorded());
    jobs.record([](const std::exception_ptr& why) { EXPECT_FALSE(why); });
  }

  /// Runs the jobs as an engine would. If `outcome` returns nothing, the request stays pending.
  /// Returns the ids that were sent.
  std::vector<std::string> run(const outcome_of& outcome = succeed,
                               std::vector<std::string> names = {"x.jsonl"}, bool crash = false) {
    auto jobs = open(std::move(names));
    std::vector<std::string> sent;
    bool all = true;
    while (auto next = jobs->next()) {
      sent.push_back(next->custom_id);
      auto told = outcome(*next);
      if (!told) {
        all = false;
        continue;
      }
      start(*jobs, {next->job, next->custom_id, next->attempts + 1, next->most});
      result finished = result_for(*next, next->attempts + 1);
      finished.retryable = !*told && told->error().kind == failure_class::passing;
      finished.outcome = std::move(*told);
      jobs->put(std::move(finished));
    }
    jobs->flush();
    if (!crash) jobs->finish(all ? job_status::completed : job_status::interrupted, 1, 1);
    return sent;
  }

  std::string refusal(const std::function<void()>& act) {
    try {
      act();
    } catch (const fatal_error& thrown) {
      EXPECT_EQ(thrown.why(), fatal_error::kind::cannot_start);
      return thrown.what();
    }
    return "(not refused)";
  }
  std::string refused(std::vector<std::string> names = {"x.jsonl"}) {
    return refusal([&] { open(std::move(names)); });
  }

  json totals(const std::string& stem = "x") const {
    return json::parse(dir.read(stem + ".totals.json"));
  }
  std::vector<std::string> ids_in(const std::string& file) const {
    std::vector<std::string> ids;
    for (const auto& line : dir.lines(file)) ids.push_back(json::parse(line)["custom_id"]);
    return ids;
  }
  void append(const std::string& file, const std::string& text) const {
    std::ofstream(dir / file, std::ios::binary | std::ios::app) << text;
  }
};

TEST_F(job_set_test, a_fresh_run_writes_one_line_for_each_request) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + job_line("c"));
  const auto sent =
      run([](const request& next) -> std::optional<boost::system::result<reply, failure>> {
        if (next.custom_id == "b") return permanent();
        return answer();
      });
  EXPECT_THAT(sent, ElementsAre("a", "b", "c"));
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a", "c"));
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("b"));
  const json told = totals();
  EXPECT_EQ(told["status"], "completed");
  EXPECT_EQ(told["requests"], 3);
  EXPECT_EQ(told["succeeded"], 2);
  EXPECT_EQ(told["failed"], 1);
  EXPECT_EQ(told["pending"], 0);
  EXPECT_EQ(told["attempts"], 3);
  EXPECT_EQ(told["cost_usd"], "0.0007");
  EXPECT_EQ(told["errors"], json::parse(R"({"400":1})"));
  EXPECT_FALSE(dir.has("x.state")) << "the job is complete";
}

TEST_F(job_set_test, requests_carry_what_the_line_says) {
  dir.write("x.jsonl", "\n" + job_line("a"));
  auto jobs = open();
  const auto next = jobs->next();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->job, 0U);
  EXPECT_EQ(next->line, 2U);
  EXPECT_EQ(next->attempts, 0U);
  EXPECT_FALSE(jobs->identity(0).empty());
  EXPECT_FALSE(jobs->next());
  EXPECT_FALSE(jobs->next()) << "the end stays the end";
}

TEST_F(job_set_test, running_again_skips_what_is_done) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + job_line("c"));
  run([](const request& next) -> std::optional<boost::system::result<reply, failure>> {
    if (next.custom_id == "a") return answer();
    return std::nullopt;
  });
  EXPECT_EQ(totals()["status"], "interrupted");
  EXPECT_EQ(totals()["pending"], 2);
  EXPECT_TRUE(dir.has("x.state"));
  EXPECT_THAT(run(), ElementsAre("b", "c"));
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a", "b", "c"));
  EXPECT_EQ(totals()["status"], "completed");
}

TEST_F(job_set_test, a_finished_job_stays_as_it_is_byte_for_byte) {
  dir.write("x.jsonl",
            job_line("a") + "nonsense\n" + job_line("b") + job_line("a") + job_line("c"));
  run([](const request& next) -> std::optional<boost::system::result<reply, failure>> {
    if (next.custom_id == "b") return permanent();
    return answer();
  });
  const std::string output_before = dir.read("x.output.jsonl");
  const std::string errors_before = dir.read("x.errors.jsonl");
  const json totals_before = totals();
  EXPECT_EQ(totals_before["wall_s"], 1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(run(), IsEmpty());
    EXPECT_EQ(dir.read("x.output.jsonl"), output_before);
    EXPECT_EQ(dir.read("x.errors.jsonl"), errors_before);
    EXPECT_EQ(totals(), totals_before) << "a run that sends nothing adds no time";
  }
}

TEST_F(job_set_test, a_finished_job_is_read_only_once) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  run();
  auto jobs = open();
  dir.write("x.jsonl", "it was read before this\n");  // a second read would refuse this
  EXPECT_FALSE(jobs->next());
  jobs->finish(job_status::completed, 1, 1);
  EXPECT_EQ(totals()["status"], "completed");
}

TEST_F(job_set_test, the_totals_record_the_limit_of_the_last_run_that_sent_something) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  const auto run_under = [&](std::uint64_t rpm, std::size_t most) {
    auto jobs = open();
    jobs->set_rate_limit(rpm);
    for (std::size_t i = 0; i < most; ++i) {
      const auto next = jobs->next();
      ASSERT_TRUE(next);
      jobs->attempt_started({0, next->custom_id, next->attempts + 1, next->most});
      result finished;
      finished.line = next->line;
      finished.custom_id = next->custom_id;
      finished.model = next->model;
      finished.digest = next->digest;
      finished.attempts = 1;
      finished.outcome = *answer();
      jobs->put(std::move(finished));
    }
    EXPECT_FALSE(most == 2 && jobs->next());
    jobs->finish(job_status::interrupted, 1, 1);
  };
  run_under(30, 0);
  EXPECT_EQ(totals()["rpm"], nullptr) << "nothing was sent";
  run_under(60, 1);
  EXPECT_EQ(totals()["rpm"], 60);
  run_under(10, 0);
  EXPECT_EQ(totals()["rpm"], 60) << "the last one sent nothing";
  run_under(0, 1);
  EXPECT_EQ(totals()["rpm"], 0) << "no limit";
  EXPECT_EQ(totals()["wall_s"], 2);
}

TEST_F(job_set_test, totals_of_a_job_done_in_pieces_are_those_of_one_done_at_once) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += job_line("r" + std::to_string(i));
  dir.write("x.jsonl", text);
  dir.write("y.jsonl", text);
  run(succeed, {"y.jsonl"});
  for (int round = 0; round < 10; ++round) {
    int room = 4;
    run([&](const request&) -> std::optional<boost::system::result<reply, failure>> {
      if (room-- > 0) return answer();
      return std::nullopt;
    });
  }
  json pieces = totals("x");
  json whole = totals("y");
  for (json* told : {&pieces, &whole}) {
    told->erase("wall_s");
    told->erase("job");
  }
  EXPECT_EQ(pieces, whole);
}

TEST_F(job_set_test, passing_failures_are_tried_again_and_their_lines_replaced) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + job_line("c"));
  run([](const request& next) -> std::optional<boost::system::result<reply, failure>> {
    if (next.custom_id == "c") return permanent();
    return passing();
  });
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("a", "b", "c"));
  const auto sent =
      run([](const request& next) -> std::optional<boost::system::result<reply, failure>> {
        EXPECT_EQ(next.attempts, 1U);
        if (next.custom_id == "a") return answer();
        return passing(503);
      });
  EXPECT_THAT(sent, ElementsAre("a", "b"));
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a"));
  EXPECT_THAT(ids_in("x.errors.jsonl"), testing::UnorderedElementsAre("b", "c"));
  const json told = totals();
  EXPECT_EQ(told["failed"], 2);
  EXPECT_EQ(told["errors"], json::parse(R"({"400":1,"503":1})"));
  EXPECT_EQ(told["attempts"], 5);
  EXPECT_EQ(told["retries"], 2);
}

TEST_F(job_set_test, one_that_is_tried_again_keeps_its_old_line_until_it_has_a_new_one) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  run([](const request&) {
    return std::optional(boost::system::result<reply, failure>(passing()));
  });
  const std::string before = dir.read("x.errors.jsonl");
  run([](const request&) { return std::optional<boost::system::result<reply, failure>>(); });
  EXPECT_EQ(dir.read("x.errors.jsonl"), before);
  EXPECT_EQ(totals()["failed"], 2);
}

TEST_F(job_set_test, retry_failed_tries_everything_that_failed) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + "nonsense\n");
  run([](const request&) {
    return std::optional(boost::system::result<reply, failure>(permanent()));
  });
  output.retry_failed = true;
  EXPECT_THAT(run(), ElementsAre("a", "b"));
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a", "b"));
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("line-3")) << "a bad line stays one";
}

TEST_F(job_set_test, a_crash_between_result_and_tidying_costs_nothing) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  run([](const request&) {
    return std::optional(boost::system::result<reply, failure>(passing()));
  });
  run(
      [](const request& next) -> std::optional<boost::system::result<reply, failure>> {
        if (next.custom_id == "a") return answer();
        return passing(503);
      },
      {"x.jsonl"}, true);
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("a", "b", "b"))
      << "the stage is as a crash leaves it";
  EXPECT_THAT(run([](const request&) {
                return std::optional(boost::system::result<reply, failure>(permanent()));
              }),
              ElementsAre("b"));
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a"));
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("b"));
  EXPECT_EQ(totals()["errors"], json::parse(R"({"400":1})"));
  EXPECT_EQ(totals()["pending"], 0);
}

TEST_F(job_set_test, bad_lines_go_to_the_errors_file_and_are_taken_anew) {
  dir.write("x.jsonl", job_line("a") + "nonsense\n" + job_line("a") + "[]\n" + job_line("b"));
  EXPECT_THAT(run(), ElementsAre("a", "b"));
  std::map<int, std::string> codes;
  for (const auto& line : dir.lines("x.errors.jsonl")) {
    const auto told = json::parse(line);
    codes[told["sluice"]["line"]] = told["error"]["code"];
  }
  EXPECT_EQ(codes, (std::map<int, std::string>{{2, "invalid_json_line"},
                                               {3, "duplicate_custom_id"},
                                               {4, "invalid_request_line"}}));
  EXPECT_EQ(totals()["requests"], 5);
  EXPECT_EQ(totals()["failed"], 3);
  EXPECT_EQ(totals()["pending"], 0);
  // The user corrects two lines.
  dir.write("x.jsonl",
            job_line("a") + job_line("c") + job_line("a") + job_line("d") + job_line("b"));
  EXPECT_THAT(run(), ElementsAre("c", "d"));
  ASSERT_EQ(dir.lines("x.errors.jsonl").size(), 1U);
  EXPECT_EQ(json::parse(dir.lines("x.errors.jsonl")[0])["sluice"]["line"], 3);
  EXPECT_EQ(totals()["failed"], 1);
  EXPECT_EQ(totals()["errors"], json::parse(R"({"duplicate_custom_id":1})"));
}

TEST_F(job_set_test, a_line_that_turned_bad_in_another_way_has_one_line) {
  dir.write("x.jsonl", job_line("a") + "nonsense\n");
  run();
  dir.write("x.jsonl", job_line("a") + "[]\n");
  run(succeed, {"x.jsonl"}, true);  // a crash before old lines are removed
  run();
  ASSERT_EQ(dir.lines("x.errors.jsonl").size(), 1U);
  EXPECT_EQ(json::parse(dir.lines("x.errors.jsonl")[0])["error"]["code"], "invalid_request_line");
}

TEST_F(job_set_test, a_line_that_turned_bad_in_another_way_has_one_line_after_an_interruption_too) {
  dir.write("x.jsonl", "nonsense\n" + job_line("a") + job_line("b"));
  run();
  dir.write("x.jsonl", "[]\n" + job_line("a") + job_line("b") + job_line("c"));
  {
    auto jobs = open();
    jobs->next();
    jobs->cancel();
    jobs->finish(job_status::interrupted, 1, 1);
  }
  ASSERT_EQ(dir.lines("x.errors.jsonl").size(), 1U);
  EXPECT_EQ(json::parse(dir.lines("x.errors.jsonl")[0])["error"]["code"], "invalid_request_line");
}

TEST_F(job_set_test, a_line_that_is_bad_in_other_words_is_told_in_those) {
  const auto asked_with = [](const std::string& method) {
    return R"({"custom_id":"q","method":")" + method +
           R"(","url":"/v1/chat/completions","body":{"model":"gpt-4o","messages":[]}})" + "\n";
  };
  for (const std::uint64_t limit : {0U, 2U}) {
    lines.limit = limit;
    for (const std::string method : {"GET", "PUT", "PUT", "POST"}) {
      dir.write("x.jsonl", job_line("a") + asked_with(method));
      const std::string before = dir.read("x.errors.jsonl");
      run();
      const auto told = dir.lines("x.errors.jsonl");
      ASSERT_EQ(told.size(), method == "POST" ? 0U : 1U) << method;
      EXPECT_EQ(totals()["failed"], told.size());
      if (told.empty()) continue;
      EXPECT_THAT(json::parse(told[0])["error"]["message"].get<std::string>(), HasSubstr(method));
      EXPECT_EQ(dir.read("x.errors.jsonl") == before, before.find(method) != std::string::npos)
          << "the same again is not written again";
    }
    dir.write("x.jsonl", job_line("a"));
    output.fresh = true;
    run();
    output.fresh = false;
  }
}

TEST_F(job_set_test, a_summary_tells_what_is_to_be_done) {
  dir.write("x.jsonl",
            job_line("a") + "nonsense\n" + R"({"model":"mystery","messages":[]})" + "\n");
  auto jobs = open();
  const auto told = jobs->summaries();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].to_send, 2U);
  EXPECT_EQ(told[0].bad_lines, 1U);
  EXPECT_EQ(told[0].unpriced_models, (std::map<std::string, std::uint64_t>{{"mystery", 1}}));
  EXPECT_EQ(told[0].output, dir / "x.output.jsonl");
}

TEST_F(job_set_test, strict_refuses_bad_lines_and_makes_nothing) {
  dir.write("x.jsonl", job_line("a") + "nonsense\n");
  lines.strict = true;
  EXPECT_THAT(refused(), HasSubstr("line 2"));
  EXPECT_EQ(dir.entries(), 1U);
}

TEST_F(job_set_test, a_torn_last_line_is_dropped_and_its_request_sent_again) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  run();
  const std::string whole = dir.read("x.output.jsonl");
  for (std::size_t cut : {1U, 5U, 50U, 200U}) {
    dir.write("x.output.jsonl", whole.substr(0, whole.size() - cut - 1));
    EXPECT_THAT(run(), ElementsAre("b")) << cut;
    EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a", "b")) << cut;
  }
}

TEST_F(job_set_test, a_whole_last_line_without_its_newline_is_kept) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  run();
  const std::string whole = dir.read("x.output.jsonl");
  dir.write("x.output.jsonl", whole.substr(0, whole.size() - 1));
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_EQ(dir.read("x.output.jsonl"), whole);
}

TEST_F(job_set_test, a_damaged_line_in_the_middle_is_named) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + job_line("c"));
  run();
  auto stored = dir.lines("x.output.jsonl");
  const std::string damaged = stored[0] + "\n" + stored[1].substr(0, 40) + "\n" + stored[2] + "\n";
  dir.write("x.output.jsonl", damaged);
  const std::string told = refused();
  EXPECT_THAT(told, HasSubstr("x.output.jsonl line 2"));
  EXPECT_THAT(told, HasSubstr("damaged"));
  EXPECT_EQ(dir.read("x.output.jsonl"), damaged);
}

// A job and an output of many blocks, which are parsed on several threads.
struct large_job_test : job_set_test {
  static constexpr int count = 9000;
  static std::string id(int number) { return "request-" + std::to_string(number); }

  large_job_test() {
    std::string text;
    for (int n = 1; n <= count; ++n) text += job_line(id(n));
    dir.write("x.jsonl", text);
    run();
    stored = dir.read("x.output.jsonl");
    EXPECT_GT(text.size(), std::size_t{3} << 18U);
    EXPECT_GT(stored.size(), std::size_t{9} << 18U);
  }
  // Damages the stored lines with these numbers.
  void damage(std::initializer_list<int> numbers) const {
    std::string text;
    int number = 0;
    for (const auto& line : dir.lines("x.output.jsonl")) {
      const bool is_hit = std::count(numbers.begin(), numbers.end(), ++number) > 0;
      text += (is_hit ? line.substr(0, 40) : line) + "\n";
    }
    dir.write("x.output.jsonl", text);
  }

  std::string stored;
};

TEST_F(large_job_test, is_resumed_with_the_same_lines_and_totals) {
  const json before = totals();
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_EQ(dir.read("x.output.jsonl"), stored);
  EXPECT_EQ(totals()["succeeded"], count);
  for (const char* same : {"attempts", "cost_usd", "tokens", "models", "finish_reasons"}) {
    EXPECT_EQ(totals()[same], before[same]) << same;
  }
}

TEST_F(large_job_test, the_first_of_several_damaged_lines_is_named) {
  damage({count - 1, 4000, 8000});
  EXPECT_THAT(refused(), HasSubstr("x.output.jsonl line 4000 is damaged"));
}

TEST_F(large_job_test, a_torn_last_line_is_sent_again) {
  dir.write("x.output.jsonl", stored.substr(0, stored.size() - 20));
  EXPECT_THAT(run(), ElementsAre(id(count)));
  EXPECT_EQ(ids_in("x.output.jsonl").size(), std::size_t{count});
}

TEST_F(large_job_test, a_duplicate_is_found_in_another_block) {
  append("x.jsonl", job_line(id(1)) + job_line("new"));
  EXPECT_EQ(open()->summaries()[0].bad_lines, 1U);
  EXPECT_THAT(run(), ElementsAre("new"));
  EXPECT_THAT(dir.read("x.errors.jsonl"), HasSubstr(R"("line":9001)"));
}

TEST_F(large_job_test, a_limit_ends_the_job_in_a_later_block) {
  append("x.jsonl", job_line("new"));
  lines.limit = 5000;
  EXPECT_THAT(run(), IsEmpty());
  lines.limit = count + 1;
  EXPECT_THAT(run(), ElementsAre("new"));
}

TEST_F(large_job_test, a_damaged_line_is_named_before_a_part_that_cannot_be_read) {
  test::faulty_files disk;
  disk.read_fault = [](const std::string& path, std::uint64_t offset) {
    const bool is_hit = path.ends_with("x.output.jsonl") && offset > std::uint64_t{1} << 20U;
    return is_hit ? test::faulty_files::broken() : std::error_code();
  };
  const auto told = [&] {
    return refusal([&] { job_set({dir / "x.jsonl"}, lines, output, prices, disk); });
  };
  EXPECT_THAT(told(), HasSubstr("x.output.jsonl: cannot be read (Input/output error)"));
  damage({100});
  EXPECT_THAT(told(), HasSubstr("x.output.jsonl line 100 is damaged"));
}

TEST_F(job_set_test, a_changed_request_is_refused_by_name) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  run();
  dir.write("x.jsonl", job_line("a") + job_line("b", "something else"));
  EXPECT_THAT(refused(), HasSubstr("\"b\""));
}

TEST_F(job_set_test, a_changed_request_that_only_failed_is_sent) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  run([](const request&) {
    return std::optional(boost::system::result<reply, failure>(permanent()));
  });
  dir.write("x.jsonl", job_line("a") + job_line("b", "something else"));
  EXPECT_THAT(run(), ElementsAre("b"));
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("a"));
}

TEST_F(job_set_test, a_changed_request_can_be_sent_again) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + job_line("c"));
  run();
  dir.write("x.jsonl", job_line("a", "other") + job_line("b"));
  output.changed = on_change::redo;
  EXPECT_THAT(run([](const request&) { return std::nullopt; }), ElementsAre("a"));
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("b")) << "a and c made room";
  EXPECT_EQ(totals()["cost_usd"], "0.00035");
  EXPECT_EQ(totals()["pending"], 1);
  EXPECT_THAT(run(), ElementsAre("a"));
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("b", "a"));
  EXPECT_EQ(totals()["requests"], 2);
  EXPECT_EQ(totals()["status"], "completed");
}

TEST_F(job_set_test, results_of_changed_requests_can_stand) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  run();
  dir.write("x.jsonl", job_line("a", "other") + job_line("d"));
  output.changed = on_change::keep;
  EXPECT_THAT(run(), ElementsAre("d"));
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a", "b", "d"));
  EXPECT_EQ(totals()["succeeded"], 3);
  EXPECT_EQ(totals()["pending"], 0);
  EXPECT_THAT(run(), IsEmpty());
}

TEST_F(job_set_test, a_job_that_changes_while_it_runs_is_found_out) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  auto jobs = open();
  jobs->next();
  append("x.jsonl", job_line("c"));
  EXPECT_THAT(refusal([&] {
                while (jobs->next()) {
                }
              }),
              HasSubstr("was changed while it was run"));
}

TEST_F(job_set_test, results_behind_a_link_stay_behind_it) {
  dir.write("x.jsonl", job_line("a"));
  std::filesystem::create_directory(dir / "far");
  for (const std::string name : {"x.output.jsonl", "x.errors.jsonl", "x.totals.json"}) {
    std::filesystem::create_symlink("far/" + name, dir / name);
  }
  run([](const request&) { return passing(); });
  run();
  for (const std::string name : {"x.output.jsonl", "x.errors.jsonl", "x.totals.json"}) {
    EXPECT_TRUE(std::filesystem::is_symlink(dir / name)) << name;
    EXPECT_TRUE(dir.has("far/" + name)) << name;
  }
  EXPECT_THAT(ids_in("far/x.output.jsonl"), ElementsAre("a"));
  EXPECT_THAT(ids_in("far/x.errors.jsonl"), IsEmpty());
}

TEST_F(job_set_test, fresh_leaves_links_to_result_files_as_they_are) {
  dir.write("x.jsonl", job_line("a"));
  std::filesystem::create_directory(dir / "far");
  const std::vector<std::string> names = {"x.output.jsonl", "x.errors.jsonl", "x.totals.json"};
  for (const std::string& name : names) std::filesystem::create_symlink("far/" + name, dir / name);
  run();
  const std::string old = dir.read("far/x.output.jsonl");
  output.fresh = true;
  test::faulty_files disk;
  disk.fault = [](std::string_view what, const std::string& path) {
    return what == "append" && path.ends_with("x.totals.json.sluice-new")
               ? test::faulty_files::broken()
               : std::error_code();
  };
  EXPECT_THROW(job_set({dir / "x.jsonl"}, lines, output, prices, disk), fatal_error);
  const auto expect_links = [&] {
    for (const std::string& name : names) {
      EXPECT_TRUE(std::filesystem::is_symlink(dir / name)) << name;
      EXPECT_TRUE(dir.has("far/" + name)) << name;
      EXPECT_FALSE(dir.has(name + ".old-1")) << name;
    }
  };
  expect_links();
  EXPECT_EQ(dir.read("far/x.output.jsonl"), old);
  EXPECT_FALSE(dir.has("far/x.output.jsonl.old-1"));
  EXPECT_THAT(run(), ElementsAre("a"));
  expect_links();
  EXPECT_EQ(dir.read("far/x.output.jsonl.old-1"), old);
  EXPECT_EQ(totals()["attempts"], 1);
}

TEST_F(job_set_test, what_a_fresh_start_paid_for_stays_recorded_if_the_files_may_not_be_back) {
  dir.write("x.jsonl", job_line("a"));
  std::filesystem::create_directory(dir / "far");
  std::filesystem::create_symlink("far/x.output.jsonl", dir / "x.output.jsonl");
  output.budget = usd::parse("1");
  run();
  ASSERT_FALSE(dir.has("x.state"));
  output.fresh = true;
  for (const bool breaks : {true, false}) {
    test::faulty_files disk;
    disk.fault = [breaks, ends = false](std::string_view what, const std::string& path) mutable {
      ends = ends || (what == "append" && path.ends_with("x.totals.json.sluice-new"));
      const bool of_far =
          what == "sync folder" && path.find("/far/x.output.jsonl") != std::string::npos;
      return ends && (what == "append" || (breaks && of_far)) ? test::faulty_files::broken()
                                                              : std::error_code();
    };
    EXPECT_THROW(job_set({dir / "x.jsonl"}, lines, output, prices, disk), fatal_error);
    EXPECT_EQ(ids_in("far/x.output.jsonl"), std::vector<std::string>{"a"});
    EXPECT_EQ(dir.has("x.state"), breaks);
    if (breaks) {
      EXPECT_THAT(dir.read("x.state"), HasSubstr("kept_usd"));
      std::filesystem::remove(dir / "x.state");
    }
  }
}

TEST_F(job_set_test, a_start_syncs_the_folders_of_result_files_behind_links) {
  dir.write("x.jsonl", job_line("a"));
  for (const std::string name : {"output", "errors"}) {
    std::filesystem::create_directory(dir / name);
    std::filesystem::create_symlink(name + "/x", dir / ("x." + name + ".jsonl"));
  }
  std::multiset<std::string> folders;
  test::faulty_files disk;
  disk.fault = [&](std::string_view what, const std::string& path) {
    if (what == "sync folder")
      folders.insert(std::filesystem::path(path).parent_path().filename().string());
    return std::error_code();
  };
  const job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
  EXPECT_EQ(folders.count("output"), 1U);
  EXPECT_EQ(folders.count("errors"), 1U);
}

TEST_F(job_set_test, ordered_sorts_the_lines_once_every_request_has_one) {
  output.ordered = true;
  const std::string bad = "not JSON\n";
  dir.write("x.jsonl", job_line("a") + bad + job_line("b") + job_line("c") + bad + job_line("d"));
  const auto without_a = [](const request& next) {
    return next.custom_id == "a" ? std::nullopt : succeed(next);
  };
  run(without_a);
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("b", "c", "d"));
  output.ordered = false;
  run();
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("b", "c", "d", "a"));
  const json unsorted = totals();
  output.ordered = true;
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("line-2", "line-5"));
  EXPECT_EQ(totals()["cost_usd"], unsorted["cost_usd"]);
  EXPECT_EQ(totals()["status"], "completed");
}

TEST_F(job_set_test, ordered_sorts_a_job_when_it_is_complete_and_not_before) {
  output.ordered = true;
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  dir.write("y.jsonl", job_line("c") + job_line("d") + job_line("e"));
  run([](const request& next) { return next.custom_id == "a" ? std::nullopt : succeed(next); });
  run(
      [](const request& next) -> std::optional<boost::system::result<reply, failure>> {
        if (next.custom_id == "c") return passing();
        return succeed(next);
      },
      {"y.jsonl"});
  run([](const request& next) { return next.custom_id == "a" ? std::nullopt : succeed(next); },
      {"x.jsonl", "y.jsonl"});
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("b"));
  EXPECT_THAT(ids_in("y.output.jsonl"), ElementsAre("c", "d", "e"));
  run(succeed, {"x.jsonl", "y.jsonl"});
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a", "b"));
}

// A job line with this id. All lines from this function have the same prompt, so their requests are
// equal.
std::string equal_line(const std::string& id) {
  return job_line(id, "the same");
}

TEST_F(job_set_test, dedup_sends_equal_requests_once_and_copies_the_result) {
  lines.dedup = true;
  dir.write("x.jsonl", equal_line("a") + job_line("b") + equal_line("c") + equal_line("d"));
  EXPECT_EQ(open()->summaries()[0].to_send, 2U);
  EXPECT_EQ(open()->summaries()[0].copies, 2U);
  EXPECT_THAT(run(), ElementsAre("a", "b"));
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a", "b", "c", "d"));
  const auto written = dir.lines("x.output.jsonl");
  const json original = json::parse(written[0]);
  const json copy = json::parse(written[2]);
  EXPECT_EQ(copy["response"], original["response"]);
  EXPECT_EQ(copy["error"], nullptr);
  EXPECT_NE(copy["id"], original["id"]);
  EXPECT_EQ(
      copy["sluice"],
      json::parse(R"({"line":3,"attempts":0,"model":"gpt-4o",
      "copied_from":"a","usage":null,"usage_source":"none","cost_usd":"0"})")
          .patch(json::array(
              {{{"op", "add"}, {"path", "/digest"}, {"value", original["sluice"]["digest"]}}})));
  const json told = totals();
  EXPECT_EQ(told["status"], "completed");
  EXPECT_EQ(told["requests"], 4);
  EXPECT_EQ(told["succeeded"], 4);
  EXPECT_EQ(told["pending"], 0);
  EXPECT_EQ(told["attempts"], 2);
  EXPECT_EQ(told["tokens"]["prompt"], 200) << "of two replies";
  EXPECT_EQ(told["unpriced_requests"], 0);
  EXPECT_EQ(told["finish_reasons"]["stop"], 4);
  EXPECT_EQ(told["models"]["gpt-4o"]["requests"], 4);
  EXPECT_FALSE(dir.has("x.state"));
  // Run again, with and without the flag: the run sends nothing and changes nothing.
  const std::string before = dir.read("x.output.jsonl");
  for (const bool dedup : {true, false}) {
    lines.dedup = dedup;
    EXPECT_THAT(run(), IsEmpty());
    EXPECT_EQ(dir.read("x.output.jsonl"), before);
    json again = totals();
    EXPECT_EQ(again["cost_usd"], told["cost_usd"]);
    EXPECT_EQ(again["models"], told["models"]);
    EXPECT_EQ(again["latency_ms"], told["latency_ms"]);
    EXPECT_EQ(again["finish_reasons"], told["finish_reasons"]);
    EXPECT_EQ(again["unpriced_requests"], 0);
  }
}

TEST_F(job_set_test, requests_are_equal_per_job_model_and_body) {
  lines.dedup = true;
  dir.write(
      "x.jsonl",
      equal_line("a") +
          R"({"custom_id":"b","model":"gpt-4o-mini","messages":[{"role":"user","content":"the same"}]})"
          "\n" +
          R"({"custom_id":"c","model":"gpt-4o","messages":[{"role":"user","content":"the same"}],"seed":1})"
          "\n");
  dir.write("y.jsonl", equal_line("d"));
  auto sent = run(succeed, {"x.jsonl", "y.jsonl"});
  std::sort(sent.begin(), sent.end());
  EXPECT_THAT(sent, ElementsAre("a", "b", "c", "d"));
}

TEST_F(job_set_test, copies_of_a_failure_fail_alike_and_are_tried_again_with_it) {
  lines.dedup = true;
  dir.write("x.jsonl", equal_line("a") + equal_line("b") + job_line("c"));
  run([](const request& next) -> std::optional<boost::system::result<reply, failure>> {
    if (next.custom_id == "a") return passing(503);
    return answer();
  });
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("a", "b"));
  const json copy = json::parse(dir.lines("x.errors.jsonl")[1]);
  EXPECT_EQ(copy["response"]["status_code"], 503);
  EXPECT_EQ(copy["sluice"]["copied_from"], "a");
  EXPECT_EQ(copy["sluice"]["retryable"], true);
  EXPECT_EQ(totals()["errors"]["503"], 2);
  EXPECT_EQ(totals()["status"], "completed");
  // In the next run, the request fails permanently.
  EXPECT_THAT(run([](const request&) { return permanent(); }), ElementsAre("a"));
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("a", "b"));
  EXPECT_EQ(totals()["errors"], json({{"400", 2}}));
  const std::string before = dir.read("x.errors.jsonl");
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_EQ(dir.read("x.errors.jsonl"), before);
  // With retry_failed, the request succeeds.
  output.retry_failed = true;
  EXPECT_THAT(run(), ElementsAre("a"));
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("c", "a", "b"));
  EXPECT_THAT(ids_in("x.errors.jsonl"), IsEmpty());
  EXPECT_EQ(totals()["succeeded"], 3);
}

TEST_F(job_set_test, a_run_that_died_before_the_copies_is_gone_on_with_without_sending) {
  lines.dedup = true;
  dir.write("x.jsonl", equal_line("a") + equal_line("b") + equal_line("c"));
  run(succeed, {"x.jsonl"}, true);
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a"));
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a", "b", "c"));
  EXPECT_EQ(totals()["attempts"], 1);
  // The previous run wrote only some of the copies.
  dir.write("x.output.jsonl",
            dir.lines("x.output.jsonl")[0] + "\n" + dir.lines("x.output.jsonl")[1] + "\n");
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a", "b", "c"));
}

TEST_F(job_set_test, copies_wait_for_a_request_that_is_pending) {
  lines.dedup = true;
  dir.write("x.jsonl", equal_line("a") + equal_line("b") + job_line("c"));
  run([](const request& next) { return next.custom_id == "a" ? std::nullopt : succeed(next); });
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("c"));
  EXPECT_EQ(totals()["pending"], 2);
  EXPECT_EQ(totals()["status"], "interrupted");
  output.ordered = true;
  EXPECT_THAT(run(), ElementsAre("a"));
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a", "b", "c")) << "copies are sorted, too";
}

TEST_F(job_set_test, a_result_of_an_earlier_run_is_copied_wherever_its_line_is) {
  dir.write("x.jsonl", equal_line("a") + equal_line("b") + equal_line("c"));
  run([](const request& next) { return next.custom_id != "b" ? std::nullopt : succeed(next); });
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("b"));
  lines.dedup = true;
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("b", "a", "c"));
  EXPECT_EQ(json::parse(dir.lines("x.output.jsonl")[1])["sluice"]["copied_from"], "b");
}

TEST_F(job_set_test, copies_are_not_written_twice_when_the_disk_is_full_for_a_while) {
  lines.dedup = true;
  std::string job = equal_line("a");
  for (int i = 0; i < 600; ++i) job += equal_line("copy-" + std::to_string(i));
  dir.write("x.jsonl", job);
  test::faulty_files files;
  job_set jobs({dir / "x.jsonl"}, lines, output, prices, files);
  const auto next = jobs.next();
  ASSERT_TRUE(next);
  result finished;
  finished.line = 1;
  finished.custom_id = "a";
  finished.model = next->model;
  finished.digest = next->digest;
  finished.attempts = 1;
  finished.outcome = answer();
  start(jobs, {0, "a", 1, {}});
  jobs.put(std::move(finished));
  EXPECT_FALSE(jobs.next());
  int appends = 0;
  files.fault = [&](std::string_view what, const std::string& path) {
    const bool full = what == "append" && path.ends_with("output.jsonl") && ++appends >= 2;
    return full ? std::make_error_code(std::errc::no_space_on_device) : std::error_code();
  };
  EXPECT_THROW(jobs.finish(job_status::completed, 1, 1), fatal_error);
  EXPECT_TRUE(jobs.disk_is_full());
  files.fault = [](std::string_view, const std::string&) { return std::error_code(); };
  jobs.finish(job_status::completed, 1, 1);
  auto ids = ids_in("x.output.jsonl");
  EXPECT_EQ(ids.size(), 601U);
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 601U);
  EXPECT_EQ(totals()["succeeded"], 601);
  EXPECT_EQ(totals()["status"], "completed");
}

std::string long_line(const std::string& id, char opening) {
  return job_line(id, std::string(3000, opening) + id);
}

TEST_F(job_set_test, grouped_requests_wait_for_the_first_of_their_group) {
  lines.group_prefixes = true;
  dir.write("x.jsonl", long_line("a1", 'a') + "not JSON\n" + long_line("b1", 'b') +
                           long_line("a2", 'a') + job_line("short") + long_line("b2", 'b') +
                           long_line("a3", 'a'));
  dir.write("y.jsonl", long_line("c1", 'c') + long_line("c2", 'c'));
  std::vector<std::string> sent;
  {
    auto jobs = open({"x.jsonl", "y.jsonl"});
    std::mutex mutex;
    std::condition_variable more;
    std::vector<request> given;
    bool ended = false;
    std::thread reader([&] {
      while (auto next = jobs->next()) {
        const std::lock_guard lock(mutex);
        given.push_back(std::move(*next));
        more.notify_all();
      }
      const std::lock_guard lock(mutex);
      ended = true;
      more.notify_all();
    });
    const auto take = [&](std::size_t count) {
      std::unique_lock lock(mutex);
      more.wait(lock, [&] { return given.size() >= count || ended; });
      std::vector<request> all = std::move(given);
      given.clear();
      for (const auto& one : all) sent.push_back(one.custom_id);
      return all;
    };
    const auto finish = [&](const request& one) {
      start(*jobs, {one.job, one.custom_id, 1, {}});
      result finished;
      finished.job = one.job;
      finished.line = one.line;
      finished.custom_id = one.custom_id;
      finished.model = one.model;
      finished.digest = one.digest;
      finished.attempts = 1;
      finished.outcome = answer();
      jobs->put(std::move(finished));
    };
    const auto leaders = take(4);
    EXPECT_THAT(sent, testing::UnorderedElementsAre("a1", "b1", "short", "c1"));
    sent.clear();
    for (const auto& one : leaders) {
      if (one.custom_id == "b1") finish(one);
    }
    const auto of_b = take(1);
    EXPECT_THAT(sent, ElementsAre("b2"));
    sent.clear();
    for (const auto& one : leaders) {
      if (one.custom_id != "b1") finish(one);
    }
    const auto rest = take(3);
    EXPECT_THAT(sent, testing::UnorderedElementsAre("a2", "a3", "c2"));
    for (const auto& one : rest) finish(one);
    for (const auto& one : of_b) finish(one);
    reader.join();
    jobs->finish(job_status::completed, 1, 1);
  }
  EXPECT_EQ(totals("x")["status"], "completed");
  EXPECT_EQ(totals("x")["succeeded"], 6);
  EXPECT_EQ(totals("x")["failed"], 1) << "the bad line";
  EXPECT_EQ(totals("y")["succeeded"], 2);
  auto again = open({"x.jsonl", "y.jsonl"});
  EXPECT_FALSE(again->next());
}

TEST_F(job_set_test, a_reader_that_waits_for_a_group_can_be_cancelled) {
  lines.group_prefixes = true;
  dir.write("x.jsonl", long_line("a1", 'a') + long_line("a2", 'a'));
  auto jobs = open();
  ASSERT_TRUE(jobs->next());
  std::thread reader([&] { EXPECT_FALSE(jobs->next()); });
  jobs->cancel();
  reader.join();
}

TEST_F(job_set_test, what_is_taken_ahead_of_a_group_is_not_given_again) {
  lines.group_prefixes = true;
  std::string job;
  for (int i = 0; i < 9; ++i) job += long_line("a" + std::to_string(i), 'a');
  dir.write("x.jsonl", job);
  std::set<std::string> given;
  auto jobs = open();
  const auto leader = jobs->next();
  ASSERT_TRUE(leader);
  std::promise<std::vector<request>> taken;
  jobs->look_ahead(0, 3, [&](std::vector<request> found) { taken.set_value(std::move(found)); });
  for (const auto& one : taken.get_future().get()) given.insert(one.custom_id);
  EXPECT_EQ(given.size(), 3U);
  result finished;
  finished.line = leader->line;
  finished.custom_id = leader->custom_id;
  finished.model = leader->model;
  finished.digest = leader->digest;
  finished.outcome = answer();
  jobs->put(std::move(finished));
  while (const auto next = jobs->next()) EXPECT_TRUE(given.insert(next->custom_id).second);
  EXPECT_EQ(given.size(), 8U);
}

// A job whose second half is far from its first.
struct look_ahead_test : job_set_test {
  test::faulty_files disk;
  std::unique_ptr<job_set> jobs;
  std::optional<std::vector<std::string>> found;

  look_ahead_test() {
    disk.by_hand = true;
    const std::string prompt(std::size_t{16} << 10, 'x');
    std::string job;
    for (int i = 0; i < 600; ++i) job += job_line(std::to_string(i), prompt);
    dir.write("x.jsonl", job);
    output.durable = durability::each;
    jobs = std::make_unique<job_set>(std::vector<std::string>{dir / "x.jsonl"}, lines, output,
                                     prices, disk);
    EXPECT_TRUE(jobs->next());
    jobs->look_ahead(0, 2, [this](const std::vector<request>& ahead) {
      found.emplace();
      for (const request& one : ahead) found->push_back(one.custom_id);
    });
  }
};

TEST_F(look_ahead_test, lets_other_work_of_the_disk_go_first) {
  bool recorded = false;
  bool durable = false;
  jobs->record([&](const std::exception_ptr&) { recorded = true; });
  jobs->make_durable([&](const std::exception_ptr&) { durable = true; });
  while (!durable) disk.run_next();
  EXPECT_TRUE(recorded);
  EXPECT_FALSE(found);
  disk.finish_background();
  EXPECT_EQ(found, (std::vector<std::string>{"200", "399"}));
}

TEST_F(look_ahead_test, ends_soon_after_a_cancel) {
  disk.run_next();
  EXPECT_FALSE(found);
  jobs->cancel();
  disk.run_next();
  EXPECT_THAT(disk.queued, IsEmpty());
  EXPECT_EQ(found, std::vector<std::string>());
}

TEST_F(look_ahead_test, does_not_hold_up_the_end_of_a_run) {
  disk.run_next();
  jobs->cancel();
  jobs->finish(job_status::interrupted, 1, 1);
  EXPECT_EQ(found, std::vector<std::string>());
}

// Calls `on_read` once, when the next line of a job is read.
struct watched_reading final : reply_check {
  mutable std::function<void()> on_read;

  std::optional<std::string> why_unchecked(const request& /*asked*/) const override {
    if (const auto once = std::exchange(on_read, nullptr)) once();
    return std::nullopt;
  }
  std::optional<std::string> fault_of(const request& /*asked*/,
                                      const reply& /*whole*/) const override {
    return std::nullopt;
  }
  std::optional<std::string> body_with_reason(const request& /*asked*/, const reply& /*rejected*/,
                                              const std::string& /*reason*/) const override {
    return std::nullopt;
  }
};

// A job of nine requests with one opening; the first of them has its result.
struct ahead_of_group_test : job_set_test {
  std::shared_ptr<watched_reading> reading = std::make_shared<watched_reading>();
  std::unique_ptr<job_set> jobs;
  std::vector<std::string> given;

  ahead_of_group_test() {
    lines.group_prefixes = true;
    lines.expect = reading;
    std::string job;
    for (int i = 0; i < 9; ++i) job += long_line("a" + std::to_string(i), 'a');
    dir.write("x.jsonl", job);
    jobs = open();
    put(*jobs->next());
  }

  void put(const request& asked) {
    start(*jobs, {asked.job, asked.custom_id, 1, {}});
    result finished = result_for(asked, 1);
    finished.outcome = answer();
    jobs->put(std::move(finished));
  }
  void take_all() {
    while (const auto next = jobs->next()) {
      given.push_back(next->custom_id);
      put(*next);
    }
  }
  void look_ahead() {
    std::promise<std::vector<request>> found;
    jobs->look_ahead(0, 3, [&](std::vector<request> ahead) { found.set_value(std::move(ahead)); });
    for (const request& one : found.get_future().get()) {
      given.push_back(one.custom_id);
      put(one);
    }
  }
};

TEST_F(ahead_of_group_test, a_reader_that_goes_on_meanwhile_gives_no_request_again) {
  reading->on_read = [this] { take_all(); };
  look_ahead();
  EXPECT_THAT(given, testing::UnorderedElementsAre("a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"));
  jobs->finish(job_status::completed, 1, 1);
  EXPECT_EQ(totals()["status"], "completed");
}

TEST_F(ahead_of_group_test, requests_that_cannot_be_read_are_given_in_their_turn) {
  reading->on_read = [] { throw std::runtime_error("the disk is broken for a moment"); };
  look_ahead();
  EXPECT_THAT(given, IsEmpty());
  take_all();
  EXPECT_THAT(given, testing::UnorderedElementsAre("a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"));
}

TEST_F(ahead_of_group_test, requests_that_cannot_be_read_and_were_skipped_stay_pending) {
  reading->on_read = [this] {
    take_all();
    throw std::runtime_error("the disk is broken for a moment");
  };
  look_ahead();
  EXPECT_EQ(given.size(), 5U);
  jobs->finish(job_status::completed, 1, 1);
  EXPECT_EQ(totals()["status"], "stopped");
  EXPECT_EQ(totals()["pending"], 3);
  jobs.reset();
  jobs = open();
  take_all();
  EXPECT_THAT(given, testing::UnorderedElementsAre("a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"));
}

TEST_F(job_set_test, a_group_goes_on_if_its_first_request_stays_pending) {
  lines.group_prefixes = true;
  dir.write("x.jsonl", long_line("a1", 'a') + long_line("a2", 'a'));
  auto jobs = open();
  const auto leader = jobs->next();
  ASSERT_TRUE(leader);
  std::thread reader([&] {
    const auto next = jobs->next();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->custom_id, "a2");
    EXPECT_FALSE(jobs->next());
  });
  jobs->left_pending(*leader);
  reader.join();
  jobs->finish(job_status::completed, 1, 1);
  EXPECT_EQ(totals()["pending"], 2);
  EXPECT_EQ(totals()["status"], "stopped");
}

TEST_F(job_set_test, what_needs_the_job_as_a_file_says_so) {
  lines.group_prefixes = true;
  dir.write("x.jsonl.gz", "");
  EXPECT_THAT(refused({"x.jsonl.gz"}), AllOf(HasSubstr("x.jsonl.gz"), HasSubstr("--group-prefixes"),
                                             HasSubstr("decompress it first")));
}

// The files of a folder, with their content.
std::map<std::string, std::string> content_of(const test::temp_dir& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    const std::string name = entry.path().filename().string();
    files[name] = dir.read(name);
  }
  return files;
}

// A pipe as the standard input of this process.
class piped_input {
 public:
  piped_input() : before_(::dup(STDIN_FILENO)) {
    if (::pipe(ends_.data()) != 0) throw std::runtime_error("no pipe");
    ::dup2(ends_[0], STDIN_FILENO);
  }
  piped_input(const piped_input&) = delete;
  piped_input& operator=(const piped_input&) = delete;
  ~piped_input() {
    if (before_ >= 0) {
      ::dup2(before_, STDIN_FILENO);
      ::close(before_);
    }
    for (const int end : ends_) {
      if (end >= 0) ::close(end);
    }
  }

  void write(const std::string& text) const {
    ASSERT_EQ(::write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void end() {
    ::close(ends_[1]);
    ends_[1] = -1;
  }
  // Returns when everything has been read.
  void wait_until_read() const {
    for (int unread = 1; unread > 0; std::this_thread::yield()) {
      ASSERT_EQ(::ioctl(ends_[0], FIONREAD, &unread), 0);
    }
  }

 private:
  const int before_;
  std::array<int, 2> ends_{};
};

TEST_F(job_set_test, a_stop_does_not_make_a_bad_line_of_half_a_line) {
  const piped_input input;
  input.write(job_line("a"));
  output.output_file = dir / "x.output.jsonl";
  job_set jobs({"-"}, lines, output, prices);
  ASSERT_TRUE(jobs.next());
  std::thread reader([&] { EXPECT_FALSE(jobs.next()); });
  const std::string line = job_line("b");
  input.write(line.substr(0, line.size() / 2));
  input.wait_until_read();
  jobs.cancel();
  reader.join();
  EXPECT_EQ(jobs.totals(0).requests, 1U);
  EXPECT_EQ(jobs.totals(0).failed, 0U);
  jobs.finish(job_status::interrupted, 1, 1);
  EXPECT_THAT(dir.read("x.errors.jsonl"), IsEmpty());
}

TEST_F(job_set_test, files_are_for_their_owner_unless_a_mode_is_given) {
  using std::filesystem::perms;
  const auto mode_of = [&](const char* name) {
    return std::filesystem::status(dir / name).permissions();
  };
  dir.write("x.jsonl", job_line("a"));
  run([](const request&) { return std::nullopt; });
  for (const char* name : {"x.output.jsonl", "x.errors.jsonl", "x.totals.json", "x.state"}) {
    EXPECT_EQ(mode_of(name), perms::owner_read | perms::owner_write) << name;
  }
  output.fresh = true;
  output.mode = 0640;
  run();
  EXPECT_EQ(mode_of("x.output.jsonl"), perms::owner_read | perms::owner_write | perms::group_read);
}

TEST_F(job_set_test, a_request_whose_attempt_died_with_the_run_knows_of_it) {
  dir.write("x.jsonl", job_line("a"));
  {
    auto jobs = open();
    const auto next = jobs->next();
    start(*jobs, {0, next->custom_id, 1, {}});
  }
  auto jobs = open();
  const auto next = jobs->next();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->attempts, 1U);
  EXPECT_EQ(next->settled_attempts, 0U) << "no line tells of it: the key stays";
  EXPECT_EQ(jobs->totals(0).attempts, 1U);
  EXPECT_EQ(jobs->totals(0).maybe_billed_attempts, 1U);
}

// A job with a budget of one dollar. Each of its requests for gpt-4o costs at most `bound`.
struct budget_job_test : job_set_test {
  usd bound;

  explicit budget_job_test() {
    dir.write("x.jsonl", line("a") + line("b") + line("c"));
    output.budget = *usd::parse("1");
    bound = open()->next()->most;
  }
  static std::string line(const std::string& id) {
    return R"({"custom_id":")" + id +
           R"(","model":"gpt-4o","max_tokens":100,"messages":[{"role":"user","content":"hi"}]})" +
           "\n";
  }
  static attempt_record first_attempt(const request& next) {
    return {next.job, next.custom_id, 1, next.most};
  }
};

TEST_F(budget_job_test, the_bound_is_of_the_prompt_and_the_longest_reply) {
  const usd reply = *usd::parse("0.000017") * 100;
  const auto next = open()->next();
  EXPECT_EQ(next->most, *usd::parse("0.00000425") * bound_prompt(*next, 0) + reply);
  relay_prices of_pool(prices);
  of_pool.set_renamed("gpt-4o");
  job_set jobs({dir / "x.jsonl"}, lines, output, of_pool);
  EXPECT_EQ(jobs.next()->most,
            *usd::parse("0.00000425") * static_cast<std::int64_t>(next->body.size()) + reply)
      << "another model behind the name may have any tokens";
}

TEST_F(budget_job_test, equal_requests_are_reserved_and_paid_once) {
  lines.dedup = true;
  dir.write("x.jsonl", equal_line("a") + equal_line("b") + equal_line("c"));
  auto jobs = open();
  const auto only = jobs->next();
  ASSERT_TRUE(only);
  const usd most = only->most;
  EXPECT_FALSE(jobs->next());
  jobs.reset();
  output.budget = most;  // enough for one attempt
  auto tight = open();
  const auto next = tight->next();
  ASSERT_TRUE(next);
  EXPECT_EQ(tight->reserve(*next), funds::reserved);
  start(*tight, {0, next->custom_id, 1, next->most});
  result finished;
  finished.line = 1;
  finished.custom_id = next->custom_id;
  finished.model = next->model;
  finished.digest = next->digest;
  finished.attempts = 1;
  finished.outcome = answer();
  tight->put(std::move(finished));
  EXPECT_FALSE(tight->next());
  tight->finish(job_status::completed, 1, 1);
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a", "b", "c"));
  EXPECT_EQ(totals()["status"], "completed");
  const std::string cost = json::parse(dir.lines("x.output.jsonl")[0])["sluice"]["cost_usd"];
  EXPECT_EQ(totals()["cost_usd"], cost);
  EXPECT_FALSE(totals().contains("kept_usd"));
}

TEST_F(budget_job_test, an_attempt_that_does_not_fit_waits_and_then_is_refused) {
  output.budget = bound + bound;
  auto jobs = open();
  std::vector<request> all;
  while (auto next = jobs->next()) all.push_back(std::move(*next));
  EXPECT_EQ(jobs->reserve(all[0]), funds::reserved);
  EXPECT_EQ(jobs->reserve(all[1]), funds::reserved);
  EXPECT_EQ(jobs->reserve(all[2]), funds::wait);
  start(*jobs, first_attempt(all[0]));
  jobs->attempt_ended(first_attempt(all[0]), attempt_end::lost);
  start(*jobs, first_attempt(all[1]));
  jobs->attempt_ended(first_attempt(all[1]), attempt_end::lost);
  EXPECT_EQ(jobs->reserve(all[2]), funds::spent);
}

TEST_F(budget_job_test, what_a_gateway_gave_up_may_cost_all_that_was_reserved) {
  output.budget = bound + bound;
  {
    auto jobs = open();
    const auto next = jobs->next();
    ASSERT_EQ(jobs->reserve(*next), funds::reserved);
    start(*jobs, first_attempt(*next));
    jobs->attempt_ended(first_attempt(*next), attempt_end::given_up);
    EXPECT_EQ(jobs->reserve(*next), funds::reserved);
    EXPECT_EQ(jobs->reserve(*next), funds::wait);
    EXPECT_EQ(jobs->totals(0).kept, bound);
  }
  const auto told = open()->totals(0);
  EXPECT_EQ(told.kept, bound);
  EXPECT_EQ(told.maybe_billed_attempts, 0U) << "an HTTP error is none";
}

TEST_F(budget_job_test, an_estimated_cost_is_told_and_settles_nothing) {
  output.budget = bound + bound;
  auto estimated = answer();
  estimated->usage.reset();
  estimated->estimated_usage = token_usage{100, 0, 10, 0};
  run([&](const request& next) -> std::optional<boost::system::result<reply, failure>> {
    if (next.custom_id == "a") return estimated;
    return std::nullopt;
  });
  const usd told = *usd::parse("0.00035");
  ASSERT_LT(told, bound);
  EXPECT_EQ(totals()["cost_usd"], "0.00035");
  EXPECT_EQ(totals()["tokens"]["estimated_requests"], 1);
  EXPECT_EQ(totals()["unpriced_requests"], 0);
  auto jobs = open();
  EXPECT_EQ(jobs->totals(0).cost + jobs->totals(0).kept, bound);
  EXPECT_EQ(jobs->totals(0).estimated_requests, 1U);
  const auto next = jobs->next();
  EXPECT_EQ(jobs->reserve(*next), funds::reserved);
  EXPECT_EQ(jobs->reserve(*next), funds::wait) << "the relay may have billed all of the bound";
}

// For example, the relay ignores max_tokens.
TEST_F(budget_job_test, an_estimated_cost_above_the_reservation_counts_in_full) {
  auto estimated = answer();
  estimated->usage.reset();
  estimated->estimated_usage = token_usage{100, 0, 5000, 0};
  const usd cost = *usd::parse("0.05025");
  ASSERT_GT(cost, bound);
  output.budget = cost + bound;
  auto jobs = open();
  const auto first = jobs->next();
  ASSERT_EQ(jobs->reserve(*first), funds::reserved);
  start(*jobs, first_attempt(*first));
  result finished = result_for(*first, 1);
  finished.outcome = estimated;
  jobs->put(std::move(finished));
  jobs->flush();
  EXPECT_EQ(jobs->totals(0).cost, cost);
  EXPECT_EQ(jobs->totals(0).kept, usd{});
  for (const char* when : {"in this run", "in the next one"}) {
    EXPECT_EQ(jobs->budget_left(), bound) << when;
    const auto next = jobs->next();
    EXPECT_EQ(jobs->reserve(*next), funds::reserved) << when;
    EXPECT_EQ(jobs->reserve(*next), funds::wait) << when;
    jobs.reset();
    jobs = open();
  }
}

TEST_F(budget_job_test, what_was_in_flight_at_a_crash_stays_reserved) {
  output.budget = bound + bound;
  {
    auto jobs = open();
    const auto next = jobs->next();
    ASSERT_EQ(jobs->reserve(*next), funds::reserved);
    start(*jobs, first_attempt(*next));
  }
  {
    auto jobs = open();
    const auto next = jobs->next();
    EXPECT_EQ(jobs->totals(0).kept, bound);
    EXPECT_EQ(jobs->reserve(*next), funds::reserved);
    EXPECT_EQ(jobs->reserve(*next), funds::wait);
  }
  output.scope = budget_scope::run;
  auto jobs = open();
  const auto next = jobs->next();
  EXPECT_EQ(jobs->reserve(*next), funds::reserved) << "this run alone counts";
  EXPECT_EQ(jobs->reserve(*next), funds::reserved);
  EXPECT_EQ(jobs->reserve(*next), funds::wait);
}

TEST_F(budget_job_test, a_finished_job_still_counts) {
  run();
  output.budget = *usd::parse("0.00105") + bound;  // three replies, and one reservation
  append("x.jsonl", line("d") + line("e"));
  auto jobs = open();
  EXPECT_EQ(jobs->reserve(*jobs->next()), funds::reserved);
  EXPECT_EQ(jobs->reserve(*jobs->next()), funds::wait);
}

TEST_F(budget_job_test, results_that_made_room_were_paid_all_the_same) {
  run();
  const usd paid = *usd::parse("0.00105");  // three replies
  // Other bodies for a and b. The file has no request c.
  dir.write("x.jsonl", job_line("a", "other") + job_line("b", "other"));
  output.changed = on_change::redo;
  output.assume_max_tokens = 10;
  output.budget = paid;
  for (int i = 0; i < 2; ++i) {
    auto jobs = open();
    EXPECT_EQ(jobs->totals(0).kept, paid);
    EXPECT_EQ(jobs->totals(0).attempts, 3U);
    EXPECT_EQ(jobs->reserve(*jobs->next()), funds::spent);
    jobs->finish(job_status::stopped, 1, 1);
    EXPECT_EQ(totals()["cost_usd"], "0");
    EXPECT_EQ(totals()["kept_usd"], "0.00105");
  }
}

TEST_F(budget_job_test, what_a_fresh_start_without_a_budget_replaced_counts_for_a_later_one) {
  const usd paid = *usd::parse("0.00105");  // three replies
  output.budget.reset();
  run();
  output.fresh = true;
  run();
  EXPECT_EQ(totals()["kept_usd"], paid.to_string());
  output.budget = paid;
  output.scope = budget_scope::run;
  run();
  EXPECT_EQ(totals()["kept_usd"], (paid + paid).to_string());
  output.fresh = false;
  output.scope = budget_scope::job;
  output.budget = paid + paid + paid;
  append("x.jsonl", line("d"));
  auto jobs = open();
  EXPECT_EQ(jobs->reserve(*jobs->next()), funds::spent);
}

TEST_F(budget_job_test, a_fresh_start_without_a_budget_starts_whatever_is_there) {
  const usd paid = *usd::parse("0.00105");  // three replies
  output.budget.reset();
  run();
  append("x.output.jsonl", "nonsense\n" + dir.lines("x.output.jsonl").front() + "\n");
  output.fresh = true;
  {
    const auto jobs = open();
    EXPECT_THAT(jobs->warnings(), ElementsAre(HasSubstr("cannot be read whole")));
    EXPECT_EQ(jobs->totals(0).kept, paid);
    jobs->finish(job_status::interrupted, 1, 1);
  }
  output.simulated = true;
  EXPECT_EQ(open()->totals(0).kept, usd{}) << "a simulated run costs no money";
}

TEST_F(budget_job_test, refuses_what_has_no_price_or_no_bound_before_anything_is_sent) {
  dir.write("x.jsonl", line("a") + R"({"model":"who","messages":[],"max_tokens":1})" + "\n");
  EXPECT_THAT(refused(), AllOf(HasSubstr("line 2"), HasSubstr("who"), HasSubstr("--prices")));
  prices.merge(R"({"who":{"input":"1","output":"1"}})", "a test");
  dir.write("x.jsonl", line("a") + R"({"model":"who","messages":[]})" + "\n");
  EXPECT_THAT(refused(), AllOf(HasSubstr("line 2"), HasSubstr("--assume-max-tokens")));
  output.assume_max_tokens = 10;
  EXPECT_EQ(refused(), "(not refused)");
}

TEST_F(job_set_test, a_model_without_an_output_price_is_priced_for_embeddings_alone) {
  prices.merge(R"({"half":{"input":"2","output":null}})", "a test");
  dir.write("x.jsonl", R"({"custom_id":"chat","model":"half","messages":[],"max_tokens":1})"
                       "\n"
                       R"({"custom_id":"e","url":"/v1/embeddings","method":"POST",)"
                       R"("body":{"model":"half","input":"hi"}})"
                       "\n");
  EXPECT_THAT(open()->summaries()[0].unpriced_models, ElementsAre(testing::Pair("half", 1U)));
  run([](const request& next) -> std::optional<boost::system::result<reply, failure>> {
    reply whole = *answer();
    if (next.target == endpoint::embeddings) whole.usage = token_usage{100, 0, 0, 0};
    return whole;
  });
  EXPECT_EQ(totals()["cost_usd"], "0.0002") << "of the embeddings";
  EXPECT_EQ(totals()["unpriced_requests"], 1) << "unknown is never zero";
  output.budget = *usd::parse("1");
  output.fresh = true;
  EXPECT_THAT(refused(), AllOf(HasSubstr("line 1"), HasSubstr("half"), HasSubstr("/v1/chat")));
}

TEST_F(job_set_test, a_reply_that_reports_what_has_no_rate_has_no_cost_and_is_warned_of_once) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  auto jobs = open();
  std::string model;
  while (auto next = jobs->next()) {
    model = next->model;
    start(*jobs, {next->job, next->custom_id, 1, next->most});
    result finished;
    finished.line = next->line;
    finished.custom_id = next->custom_id;
    finished.model = next->model;
    finished.digest = next->digest;
    finished.attempts = 1;
    finished.started_at = 1.7e9;
    reply whole = *answer();
    whole.usage->cache_write_tokens = 50;
    finished.outcome = whole;
    jobs->put(std::move(finished));
  }
  jobs->flush();
  EXPECT_THAT(jobs->warnings(),
              ElementsAre(AllOf(HasSubstr("no rate of " + model + " for cache_write"),
                                HasSubstr("--prices"))));
  jobs->finish(job_status::completed, 1, 1);
  EXPECT_THAT(dir.read("x.output.jsonl"), HasSubstr(R"("cost_usd":null)"));
  EXPECT_EQ(totals()["unpriced_requests"], 2) << "unknown is never zero";
  EXPECT_EQ(totals()["tokens"]["cache_write"], 100);
}

TEST_F(job_set_test, a_reply_costs_what_the_tier_that_served_it_does) {
  prices.merge(R"({"format":2,"models":{"m":{"input":"10","output":"10",
                   "tiers":{"flex":{"times":"0.5"}}}}})",
               "a test");
  dir.write("x.jsonl", R"({"custom_id":"a","model":"m","messages":[]})"
                       "\n"
                       R"({"custom_id":"b","model":"m","messages":[]})"
                       "\n");
  run([](const request& next) -> std::optional<boost::system::result<reply, failure>> {
    reply whole = *answer();
    if (next.custom_id == "b") whole.service_tier = "flex";
    return whole;
  });
  EXPECT_EQ(totals()["cost_usd"], "0.00165") << "110 tokens at 10, and at 5";
}

TEST_F(budget_job_test, a_damaged_state_is_refused_under_a_budget) {
  run([](const request&) { return std::nullopt; });
  append("x.state", "nonsense\n");
  EXPECT_THAT(refused(), HasSubstr("x.state: is damaged"));
}

TEST_F(budget_job_test, damaged_totals_are_refused_under_a_budget) {
  run();
  ASSERT_FALSE(dir.has("x.state")) << "they alone hold what is kept";
  for (const char* damage : {"", "{\n  \"job\": \"x\",\n  \"status\": \"com",
                             R"({"job":1,"status":2,"maybe_billed_attempts":[],"kept_usd":"many"})",
                             R"({"job":1,"status":2,"maybe_billed_attempts":0,"kept_usd":1})"}) {
    dir.write("x.totals.json", damage);
    EXPECT_THAT(refused(), HasSubstr("x.totals.json: is damaged")) << damage;
  }
  output.budget.reset();
  EXPECT_THAT(open()->warnings(), ElementsAre((dir / "x.totals.json") +
                                              ": is damaged; what earlier runs counted is lost"))
      << "else they are advice";
}

TEST_F(job_set_test, results_whose_request_is_gone_are_refused) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  run();
  dir.write("x.jsonl", job_line("a"));
  EXPECT_THAT(refused(), HasSubstr("no longer in"));
}

TEST_F(job_set_test, failures_whose_request_is_gone_go_as_well) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  run([](const request& next) -> std::optional<boost::system::result<reply, failure>> {
    if (next.custom_id == "b") return permanent();
    return answer();
  });
  dir.write("x.jsonl", job_line("a"));
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_THAT(ids_in("x.errors.jsonl"), IsEmpty());
  EXPECT_EQ(totals()["failed"], 0);
  EXPECT_EQ(totals()["pending"], 0);
}

TEST_F(job_set_test, lines_may_be_added_to_a_job_and_change_their_order) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  run();
  dir.write("x.jsonl", job_line("c") + job_line("b") + job_line("a"));
  EXPECT_THAT(run(), ElementsAre("c"));
  EXPECT_EQ(totals()["requests"], 3);
}

TEST_F(job_set_test, simulated_and_real_results_do_not_mix) {
  dir.write("x.jsonl", job_line("a"));
  run();
  EXPECT_FALSE(totals().contains("simulated"));
  output.simulated = true;
  EXPECT_THAT(refused(), HasSubstr("simulated"));
  output.fresh = true;
  run();
  EXPECT_EQ(json::parse(dir.read("x.output.jsonl"))["sluice"]["simulated"], true);
  EXPECT_EQ(totals()["simulated"], true);
  output.fresh = false;
  EXPECT_THAT(run(), IsEmpty());
  output.simulated = false;
  EXPECT_THAT(refused(), HasSubstr("simulated"));
}

TEST_F(job_set_test, a_simulated_run_without_a_line_does_not_mix_with_a_real_one) {
  dir.write("x.jsonl", job_line("a"));
  for (const bool simulated : {true, false}) {
    output.simulated = simulated;
    output.fresh = true;
    {
      auto jobs = open();
      start(*jobs, {0, "a", 1, {}});  // and the run is killed
    }
    output.simulated = !simulated;
    output.fresh = false;
    EXPECT_THAT(refused(),
                AllOf(HasSubstr("x.state"), HasSubstr("simulated"), HasSubstr("--fresh")));
    output.simulated = simulated;
    EXPECT_EQ(open()->totals(0).attempts, 1U) << "its own runs go on";
  }
  std::string state = dir.read("x.state");
  const std::string member = R"("simulated":false,)";
  ASSERT_NE(state.find(member), std::string::npos);
  dir.write("x.state", state.erase(state.find(member), member.size()));
  output.simulated = true;
  EXPECT_EQ(open()->totals(0).attempts, 1U) << "older files do not say what they are of";
}

TEST_F(job_set_test, jobs_give_their_requests_in_turns) {
  dir.write("x.jsonl", job_line("x1") + job_line("x2") + job_line("x3") + job_line("x4"));
  dir.write("y.jsonl", job_line("y1") + job_line("y2"));
  EXPECT_THAT(run(succeed, {"x.jsonl", "y.jsonl"}),
              ElementsAre("x1", "y1", "x2", "y2", "x3", "x4"));
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("x1", "x2", "x3", "x4"));
  EXPECT_THAT(ids_in("y.output.jsonl"), ElementsAre("y1", "y2"));
  EXPECT_EQ(totals("y")["requests"], 2);
}

TEST_F(job_set_test, ids_are_unique_per_job_only) {
  dir.write("x.jsonl", job_line("a"));
  dir.write("y.jsonl", job_line("a"));
  EXPECT_THAT(run(succeed, {"x.jsonl", "y.jsonl"}), ElementsAre("a", "a"));
  EXPECT_EQ(totals("x")["succeeded"], 1);
  EXPECT_EQ(totals("y")["succeeded"], 1);
}

TEST_F(job_set_test, jobs_have_identities_of_their_own_which_outlive_a_restart) {
  dir.write("x.jsonl", job_line("a"));
  dir.write("y.jsonl", job_line("a"));
  std::string first;
  {
    auto jobs = open({"x.jsonl", "y.jsonl"});
    first = jobs->identity(0);
    EXPECT_NE(jobs->identity(0), jobs->identity(1));
  }
  EXPECT_EQ(open({"x.jsonl"})->identity(0), first);
}

TEST_F(job_set_test, limit_takes_the_first_so_many) {
  dir.write("x.jsonl", job_line("a") + "nonsense\n" + job_line("b") + job_line("c"));
  lines.limit = 3;
  EXPECT_THAT(run(), ElementsAre("a", "b"));
  EXPECT_EQ(totals()["requests"], 3);
  lines.limit = 0;
  EXPECT_THAT(run(), ElementsAre("c"));
  EXPECT_EQ(totals()["requests"], 4);
  EXPECT_EQ(totals()["pending"], 0);
  EXPECT_EQ(dir.lines("x.errors.jsonl").size(), 1U);
}

TEST_F(job_set_test, a_smaller_limit_than_before_sends_nothing) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + job_line("c"));
  run();
  lines.limit = 1;
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_EQ(totals()["requests"], 3);
  EXPECT_EQ(totals()["succeeded"], 3);
  EXPECT_EQ(totals()["pending"], 0);
  EXPECT_EQ(totals()["status"], "completed");
}

TEST_F(job_set_test, what_stands_behind_the_limit_is_not_forgotten) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + job_line("c"));
  std::string identity;
  {
    auto jobs = open();
    identity = jobs->identity(0);
    start(*jobs, {0, "c", 1, {}});
    jobs->attempt_ended({0, "c", 1, {}}, attempt_end::answered);
    jobs->finish(job_status::interrupted, 1, 1);
  }
  lines.limit = 2;
  EXPECT_THAT(run(), ElementsAre("a", "b"));
  EXPECT_EQ(totals()["status"], "completed");
  lines.limit = 0;
  {
    auto jobs = open();
    EXPECT_EQ(jobs->identity(0), identity) << "the idempotency keys hang on it";
    const auto next = jobs->next();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->custom_id, "c");
    EXPECT_EQ(next->attempts, 1U);
  }
  run();
  EXPECT_FALSE(dir.has("x.state"));
}

TEST_F(job_set_test, a_limit_does_not_let_in_the_results_of_another_job) {
  dir.write("x.jsonl", job_line("a1") + job_line("a2") + job_line("a3") + job_line("a4"));
  run();
  const auto before = content_of(dir);
  // One job is longer than the other, one is shorter, and one shares a request with it.
  for (const std::string& other :
       {job_line("b1") + job_line("b2") + job_line("b3") + job_line("b4") + job_line("b5") +
            job_line("b6"),
        job_line("b1"), job_line("b1") + job_line("b2") + job_line("a3")}) {
    dir.write("x.jsonl", other);
    for (const std::uint64_t limit : {1U, 2U, 5U}) {
      lines.limit = limit;
      EXPECT_THAT(refused(), HasSubstr("no longer in"));
    }
    dir.write("x.jsonl", before.at("x.jsonl"));
    EXPECT_EQ(content_of(dir), before);
  }
}

TEST_F(job_set_test, with_a_limit_only_results_whose_request_is_gone_are_dropped) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + job_line("c"));
  run();
  dir.write("x.jsonl", job_line("c") + job_line("d") + job_line("a"));
  lines.limit = 1;
  output.changed = on_change::redo;
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a", "c"));
  EXPECT_EQ(totals()["requests"], 2);
  EXPECT_EQ(totals()["succeeded"], 2);
}

TEST_F(job_set_test, with_a_limit_failures_whose_request_is_gone_go_as_well) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + job_line("c"));
  run([](const request& next) -> std::optional<boost::system::result<reply, failure>> {
    if (next.custom_id == "a") return answer();
    return permanent();
  });
  dir.write("x.jsonl", job_line("a") + job_line("d") + job_line("c"));
  lines.limit = 1;
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("c"));
  EXPECT_EQ(totals()["requests"], 2);
  EXPECT_EQ(totals()["failed"], 1);
}

// What is not within the limit is left alone, even if it could not be sent.
TEST_F(job_set_test, results_of_lines_behind_the_limit_stand_if_the_lines_are_bad_now) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + R"({"custom_id":"c","prompt":"hi"})" + "\n");
  lines.model = "gpt-4o";
  run();
  lines.model.clear();
  lines.limit = 1;
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_EQ(totals()["succeeded"], 3);
  EXPECT_EQ(totals()["status"], "completed");
}

// Runs standard input to its end, or until it is refused. Nothing is sent.
std::string refusal_of_input(const std::string& text, const job_options& lines,
                             const output_options& output, const price_table& prices) {
  piped_input input;
  input.write(text);
  input.end();
  job_set jobs({"-"}, lines, output, prices);
  std::string refusal;
  try {
    while (jobs.next()) {
    }
  } catch (const fatal_error& thrown) {
    refusal = thrown.what();
    jobs.flush();
  }
  const job_totals now = jobs.totals(0);
  EXPECT_EQ(now.requests, now.succeeded + now.failed + now.pending());
  jobs.finish(job_status::stopped, 1, 1);
  return refusal;
}

TEST_F(job_set_test, standard_input_that_is_refused_before_anything_is_sent_changes_nothing) {
  const std::string whole = job_line("a") + job_line("b") + "nonsense\n" + job_line("c");
  dir.write("x.jsonl", whole);
  output.output_file = dir / "x.output.jsonl";
  const auto refused_input = [&](const std::string& text) {
    return refusal_of_input(text, lines, output, prices);
  };
  const std::map<std::string, std::string> texts{
      {"gone", job_line("a") + "{}\n"},
      {"changed", job_line("a") + job_line("b", "other") + job_line("c")},
      {"new and changed", job_line("new") + "worse\n" + job_line("b", "other")}};
  for (const bool finished : {false, true}) {
    run([&](const request& one) {
      return finished || one.custom_id != "c" ? succeed(one) : std::nullopt;
    });
    EXPECT_EQ(dir.has("x.state"), !finished);
    const auto before = content_of(dir);
    for (const auto& [name, text] : texts) {
      EXPECT_THAT(refused_input(text), HasSubstr("standard input")) << name;
      EXPECT_EQ(content_of(dir), before) << name;
    }
  }
}

TEST_F(job_set_test, attempts_of_a_request_that_is_gone_keep_no_state) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  {
    auto jobs = open();
    start(*jobs, {0, "b", 1, {}});
  }
  dir.write("x.jsonl", job_line("a"));
  run();
  EXPECT_FALSE(dir.has("x.state"));
}

TEST_F(job_set_test, attempts_of_a_killed_retry_outlive_a_run_that_does_not_retry) {
  dir.write("x.jsonl", job_line("a"));
  run([](const request&) {
    return std::optional(boost::system::result<reply, failure>(permanent()));
  });
  output.retry_failed = true;
  {
    auto jobs = open();
    start(*jobs, {0, "a", 2, {}});
  }
  output.retry_failed = false;
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_EQ(totals()["status"], "completed");
  EXPECT_EQ(totals()["attempts"], 2);
  EXPECT_EQ(totals()["maybe_billed_attempts"], 1);
  EXPECT_TRUE(dir.has("x.state")) << "no line contains the second attempt";
  output.retry_failed = true;
  {
    auto jobs = open();
    const auto next = jobs->next();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->attempts, 2U) << "the third attempt needs its own idempotency key";
  }
  run();
  EXPECT_EQ(totals()["attempts"], 3);
  EXPECT_EQ(totals()["maybe_billed_attempts"], 1);
  EXPECT_FALSE(dir.has("x.state"));
}

TEST_F(job_set_test, attempts_of_two_lines_for_one_request_are_counted_once) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  const auto fail = [](const request&) {
    return std::optional(boost::system::result<reply, failure>(passing()));
  };
  run(fail);
  run(fail, {"x.jsonl"}, true);
  run(
      [](const request& next) -> std::optional<boost::system::result<reply, failure>> {
        if (next.custom_id == "a") return answer();
        return std::nullopt;
      },
      {"x.jsonl"}, true);
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a"));
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("a", "b", "a", "b"))
      << "the stage is as crashes leave it";
  std::filesystem::remove(dir / "x.state");
  std::filesystem::remove(dir / "x.totals.json");
  const auto jobs = open();
  EXPECT_EQ(jobs->totals(0).attempts, 5U) << "three for a, two for b";
  EXPECT_EQ(jobs->totals(0).retries, 3U);
}

TEST_F(job_set_test, fresh_moves_aside_what_was_there) {
  dir.write("x.jsonl", job_line("a") + "nonsense\n");
  run();
  const std::string old = dir.read("x.output.jsonl");
  output.fresh = true;
  EXPECT_THAT(run(), ElementsAre("a"));
  EXPECT_EQ(dir.read("x.output.jsonl.old-1"), old);
  EXPECT_TRUE(dir.has("x.errors.jsonl.old-1"));
  EXPECT_THAT(run(), ElementsAre("a"));
  EXPECT_TRUE(dir.has("x.output.jsonl.old-2"));
  EXPECT_EQ(totals()["attempts"], 1) << "a fresh start counts anew";
}

// Whether this process holds a lock on the file. A child process checks this.
bool is_locked(const std::string& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    struct flock asked {};
    asked.l_type = F_WRLCK;
    const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    ::_exit(file >= 0 && ::fcntl(file, F_GETLK, &asked) == 0 && asked.l_type != F_UNLCK ? 1 : 0);
  }
  int status = -1;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

TEST_F(job_set_test, fresh_gives_up_no_file_before_it_is_moved_aside) {
  dir.write("x.jsonl", job_line("a") + "nonsense\n");
  run();
  output.fresh = true;
  test::faulty_files disk;
  std::map<std::string, bool> held;
  disk.fault = [&](std::string_view what, const std::string& path) {
    if (what == "rename" && (path.ends_with("x.output.jsonl") || path.ends_with("x.errors.jsonl")))
      held[path] = is_locked(path);
    return std::error_code();
  };
  const job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
  EXPECT_EQ(held, (std::map<std::string, bool>{{dir / "x.output.jsonl", true},
                                               {dir / "x.errors.jsonl", true}}));
}

// A fault of the second job's disk, after the files of the first job were moved aside.
std::error_code second_job_is_full(std::string_view what, const std::string& path) {
  return what == "append" && path.find("y.state") != std::string::npos
             ? std::make_error_code(std::errc::no_space_on_device)
             : std::error_code();
}

TEST_F(job_set_test, a_refused_fresh_start_puts_everything_back) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + "nonsense\n");
  dir.write("y.jsonl", job_line("c"));
  output.budget = usd::parse("1");
  for (const bool finished : {false, true}) {
    run([&](const request& one) {
      return finished || one.custom_id == "a" ? succeed(one) : std::nullopt;
    });
    EXPECT_EQ(dir.has("x.state"), !finished);
    const auto before = content_of(dir);
    output.fresh = true;
    test::faulty_files disk;
    disk.fault = second_job_is_full;
    EXPECT_THROW(job_set({dir / "x.jsonl", dir / "y.jsonl"}, lines, output, prices, disk),
                 fatal_error);
    output.fresh = false;
    EXPECT_EQ(content_of(dir), before) << finished;
  }
}

// A start whose first checkpoint fails, of the first or of the second job.
struct failed_first_checkpoint_test : job_set_test, testing::WithParamInterface<std::string> {
  failed_first_checkpoint_test() {
    dir.write("x.jsonl", job_line("a") + job_line("b"));
    dir.write("y.jsonl", job_line("c"));
  }

  void expect_no_change() {
    const auto before = content_of(dir);
    test::faulty_files disk;
    disk.fault = [](std::string_view what, const std::string& path) {
      return what == "append" && path.ends_with(GetParam() + ".totals.json.sluice-new")
                 ? std::make_error_code(std::errc::no_space_on_device)
                 : std::error_code();
    };
    EXPECT_THROW(job_set({dir / "x.jsonl", dir / "y.jsonl"}, lines, output, prices, disk),
                 fatal_error);
    EXPECT_EQ(content_of(dir), before);
  }
};

TEST_P(failed_first_checkpoint_test, puts_back_what_a_fresh_start_moved_aside) {
  for (const bool has_budget : {false, true}) {
    for (const auto& [name, content] : content_of(dir)) {
      if (name != "x.jsonl" && name != "y.jsonl") std::filesystem::remove(dir / name);
    }
    if (has_budget) output.budget = usd::parse("1");
    for (const bool finished : {false, true}) {
      output.fresh = false;
      run([&](const request& one) {
        return finished || one.custom_id == "a" ? succeed(one) : std::nullopt;
      });
      EXPECT_EQ(dir.has("x.state"), !finished);
      output.fresh = true;
      expect_no_change();
    }
    output.fresh = false;
    run(succeed, {"y.jsonl"});
    output.fresh = true;
    expect_no_change();
  }
}

TEST_P(failed_first_checkpoint_test, leaves_nothing_of_a_first_start) {
  expect_no_change();
}

TEST_P(failed_first_checkpoint_test, leaves_a_finished_job_as_it_was) {
  output.budget = usd::parse("1");
  run();
  expect_no_change();
  EXPECT_THAT(run(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(of_job, failed_first_checkpoint_test, testing::Values("x", "y"));

TEST_F(job_set_test, a_refused_fresh_start_that_cannot_go_back_keeps_what_was_spent) {
  dir.write("x.jsonl", job_line("a"));
  dir.write("y.jsonl", job_line("c"));
  output.budget = usd::parse("1");
  run();
  const usd cost = *usd::parse(totals()["cost_usd"].get<std::string>());
  ASSERT_NE(cost, usd{});
  output.fresh = true;
  test::faulty_files disk;
  disk.fault = [](std::string_view what, const std::string& path) {
    const bool goes_back = what == "rename" && path.find("output.jsonl.old-") != std::string::npos;
    return goes_back ? test::faulty_files::broken() : second_job_is_full(what, path);
  };
  EXPECT_THROW(job_set({dir / "x.jsonl", dir / "y.jsonl"}, lines, output, prices, disk),
               fatal_error);
  output.fresh = false;
  EXPECT_TRUE(dir.has("x.output.jsonl.old-1"));
  EXPECT_EQ(open()->totals(0).kept, cost);
}

TEST_F(job_set_test, a_result_whose_attempt_cannot_be_recorded_is_written_all_the_same) {
  dir.write("x.jsonl", job_line("a"));
  run([](const request&) {
    return std::optional(boost::system::result<reply, failure>(passing()));
  });
  test::faulty_files disk;
  job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
  const auto next = jobs.next();
  ASSERT_TRUE(next);
  start(jobs, {0, "a", 2, {}});
  disk.fault = [](std::string_view what, const std::string& path) {
    return what == "append" && path.find("x.state") != std::string::npos
               ? test::faulty_files::broken()
               : std::error_code();
  };
  result finished;
  finished.line = 1;
  finished.custom_id = "a";
  finished.model = next->model;
  finished.digest = next->digest;
  finished.attempts = 2;
  auto unpriced = answer();
  unpriced->usage.reset();
  finished.outcome = unpriced;
  jobs.put(std::move(finished));
  EXPECT_THROW(jobs.flush(), fatal_error);
  EXPECT_EQ(jobs.unwritten(), 0U) << "the line is paid for, and written all the same";
  disk.fault = [](std::string_view, const std::string&) { return std::error_code(); };
  jobs.finish(job_status::stopped, 1, 1);
  EXPECT_EQ(jobs.unwritten(), 0U);
  EXPECT_THAT(ids_in("x.errors.jsonl"), IsEmpty());
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a"));
  EXPECT_EQ(totals()["succeeded"], 1);
}

TEST_F(job_set_test, results_wait_in_memory_for_room_on_the_disk) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  test::faulty_files disk;
  job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
  disk.fault = [](std::string_view what, const std::string&) {
    return what == "append" ? std::make_error_code(std::errc::no_space_on_device)
                            : std::error_code();
  };
  std::vector<request> taken;
  while (auto next = jobs.next()) taken.push_back(std::move(*next));
  ASSERT_EQ(taken.size(), 2U);
  for (const request& next : taken) {
    result finished;
    finished.line = next.line;
    finished.custom_id = next.custom_id;
    finished.model = next.model;
    finished.digest = next.digest;
    finished.attempts = 1;
    finished.outcome = next.custom_id == "a" ? boost::system::result<reply, failure>(answer())
                                             : boost::system::result<reply, failure>(permanent());
    jobs.put(std::move(finished));
    EXPECT_THROW(jobs.flush(), fatal_error);
  }
  EXPECT_EQ(jobs.unwritten(), 2U);
  EXPECT_THROW(jobs.finish(job_status::stopped, 1, 1), fatal_error);
  EXPECT_EQ(jobs.unwritten(), 2U);
  disk.fault = [](std::string_view, const std::string&) { return std::error_code(); };
  jobs.finish(job_status::stopped, 1, 1);
  EXPECT_EQ(jobs.unwritten(), 0U);
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a"));
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("b"));
}

TEST_F(job_set_test, finishing_twice_keeps_the_lines_that_this_run_wrote) {
  dir.write("x.jsonl", job_line("a"));
  dir.write("y.jsonl", job_line("b"));
  run([](const request&) {
    return std::optional(boost::system::result<reply, failure>(passing()));
  });
  test::faulty_files disk;
  job_set jobs({dir / "x.jsonl", dir / "y.jsonl"}, lines, output, prices, disk);
  disk.fault = [](std::string_view what, const std::string& path) {
    return what == "append" && path.find("y.output") != std::string::npos
               ? std::make_error_code(std::errc::no_space_on_device)
               : std::error_code();
  };
  for (std::size_t job = 0; job < 2; ++job) {
    const auto next = jobs.next();
    ASSERT_TRUE(next);
    result finished;
    finished.job = next->job;
    finished.line = next->line;
    finished.custom_id = next->custom_id;
    finished.model = next->model;
    finished.digest = next->digest;
    finished.attempts = next->attempts + 1;
    finished.retryable = true;
    finished.outcome =
        next->custom_id == "a" ? boost::system::result<reply, failure>(passing(503)) : answer();
    jobs.put(std::move(finished));
  }
  EXPECT_THROW(jobs.finish(job_status::stopped, 1, 1), fatal_error) << "y waits for room";
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("a"));
  disk.fault = [](std::string_view, const std::string&) { return std::error_code(); };
  jobs.finish(job_status::stopped, 1, 1);
  EXPECT_THAT(ids_in("x.errors.jsonl"), ElementsAre("a")) << "its only line";
  EXPECT_THAT(ids_in("y.output.jsonl"), ElementsAre("b"));
}

TEST_F(job_set_test, a_run_that_is_over_takes_and_gives_nothing) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  auto jobs = open();
  const auto next = jobs->next();
  ASSERT_TRUE(next);
  jobs->finish(job_status::interrupted, 1, 1);
  EXPECT_FALSE(jobs->next());
  EXPECT_THROW(jobs->put(result{}), std::logic_error);
  EXPECT_THROW(jobs->attempt_started({0, "a", 1, {}}), std::logic_error);
  EXPECT_THROW(jobs->attempt_ended({0, "a", 1, {}}, attempt_end::lost), std::logic_error);
  jobs->cancel();
  jobs->flush();
  jobs->checkpoint(1, 1);
  jobs->finish(job_status::interrupted, 1, 1);
  EXPECT_EQ(jobs->totals(0).pending(), 2U);
  EXPECT_EQ(jobs->summaries()[0].to_send, 2U);
  EXPECT_EQ(totals()["status"], "interrupted");
}

// Otherwise a power failure after the removal of the old line could lose both lines, and no file
// would show that the request was ever sent.
TEST_F(job_set_test, an_old_line_goes_once_the_new_one_is_on_the_disk) {
  for (const auto durable : {durability::each, durability::second, durability::none}) {
    output.durable = durable;
    output.fresh = true;
    dir.write("x.jsonl", job_line("a"));
    run([](const request&) {
      return std::optional(boost::system::result<reply, failure>(passing()));
    });
    output.fresh = false;
    test::faulty_files disk;
    job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
    const auto next = jobs.next();
    ASSERT_TRUE(next);
    result finished;
    finished.line = 1;
    finished.custom_id = "a";
    finished.model = next->model;
    finished.digest = next->digest;
    finished.attempts = 2;
    finished.outcome = answer();
    jobs.put(std::move(finished));
    bool on_disk = true;
    bool replaced = false;
    disk.fault = [&](std::string_view what, const std::string& path) {
      if (path == dir / "x.output.jsonl" && what == "append") on_disk = false;
      if (path == dir / "x.output.jsonl" && what == "sync") on_disk = true;
      if (path.starts_with(dir / "x.errors.jsonl") && what == "rename") {
        EXPECT_TRUE(on_disk) << static_cast<int>(durable);
        replaced = true;
      }
      return std::error_code();
    };
    jobs.finish(job_status::completed, 1, 1);
    EXPECT_TRUE(replaced);
    EXPECT_THAT(ids_in("x.errors.jsonl"), IsEmpty());
    EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a"));
  }
}

// The same threads as in a run: the reader takes requests on its own thread, the event loop brings
// results and asks for requests ahead, and the disk's thread syncs and writes checkpoints. This
// test is mainly for the thread sanitizer.
TEST_F(job_set_test, the_threads_of_a_run_work_beside_each_other) {
  constexpr int requests = 400;
  std::string text;
  for (int i = 0; i < requests; ++i) {
    text += job_line("r" + std::to_string(i)) + (i % 7 == 0 ? "nonsense\n" : "");
  }
  dir.write("x.jsonl", text);
  output.durable = durability::each;
  output.budget = usd::parse("1000");
  output.assume_max_tokens = 10;
  run([](const request& next) -> std::optional<boost::system::result<reply, failure>> {
    if (next.line % 3 == 0) return passing();  // the lines of these requests are replaced below
    return std::nullopt;
  });
  test::faulty_files disk;
  job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
  std::mutex mutex;
  std::vector<request> taken;
  bool ended = false;
  const auto put = [&](const request& next) {
    EXPECT_EQ(jobs.reserve(next), funds::reserved);
    start(jobs, {next.job, next.custom_id, next.attempts + 1, next.most});
    result finished;
    finished.line = next.line;
    finished.custom_id = next.custom_id;
    finished.model = next.model;
    finished.digest = next.digest;
    finished.attempts = next.attempts + 1;
    finished.outcome = answer();
    jobs.put(std::move(finished));
  };
  {
    const std::jthread reader([&] {
      while (auto next = jobs.next()) {
        const std::lock_guard lock(mutex);
        taken.push_back(std::move(*next));
      }
      const std::lock_guard lock(mutex);
      ended = true;
    });
    for (bool over = false; !over;) {
      std::vector<request> now;
      {
        const std::lock_guard lock(mutex);
        now.swap(taken);
        over = ended;
      }
      if (now.empty()) {
        std::this_thread::yield();
        continue;
      }
      for (const request& next : now) put(next);
      jobs.flush();
      const auto expect_done = [](const std::exception_ptr& fault) { EXPECT_EQ(fault, nullptr); };
      jobs.record(expect_done);
      jobs.make_durable(expect_done);
      jobs.checkpoint(1, 1);
      jobs.look_ahead(0, 4, [&](std::vector<request> ahead) {
        const std::lock_guard lock(mutex);
        for (auto& next : ahead) taken.push_back(std::move(next));
      });
      EXPECT_LE(jobs.totals(0).succeeded, static_cast<std::uint64_t>(requests));
      EXPECT_EQ(jobs.unwritten(), 0U);
    }
  }
  disk.finish_background();
  for (const request& next : taken) put(next);  // from the last look_ahead()
  jobs.finish(job_status::completed, 1, 1);
  const auto ids = ids_in("x.output.jsonl");
  EXPECT_EQ(ids.size(), static_cast<std::size_t>(requests));
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), ids.size());
  EXPECT_EQ(totals()["status"], "completed");
  EXPECT_EQ(totals()["failed"], (requests + 6) / 7) << "the bad lines";
}

TEST_F(job_set_test, a_sync_that_failed_aside_is_told_by_the_next_checkpoint) {
  dir.write("x.jsonl", job_line("a"));
  output.durable = durability::second;
  test::faulty_files disk;
  job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
  const auto next = jobs.next();
  start(jobs, {0, "a", 1, {}});
  result finished;
  finished.line = 1;
  finished.custom_id = "a";
  finished.digest = next->digest;
  finished.outcome = permanent();
  jobs.put(std::move(finished));
  jobs.flush();
  // The sync fails only once: the operating system reports lost data only once.
  bool failed = false;
  disk.fault = [&](std::string_view what, const std::string&) {
    return what == "sync" && !std::exchange(failed, true) ? test::faulty_files::broken()
                                                          : std::error_code();
  };
  jobs.sync();
  disk.finish_background();
  ASSERT_TRUE(failed);
  EXPECT_THROW(jobs.checkpoint(1, 1), fatal_error);
}

// A run of one request whose output cannot be synced once when the run ends.
struct failed_sync_test : job_set_test {
  test::faulty_files disk;
  std::unique_ptr<job_set> jobs;
  std::vector<std::string> done;       // operations after the failed sync
  std::function<void()> then = [] {};  // called at the failed sync
  bool stays_broken = false;           // no output can be synced any more
  std::string totals_before;

  failed_sync_test() {
    dir.write("x.jsonl", job_line("a") + job_line("b"));
    output.durable = durability::second;
    jobs = std::make_unique<job_set>(std::vector<std::string>{dir / "x.jsonl"}, lines, output,
                                     prices, disk);
    const auto next = jobs->next();
    start(*jobs, {0, "a", 1, {}});
    result finished = result_for(*next, 1);
    finished.outcome = answer();
    jobs->put(std::move(finished));
    jobs->flush();
    totals_before = dir.read("x.totals.json");
    disk.fault = [this, failed = false](std::string_view what, const std::string& path) mutable {
      const std::string name = std::filesystem::path(path).filename().string();
      const bool of_output = what == "sync" && name.starts_with("x.output.jsonl");
      if (of_output && (!failed || stays_broken)) {
        if (!std::exchange(failed, true)) then();
        return test::faulty_files::broken();
      }
      if (failed) done.push_back(std::string(what) + " " + name);
      return std::error_code();
    };
  }

  void finish() { EXPECT_THROW(jobs->finish(job_status::interrupted, 1, 1), fatal_error); }
  std::ptrdiff_t place_of(const std::string& operation) const {
    return std::find(done.begin(), done.end(), operation) - done.begin();
  }
  // The files of before the failed sync record what the disk may not have.
  void expect_nothing_recorded() {
    EXPECT_EQ(dir.read("x.totals.json"), totals_before);
    jobs.reset();
    EXPECT_THAT(dir.read("x.state"), HasSubstr("\"start\""));
  }
};

TEST_F(failed_sync_test, results_are_in_a_new_file_before_their_attempts_are_forgotten) {
  finish();
  EXPECT_LT(place_of("sync x.output.jsonl.sluice-new"), place_of("rename x.state.sluice-new"));
  EXPECT_LT(place_of("rename x.output.jsonl.sluice-new"), place_of("rename x.state.sluice-new"));
  EXPECT_THAT(ids_in("x.output.jsonl"), ElementsAre("a"));
  EXPECT_EQ(totals()["succeeded"], 1);
  jobs.reset();
  EXPECT_THAT(run(), ElementsAre("b"));
}

TEST_F(failed_sync_test, is_told_until_the_results_are_in_a_new_file) {
  EXPECT_FALSE(jobs->lacks_sync());
  stays_broken = true;
  finish();
  EXPECT_TRUE(jobs->lacks_sync());
  EXPECT_EQ(jobs->unwritten(), 0U);
  stays_broken = false;
  jobs->finish(job_status::interrupted, 1, 1);
  EXPECT_FALSE(jobs->lacks_sync());
  EXPECT_EQ(totals()["succeeded"], 1);
}

TEST_F(failed_sync_test, attempts_stay_recorded_if_their_results_cannot_be_synced) {
  stays_broken = true;
  finish();
  finish();
  expect_nothing_recorded();
}

// Some file systems drop what they could not write, and give zeros instead.
TEST_F(failed_sync_test, attempts_stay_recorded_if_their_results_cannot_be_read_again) {
  then = [this] {
    const std::string zeros(dir.read("x.output.jsonl").size() - 1, '\0');
    std::fstream(dir / "x.output.jsonl", std::ios::binary | std::ios::in | std::ios::out) << zeros;
  };
  finish();
  finish();
  expect_nothing_recorded();
}

TEST_F(failed_sync_test, of_a_checkpoint_ends_with_the_results_in_a_new_file) {
  jobs->checkpoint(1, 1);
  disk.finish_background();
  EXPECT_THAT(done, IsEmpty());
  EXPECT_THROW(jobs->checkpoint(1, 1), fatal_error);
  finish();
  EXPECT_LT(place_of("rename x.output.jsonl.sluice-new"), place_of("rename x.state.sluice-new"));
  EXPECT_EQ(totals()["succeeded"], 1);
}

TEST_F(job_set_test, nothing_is_made_when_a_later_job_is_bad) {
  dir.write("x.jsonl", job_line("a"));
  dir.write("empty.jsonl", "\n");
  for (const char* bad : {"none.jsonl", "empty.jsonl", "."}) {
    EXPECT_NE(refused({"x.jsonl", bad}), "(not refused)") << bad;
    EXPECT_EQ(dir.entries(), 2U) << bad;
  }
  output.directory = dir / "out/deep";
  EXPECT_NE(refused({"x.jsonl", "empty.jsonl"}), "(not refused)");
  EXPECT_FALSE(dir.has("out"));
}

TEST_F(job_set_test, fresh_moves_nothing_when_a_later_job_is_bad) {
  dir.write("x.jsonl", job_line("a"));
  run();
  dir.write("empty.jsonl", "\n");
  output.fresh = true;
  EXPECT_NE(refused({"x.jsonl", "empty.jsonl"}), "(not refused)");
  EXPECT_TRUE(dir.has("x.output.jsonl"));
  EXPECT_FALSE(dir.has("x.output.jsonl.old-1"));
}

TEST_F(job_set_test, an_output_directory_is_made) {
  dir.write("x.jsonl", job_line("a"));
  output.directory = dir / "out/deep";
  run();
  EXPECT_TRUE(dir.has("out/deep/x.output.jsonl"));
  EXPECT_TRUE(dir.has("out/deep/x.totals.json"));
  EXPECT_FALSE(dir.has("x.output.jsonl"));
}

TEST_F(job_set_test, counters_outlive_a_crash_and_a_damaged_state_costs_only_them) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  {
    auto jobs = open();
    jobs->next();
    for (const std::uint32_t number : {1U, 2U}) {
      const attempt_record attempt{.job = 0, .custom_id = "a", .number = number, .most = {}};
      start(*jobs, attempt);
      jobs->attempt_ended(attempt, number == 1 ? attempt_end::answered : attempt_end::lost);
    }
    append("x.output.jsonl", "");
    jobs->checkpoint(5, 2);
  }
  {
    auto jobs = open();
    EXPECT_EQ(jobs->totals(0).attempts, 2U);
    EXPECT_EQ(jobs->totals(0).retries, 1U);
    EXPECT_EQ(jobs->totals(0).maybe_billed_attempts, 1U);
    EXPECT_EQ(jobs->totals(0).max_requests_in_60s, 2U);
  }
  for (const char* damage :
       {"", R"({"sluice_state":1,)", "{\"sluice_state\":1,\"attempts\":\"many\"}\n",
        "{\"sluice_state\":1,\"attempts\":-1,\"identity\":7}\n"}) {
    dir.write("x.state", damage);
    EXPECT_NO_THROW(open()) << damage;
  }
  EXPECT_THAT(run(), ElementsAre("a", "b"));
}

// The record of an attempt reaches the disk before the attempt is sent. The record of its end may
// reach the disk only when the state file is written again. The result lines have a separate sync.
TEST_F(job_set_test, a_line_does_not_settle_what_it_tells_no_cost_of) {
  dir.write("x.jsonl", job_line("a"));
  output.budget = usd::parse("1");
  output.assume_max_tokens = 10;
  const auto kept_after = [&](const boost::system::result<reply, failure>& outcome,
                              attempt_end how) {
    for (const char* file : {"x.output.jsonl", "x.errors.jsonl", "x.totals.json", "x.state"})
      std::filesystem::remove(dir / file);
    usd most;
    {
      auto jobs = open();
      const auto next = jobs->next();
      most = next->most;
      const attempt_record attempt{0, "a", 1, most};
      EXPECT_EQ(jobs->reserve(*next), funds::reserved);
      start(*jobs, attempt);
      const std::string sent = dir.read("x.state");
      if (!outcome) jobs->attempt_ended(attempt, how);
      result finished;
      finished.line = 1;
      finished.custom_id = "a";
      finished.target = next->target;
      finished.model = next->model;
      finished.digest = next->digest;
      finished.attempts = 1;
      finished.retryable = !outcome;
      finished.outcome = outcome;
      jobs->put(std::move(finished));
      jobs->flush();
      dir.write("x.state", sent);  // the end of the attempt did not reach the disk
    }
    const auto totals = open()->totals(0);
    EXPECT_EQ(totals.attempts, 1U);
    EXPECT_EQ(totals.maybe_billed_attempts, how == attempt_end::lost ? 1U : 0U);
    return totals.kept == most ? "all" : totals.kept == usd{} ? "nothing" : "something";
  };
  failure cut;
  cut.code = errc::connection_failed;
  auto unpriced = answer();
  unpriced->usage.reset();
  EXPECT_STREQ(kept_after(cut, attempt_end::lost), "all");
  EXPECT_STREQ(kept_after(passing(), attempt_end::answered), "nothing");
  for (const int status : {408, 504, 524})
    EXPECT_STREQ(kept_after(passing(status), attempt_end::given_up), "all") << status;
  EXPECT_STREQ(kept_after(unpriced, attempt_end::unpriced), "all");
  unpriced->estimated_usage = token_usage{1, 0, 1, 0};
  EXPECT_STREQ(kept_after(unpriced, attempt_end::unpriced), "all") << "an estimate settles nothing";
  EXPECT_STREQ(kept_after(answer(), attempt_end::unpriced), "nothing");
}

TEST_F(job_set_test, a_result_without_a_cost_whose_line_is_lost_may_have_been_billed) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  auto unpriced = answer();
  unpriced->usage.reset();
  run(
      [&](const request& next) -> std::optional<boost::system::result<reply, failure>> {
        if (next.custom_id == "a") return unpriced;
        return std::nullopt;
      },
      {"x.jsonl"}, true);
  EXPECT_EQ(open()->totals(0).maybe_billed_attempts, 0U);
  dir.write("x.output.jsonl", "");  // a power failure has removed the line
  std::string state = dir.read("x.state");
  EXPECT_THAT(state, testing::Not(HasSubstr("unpriced"))) << "settled by the line";
  run(
      [&](const request& next) -> std::optional<boost::system::result<reply, failure>> {
        if (next.custom_id == "a") return unpriced;
        return std::nullopt;
      },
      {"x.jsonl"}, true);
  dir.write("x.output.jsonl", "");
  EXPECT_EQ(open()->totals(0).maybe_billed_attempts, 1U);
  EXPECT_EQ(open()->totals(0).maybe_billed_attempts, 1U) << "it is counted once";
}

TEST_F(job_set_test, what_cannot_be_read_is_not_taken_for_what_is_not_there) {
  dir.write("x.jsonl", job_line("a") + job_line("b"));
  run();
  const auto make_unreadable = [&](const char* name) {  // a link to itself
    std::filesystem::remove(dir / name);
    std::filesystem::create_symlink(dir / name, dir / name);
  };
  make_unreadable("x.totals.json");
  EXPECT_THAT(refused(), HasSubstr("x.totals.json: is a broken link")) << "counts would be lost";
  std::filesystem::remove(dir / "x.totals.json");
  make_unreadable("x.state");
  EXPECT_THAT(refused(), HasSubstr("x.state: is a broken link")) << "attempts may be in flight";
}

TEST_F(job_set_test, running_totals_say_so) {
  dir.write("x.jsonl", job_line("a"));
  auto jobs = open();
  EXPECT_EQ(totals()["status"], "running");
  EXPECT_EQ(totals()["pending"], 1);
  EXPECT_TRUE(dir.has("x.state"));
}

TEST_F(job_set_test, reasons_of_failures_are_kept_for_a_person) {
  dir.write("x.jsonl", job_line("a") + "nonsense\n");
  auto jobs = open();
  const auto next = jobs->next();
  result finished;
  finished.line = next->line;
  finished.custom_id = next->custom_id;
  finished.digest = next->digest;
  finished.outcome = permanent();
  jobs->put(std::move(finished));
  EXPECT_FALSE(jobs->next());
  const auto reasons = jobs->failure_reasons(0);
  EXPECT_EQ(reasons.at("400"), "trouble");
  EXPECT_THAT(reasons.at("invalid_json_line"), HasSubstr("line 2"));
}

TEST_F(job_set_test, results_reach_the_file_with_the_flush) {
  for (const auto durable : {durability::each, durability::second, durability::none}) {
    output.durable = durable;
    output.directory = dir / ("out" + std::to_string(static_cast<int>(durable)));
    dir.write("x.jsonl", job_line("a"));
    run();
    EXPECT_EQ(
        dir.lines("out" + std::to_string(static_cast<int>(durable)) + "/x.output.jsonl").size(),
        1U);
  }
}

// Each sync takes milliseconds, and the first request waits for all of them.
TEST_F(job_set_test, a_start_syncs_each_file_and_their_folder_once) {
  dir.write("x.jsonl", job_line("a"));
  std::vector<std::string> synced;
  std::set<std::string> placed;
  test::faulty_files disk;
  disk.fault = [&](std::string_view what, const std::string& path) {
    const std::string name = std::filesystem::path(path).filename().string();
    if (what == "sync") synced.push_back(name);
    if (what == "rename") placed.insert(name);
    if (what == "sync folder") {
      EXPECT_EQ(placed.size(), 2U) << "the folder is synced after both files have their names";
      synced.emplace_back("folder");
    }
    return std::error_code();
  };
  const job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
  EXPECT_EQ(synced,
            (std::vector<std::string>{"x.state.sluice-new", "x.totals.json.sluice-new", "folder"}));
}

// Otherwise a power failure could lose the lines of a killed run together with its attempts.
TEST_F(job_set_test, redo_syncs_the_lines_of_a_killed_run_before_it_writes_the_state) {
  dir.write("x.jsonl", job_line("a") + job_line("b") + job_line("c"));
  run(
      [](const request& next) -> std::optional<boost::system::result<reply, failure>> {
        if (next.custom_id == "c") return passing();
        return answer();
      },
      {"x.jsonl"}, true);
  dir.write("x.jsonl", job_line("a", "changed") + job_line("b") + job_line("c"));
  output.changed = on_change::redo;
  output.durable = durability::second;
  std::set<std::string> synced;
  bool placed = false;
  test::faulty_files disk;
  disk.fault = [&](std::string_view what, const std::string& path) {
    const std::string name = std::filesystem::path(path).filename().string();
    if (what == "sync") synced.insert(name);
    if (what == "rename" && name == "x.state.sluice-new" && !std::exchange(placed, true)) {
      EXPECT_TRUE(synced.contains("x.output.jsonl"));
      EXPECT_TRUE(synced.contains("x.errors.jsonl"));
    }
    return std::error_code();
  };
  const job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
  EXPECT_TRUE(placed);
}

// An earlier run left its state file elsewhere, behind a link.
TEST_F(job_set_test, a_start_syncs_the_folder_of_a_state_file_behind_a_link) {
  dir.write("x.jsonl", job_line("a"));
  std::filesystem::create_directory(dir / "elsewhere");
  std::filesystem::create_symlink(dir / "elsewhere/x.state", dir / "x.state");
  std::vector<std::string> folders;
  test::faulty_files disk;
  disk.fault = [&](std::string_view what, const std::string& path) {
    if (what == "sync folder")
      folders.push_back(std::filesystem::path(path).parent_path().string());
    return std::error_code();
  };
  const job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
  EXPECT_EQ(folders, (std::vector<std::string>{dir.path(), dir / "elsewhere"}));
}

TEST_F(job_set_test, each_attempt_is_on_the_disk_before_it_is_sent_where_that_is_asked_for) {
  dir.write("x.jsonl", job_line("a"));
  for (const auto durable : {durability::each, durability::second, durability::none}) {
    output.durable = durable;
    output.fresh = true;
    test::faulty_files disk;
    job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
    const auto next = jobs.next();
    bool synced = false;
    bool was_synced = false;
    disk.fault = [&](std::string_view what, const std::string& path) {
      synced = synced || (what == "sync" && path.find("x.state") != std::string::npos);
      return std::error_code();
    };
    jobs.attempt_started({0, next->custom_id, 1, {}});
    jobs.record([&](const std::exception_ptr& fault) {
      EXPECT_EQ(fault, nullptr);
      was_synced = synced;
    });
    disk.finish_background();
    EXPECT_EQ(was_synced, durable == durability::each);
  }
}

// The system reports only once that it could not write a file.
TEST_F(job_set_test, records_that_could_not_be_synced_are_told_until_their_file_is_new) {
  dir.write("x.jsonl", job_line("a"));
  output.durable = durability::each;
  test::faulty_files disk;
  disk.at_once = true;
  job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
  const auto next = jobs.next();
  const auto is_recorded = [&] {
    bool recorded = false;
    jobs.record([&](const std::exception_ptr& fault) { recorded = fault == nullptr; });
    return recorded;
  };
  jobs.attempt_started({0, next->custom_id, 1, {}});
  // The open file still has the name that it had before it was placed.
  disk.fault = [failed = false](std::string_view what, const std::string& path) mutable {
    return what == "sync" && path.find("x.state") != std::string::npos &&
                   !std::exchange(failed, true)
               ? test::faulty_files::broken()
               : std::error_code();
  };
  EXPECT_FALSE(is_recorded());
  EXPECT_FALSE(is_recorded()) << "another engine must not send either";
  jobs.checkpoint(1, 1);
  EXPECT_TRUE(is_recorded());
}

TEST_F(job_set_test, each_result_is_on_the_disk_after_the_flush_where_that_is_asked_for) {
  dir.write("x.jsonl", job_line("a"));
  for (const auto durable : {durability::each, durability::second, durability::none}) {
    output.durable = durable;
    output.fresh = true;
    test::faulty_files disk;
    job_set jobs({dir / "x.jsonl"}, lines, output, prices, disk);
    EXPECT_EQ(jobs.must_be_durable(), durable == durability::each);
    const auto next = jobs.next();
    result finished;
    finished.line = 1;
    finished.custom_id = "a";
    finished.digest = next->digest;
    finished.outcome = permanent();
    jobs.put(std::move(finished));
    std::size_t synced = 0;
    disk.fault = [&](std::string_view what, const std::string& path) {
      if (what == "sync" && path == dir / "x.errors.jsonl")
        synced = std::filesystem::file_size(path);
      return std::error_code();
    };
    jobs.flush();
    EXPECT_EQ(synced, 0U) << "not on the thread that the run has";
    bool told = false;
    if (jobs.must_be_durable()) {
      jobs.make_durable([&](const std::exception_ptr& fault) { told = fault == nullptr; });
    }
    disk.finish_background();
    EXPECT_EQ(told, durable == durability::each);
    EXPECT_EQ(synced > 0, durable == durability::each);
  }
}

TEST_F(job_set_test, odd_ids_are_found_again) {
  dir.write("x.jsonl", R"({"custom_id":"q\"\\\n\u00e9","model":"gpt-4o","messages":[]})"
                       "\n"
                       R"({"custom_id":"","model":"gpt-4o","messages":[]})"
                       "\n"
                       R"({"custom_id":"\ud800","model":"gpt-4o","messages":[]})"
                       "\n");
  EXPECT_EQ(run().size(), 3U);
  EXPECT_THAT(run(), IsEmpty());
}

}  // namespace
}  // namespace sluice
