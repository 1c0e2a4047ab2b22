// Several engines, each on its own thread, with the real client and a relay on a local port.
#include "engine/engine_team.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "simulator/relay.hpp"
#include "sluice/error.hpp"
#include "support/memory_job.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;

simulator::options fast_relay(unsigned rpm = 0) {
  simulator::options settings;
  settings.rpm = rpm;
  settings.tokens = 5;
  settings.ttft = 5ms;
  return settings;
}

config options_for(const simulator::relay& relay, unsigned rpm = 0) {
  config options;
  options.relay.base_url = relay.base_url();
  options.relay.api_key = "sk-test";
  options.pace.requests_per_minute = rpm;
  options.pace.concurrency = 16;
  return options;
}

// A run of a team, with its results in memory.
struct team_rig {
  team_rig(const config& options, unsigned threads, std::size_t requests,
           observer* listener = nullptr)
      : team(loop, options, threads, listener), sink(team.time()), run(team, source, sink) {
    for (std::size_t i = 0; i < requests; ++i) {
      request& next = source.requests.emplace_back(test::make_request(0, i + 1));
      next.body = R"({"model":"gpt-4o","messages":[{"role":"user","content":")" + next.custom_id +
                  R"("}],"max_tokens":5})";
    }
  }
  void work() {
    boost::asio::co_spawn(loop, run.work(), [this](std::exception_ptr thrown, run_outcome ended) {
      fault = std::move(thrown);
      outcome = std::move(ended);
    });
    loop.run();
    ASSERT_TRUE(outcome) << "the run hangs";
  }
  void expect_one_result_each(std::size_t count) const {
    const auto times = sink.times_by_id();
    EXPECT_EQ(times.size(), count);
    for (const auto& [id, often] : times) EXPECT_EQ(often, 1) << id;
    for (const auto& one : sink.results) EXPECT_TRUE(one.outcome.has_value());
  }

  boost::asio::io_context loop;
  engine_team team;
  test::memory_source source;
  test::memory_sink sink;
  team_run run;
  std::exception_ptr fault;
  std::optional<run_outcome> outcome;
};

TEST(engine_team, gives_every_request_one_result) {
  for (const unsigned threads : {1U, 2U, 5U}) {
    simulator::relay relay(fast_relay());
    relay.start();
    team_rig rig(options_for(relay), threads, 300);
    std::mutex mutex;
    std::set<std::thread::id> seen;
    rig.sink.on_flush = [&] {
      const std::lock_guard lock(mutex);
      seen.insert(std::this_thread::get_id());
    };
    rig.work();
    EXPECT_EQ(rig.fault, nullptr);
    EXPECT_EQ(rig.outcome->reason, stop_reason::none);
    rig.expect_one_result_each(300);
    EXPECT_EQ(seen.size(), threads) << "each thread must work";
    const run_status last = rig.team.now();
    EXPECT_EQ(last.in_flight, 0U);
    EXPECT_EQ(last.most_in_a_minute, 300U) << threads << " threads";
    EXPECT_EQ(nlohmann::json::parse(relay.ledger_json())["attempts"], 300);
  }
}

TEST(engine_team, keeps_one_limit_on_all_threads) {
  constexpr unsigned limit = 60;
  simulator::relay relay(fast_relay(limit));
  relay.start();
  const config options = options_for(relay, limit);
  team_rig rig(options, 3, limit + 20);
  // Stops when the limit is used up: the other requests would wait for a minute.
  std::function<void()> stop_when_full = [&] {
    {
      const auto lock = rig.run.hold_sink();
      if (rig.sink.results.size() == limit) return rig.run.stop();
    }
    boost::asio::post(rig.loop, stop_when_full);
  };
  boost::asio::post(rig.loop, stop_when_full);
  rig.work();
  EXPECT_EQ(rig.outcome->reason, stop_reason::interrupted);
  rig.expect_one_result_each(limit);
  const auto ledger = nlohmann::json::parse(relay.ledger_json());
  EXPECT_EQ(ledger["attempts"], limit);
  EXPECT_EQ(ledger["over_limit_refusals"], 0);
  EXPECT_EQ(rig.team.now().most_in_a_minute, limit);
}

// Keeps the notices of all threads.
struct kept_notices final : observer {
  void on_notice(const notice& event) override { texts.emplace_back(event.text); }
  std::vector<std::string> texts;
};

TEST(engine_team, keeps_one_limit_if_the_folder_of_the_limits_cannot_be_used) {
  constexpr unsigned limit = 10;
  simulator::relay relay(fast_relay());
  relay.start();
  const test::temp_dir dir;
  config options = options_for(relay, limit);
  options.pace.limit_folder = dir.write("file", "") + "/limits";
  kept_notices notices;
  team_rig rig(options, 3, 3 * limit, &notices);
  // Stops when every thread waits for the limit, or has started more than it allows.
  std::function<void()> stop_when_full = [&] {
    const run_status now = rig.team.now();
    if (now.started_last_minute > limit ||
        (now.started_last_minute == limit && now.in_flight == 0 && now.next_start)) {
      return rig.run.stop();
    }
    boost::asio::post(rig.loop, stop_when_full);
  };
  boost::asio::post(rig.loop, stop_when_full);
  rig.work();
  EXPECT_EQ(rig.outcome->reason, stop_reason::interrupted);
  rig.expect_one_result_each(limit);
  EXPECT_EQ(nlohmann::json::parse(relay.ledger_json())["attempts"], limit);
  EXPECT_THAT(notices.texts, testing::ElementsAre(testing::HasSubstr("limit is not shared")));
}

TEST(engine_team, joins_the_outcomes_of_its_threads) {
  using enum stop_reason;
  const auto reasons = [](const run_outcome& a, const run_outcome& b) {
    const run_outcome both = joined(a, b);
    return std::pair(both.reason, both.gave_up);
  };
  const run_outcome nothing;
  const run_outcome key{.reason = key_ended, .message = "key"};
  const run_outcome stopped{.reason = interrupted, .message = ""};
  const run_outcome job{.reason = refused_alike, .message = "job"};
  const run_outcome model{.reason = model_out, .message = "model"};
  const run_outcome both{
      .reason = refused_alike, .message = "job", .gave_up = model_out, .gave_up_message = "model"};
  const run_outcome key_after_job{
      .reason = key_ended, .message = "key", .gave_up = refused_alike, .gave_up_message = "job"};

  EXPECT_EQ(reasons(nothing, nothing), std::pair(none, none));
  EXPECT_EQ(reasons(nothing, key_after_job), std::pair(key_ended, refused_alike));
  EXPECT_EQ(reasons(key_after_job, nothing), std::pair(key_ended, refused_alike));
  EXPECT_EQ(reasons(stopped, key), std::pair(interrupted, none)) << "the first one counts";
  EXPECT_EQ(reasons(job, job), std::pair(refused_alike, none));
  for (const auto& [a, b] : {std::pair(&job, &key),
                             {&key, &job},
                             {&key_after_job, &key},
                             {&key, &key_after_job},
                             {&key_after_job, &model}}) {
    EXPECT_EQ(reasons(*a, *b), std::pair(key_ended, refused_alike));
    EXPECT_EQ(joined(*a, *b).gave_up_message, "job");
  }
  for (const auto& [a, b] :
       {std::pair(&job, &model), {&model, &job}, {&both, &job}, {&both, &model}, {&model, &both}}) {
    EXPECT_EQ(reasons(*a, *b), std::pair(refused_alike, model_out));
    EXPECT_EQ(joined(*a, *b).message, "job");
    EXPECT_EQ(joined(*a, *b).gave_up_message, "model");
  }
  EXPECT_EQ(reasons(key, both), std::pair(key_ended, refused_alike));
  EXPECT_EQ(reasons(key, model), std::pair(key_ended, model_out));
}

TEST(engine_team, removes_its_private_folder) {
  simulator::relay relay(fast_relay());
  relay.start();
  const test::temp_dir dir;
  const char* const before = std::getenv("TMPDIR");
  const std::string old = before == nullptr ? "" : before;
  ::setenv("TMPDIR", dir.path().c_str(), 1);
  {
    team_rig rig(options_for(relay), 2, 20);
    EXPECT_FALSE(std::filesystem::is_empty(dir.path()));
    rig.work();
  }
  before == nullptr ? ::unsetenv("TMPDIR") : ::setenv("TMPDIR", old.c_str(), 1);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(engine_team, ends_on_all_threads_if_results_cannot_be_written) {
  simulator::relay relay(fast_relay());
  relay.start();
  team_rig rig(options_for(relay), 3, 2000);
  rig.sink.put_fault = std::make_exception_ptr(
      fatal_error(fatal_error::kind::cannot_write, "no space left on the disk"));
  rig.sink.fault_from = 30;
  rig.work();
  ASSERT_NE(rig.fault, nullptr);
  EXPECT_THROW(std::rethrow_exception(rig.fault), fatal_error);
  EXPECT_EQ(rig.sink.results.size(), 30U);
  EXPECT_LT(nlohmann::json::parse(relay.ledger_json())["attempts"], 200);
}

// Each thread has two places, but must see twenty equal failures before it can judge them.
TEST(engine_team, judges_more_failures_than_a_thread_has_places) {
  simulator::relay relay(fast_relay());
  relay.start();
  team_rig rig(options_for(relay), 8, 400);
  for (request& one : rig.source.requests) one.body = R"({"model":"gpt-4o","max_tokens":5})";
  rig.work();
  EXPECT_EQ(rig.outcome->reason, stop_reason::refused_alike);
}

// The job ends on all threads when one of them has seen enough. The others hold failures back, too,
// and must not take the end of the source for the end of the job.
TEST(engine_team, leaves_the_failures_of_all_threads_pending_when_one_has_seen_enough) {
  simulator::relay relay(fast_relay());
  relay.start();
  for (const unsigned threads : {2U, 4U}) {
    team_rig rig(options_for(relay), threads, 150);
    for (request& one : rig.source.requests) one.body = R"({"model":"gpt-4o","max_tokens":5})";
    rig.work();
    EXPECT_EQ(rig.outcome->reason, stop_reason::refused_alike);
    EXPECT_TRUE(rig.sink.results.empty()) << threads << " threads";
  }
}

TEST(engine_team, aborts_the_attempts_of_all_threads) {
  auto settings = fast_relay();
  settings.ttft = 60s;
  simulator::relay relay(settings);
  relay.start();
  team_rig rig(options_for(relay), 3, 100);
  std::function<void()> abort_when_busy = [&] {
    if (rig.team.now().in_flight == 16) {
      rig.run.stop();
      return rig.run.abort();
    }
    boost::asio::post(rig.loop, abort_when_busy);
  };
  boost::asio::post(rig.loop, abort_when_busy);
  rig.work();
  EXPECT_EQ(rig.outcome->reason, stop_reason::interrupted);
  EXPECT_TRUE(rig.sink.results.empty());
  EXPECT_EQ(rig.sink.ends.size(), 16U) << "the concurrency is shared by the threads";
}

TEST(engine_team, shares_new_limits) {
  simulator::relay relay(fast_relay());
  relay.start();
  team_rig rig(options_for(relay), 3, 1);
  live_limits fresh = rig.team.limits();
  EXPECT_EQ(fresh.concurrency, 16U);
  fresh.concurrency = 7;
  fresh.requests_per_minute = {120};
  rig.team.set_limits(fresh);
  EXPECT_EQ(rig.team.limits().concurrency, 7U);
  EXPECT_EQ(rig.team.requests_per_minute(), 120U);
  rig.work();
  rig.expect_one_result_each(1);
}

}  // namespace
}  // namespace sluice
