// Several runs over one engine: one limit and one health, each with results of its own.
#include <gmock/gmock.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sluice/engine.hpp"
#include "support/fake_client.hpp"
#include "support/manual_clock.hpp"
#include "support/memory_job.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using test::completion_plan;
using test::exchange_call;
using test::refusal_plan;
using testing::Contains;
using testing::IsEmpty;
using testing::Not;

// Which run a call belongs to: its requests say so.
bool is_of(const exchange_call& call, std::size_t job) {
  return call.body.find("\"user\":\"" + std::to_string(job) + "-") != std::string::npos;
}

struct heard final : observer {
  void on_notice(const notice& said) override {
    sentences.emplace_back(std::string(said.run), std::string(said.text));
  }
  bool wants(severity level) const override { return level != severity::debug; }
  std::vector<std::pair<std::string, std::string>> sentences;
};

struct several_runs : testing::Test {
  // A run, and what comes of it.
  struct batch {
    batch(engine& over, clock& time, std::size_t job, std::size_t requests)
        : sink(time), handle(over, source, sink, "run " + std::to_string(job)) {
      for (std::size_t i = 0; i < requests; ++i) {
        source.requests.push_back(test::make_request(job, i + 1));
      }
    }
    test::memory_source source;
    test::memory_sink sink;
    engine_run handle;
    run_outcome outcome;
    bool begun = false;
    std::optional<double> ended_at;  // seconds since the start of the clock
  };

  several_runs() {
    options.pace.seed = 1;
    relay.plan = [](const exchange_call&) { return completion_plan(); };
  }
  // A test that gave up midway leaves runs at work, which refer to all of this.
  ~several_runs() override {
    for (batch& one : batches) {
      if (!one.ended_at) one.handle.abort();
    }
    run([this] { return none_at_work(); });
  }

  engine& over() {
    if (!engine_) engine_.emplace(loop, options, time, std::vector<http_client*>{&relay}, &said);
    return *engine_;
  }
  batch& make(std::size_t requests) {
    return batches.emplace_back(over(), time, batches.size(), requests);
  }
  batch& start(std::size_t requests) {
    batch& one = make(requests);
    begin(one);
    return one;
  }
  void begin(batch& one) {
    one.begun = true;
    boost::asio::co_spawn(loop, one.handle.work(),
                          [this, &one](std::exception_ptr thrown, run_outcome told) {
                            EXPECT_EQ(thrown, nullptr);
                            one.outcome = std::move(told);
                            one.ended_at = time.since_start();
                          });
  }
  bool all_ended() const {
    return std::all_of(batches.begin(), batches.end(),
                       [](const batch& one) { return one.ended_at.has_value(); });
  }
  bool none_at_work() const {
    return std::none_of(batches.begin(), batches.end(),
                        [](const batch& one) { return one.begun && !one.ended_at; });
  }
  // Until then, or until every run has ended.
  void run_until(double seconds) {
    bool reached = false;
    const auto alarm =
        time.call_at(time.now() + std::chrono::duration_cast<duration>(
                                      std::chrono::duration<double>(seconds - time.since_start())),
                     [&] { reached = true; });
    run([&] { return reached; });
    time.cancel(alarm);
  }
  void run_to_the_end() {
    run([this] { return all_ended(); });
    EXPECT_TRUE(all_ended()) << "a run hangs";
  }
  void run(const std::function<bool()>& until) {
    test::run_virtual(loop, time, until, [this] {
      return std::all_of(batches.begin(), batches.end(), [](const batch& one) {
        return !one.begun || one.source.quiet() || one.handle.now().queued >= 48;
      });
    });
  }
  // The engine is still there, and nothing of the runs is.
  void expect_nothing_left() {
    loop.restart();
    while (loop.poll() > 0) {
    }
    EXPECT_TRUE(loop.stopped()) << "somebody still waits";
    EXPECT_EQ(over().now().waiting, 0U);
    EXPECT_EQ(over().now().in_flight, 0U);
    EXPECT_EQ(time.calls_to_come(), 0U) << "a call was left behind";
    EXPECT_EQ(relay.in_flight, 0U);
  }
  void expect_own_results(const batch& one, std::size_t job, std::size_t count) {
    EXPECT_EQ(one.sink.results.size(), count);
    for (const auto& [id, times] : one.sink.times_by_id()) {
      EXPECT_EQ(times, 1) << id;
      EXPECT_TRUE(id.starts_with(std::to_string(job) + "-")) << id << " is another run's";
    }
  }
  std::size_t most_in_a_minute() const {
    auto moments = relay.counted;
    std::sort(moments.begin(), moments.end());
    std::size_t most = 0;
    for (std::size_t first = 0, last = 0; last < moments.size(); ++last) {
      while (moments[last] - moments[first] >= 60s) ++first;
      most = std::max(most, last - first + 1);
    }
    return most;
  }
  std::size_t calls_of(std::size_t job) const {
    return static_cast<std::size_t>(
        std::count_if(relay.calls.begin(), relay.calls.end(),
                      [&](const exchange_call& call) { return is_of(call, job); }));
  }

  boost::asio::io_context loop{1};
  test::manual_clock time;
  test::fake_client relay{time};
  heard said;
  config options;
  std::optional<engine> engine_;
  std::list<batch> batches;
};

TEST_F(several_runs, that_start_and_end_at_different_times_share_one_limit) {
  options.pace.requests_per_minute = 60;
  options.pace.concurrency = 16;
  batch& first = start(150);
  run_until(20);
  batch& second = start(40);
  run_until(70);
  batch& third = start(10);
  run_to_the_end();

  EXPECT_LE(most_in_a_minute(), 60U);
  expect_own_results(first, 0, 150);
  expect_own_results(second, 1, 40);
  expect_own_results(third, 2, 10);
  EXPECT_EQ(relay.calls.size(), 200U);
  // 200 starts at 60 a minute take three windows and the rest of a fourth, whoever they belong to.
  EXPECT_GE(*first.ended_at, 180);
  EXPECT_LE(*first.ended_at, 190);
  // Turns are given as they come: the small ones do not wait for the end of the large one.
  EXPECT_LT(*second.ended_at, *first.ended_at);
  EXPECT_LT(*third.ended_at, *first.ended_at);
  expect_nothing_left();
}

TEST_F(several_runs, a_pause_that_one_was_told_holds_the_others) {
  options.pace.requests_per_minute = 0;
  bool refused = false;
  relay.plan = [&](const exchange_call& call) {
    if (is_of(call, 0) && !std::exchange(refused, true)) {
      return refusal_plan(429, "slow down", "rate_limit_exceeded", {{"retry-after", "30"}});
    }
    return completion_plan();
  };
  start(1);
  run_until(1);
  ASSERT_TRUE(refused);
  batch& second = start(5);
  run_to_the_end();
  EXPECT_GE(*second.ended_at, 30) << "it heard nothing of the pause";
  EXPECT_EQ(calls_of(1), 5U);
  expect_nothing_left();
}

TEST_F(several_runs, one_that_is_stopped_leaves_the_others_alone) {
  options.pace.requests_per_minute = 60;
  options.pace.concurrency = 8;
  batch& first = start(100);
  batch& second = start(100);
  run_until(30);
  EXPECT_GT(over().now().waiting, 8U);
  second.handle.stop();
  run_until(35);
  EXPECT_TRUE(second.ended_at.has_value());
  EXPECT_EQ(second.outcome.reason, stop_reason::interrupted);
  EXPECT_LT(second.sink.results.size(), 100U);
  EXPECT_FALSE(first.ended_at.has_value());
  EXPECT_EQ(over().now().waiting, first.handle.now().waiting) << "a waiter of it was left behind";
  run_to_the_end();
  EXPECT_EQ(first.outcome.reason, stop_reason::none);
  expect_own_results(first, 0, 100);
  EXPECT_LE(most_in_a_minute(), 60U);
  expect_nothing_left();
}

TEST_F(several_runs, aborting_one_breaks_off_its_own_attempts_alone) {
  options.pace.requests_per_minute = 0;
  relay.plan = [](const exchange_call&) { return completion_plan("slow", 100s); };
  batch& first = start(4);
  batch& second = start(4);
  run_until(10);
  EXPECT_EQ(relay.in_flight, 8U);
  EXPECT_EQ(first.handle.now().in_flight, 4U);
  second.handle.abort();
  run_until(11);
  EXPECT_TRUE(second.ended_at.has_value());
  EXPECT_EQ(relay.in_flight, 4U);
  EXPECT_EQ(relay.aborts, 0U) << "nothing that is everybody's was closed";
  run_to_the_end();
  expect_own_results(first, 0, 4);
  EXPECT_THAT(second.sink.results, IsEmpty());
  expect_nothing_left();
}

TEST_F(several_runs, a_refused_key_stops_all_and_a_later_run_asks_again) {
  options.pace.requests_per_minute = 60;
  bool good = true;
  relay.plan = [&](const exchange_call&) {
    return good ? completion_plan() : refusal_plan(401, "bad key", "invalid_api_key");
  };
  batch& first = start(100);
  batch& second = start(100);
  run_until(10);
  good = false;
  run_to_the_end();
  EXPECT_EQ(first.outcome.reason, stop_reason::key_ended);
  EXPECT_EQ(second.outcome.reason, stop_reason::key_ended);
  expect_nothing_left();

  const std::size_t before = relay.calls.size();
  said.sentences.clear();
  start(3);
  run_to_the_end();
  for (const auto& [run, text] : said.sentences) {
    EXPECT_EQ(text.find("serves again"), std::string::npos) << "nothing had been asked yet";
  }
  EXPECT_EQ(batches.back().outcome.reason, stop_reason::key_ended);
  EXPECT_LE(relay.calls.size() - before, 4U)
      << "a refused key is asked no more than it takes to know";
  good = true;
  batch& healed = start(3);
  run_to_the_end();
  EXPECT_EQ(healed.outcome.reason, stop_reason::none);
  expect_own_results(healed, 3, 3);
  expect_nothing_left();
}

TEST_F(several_runs, one_health_one_attempt_at_a_time_for_all) {
  options.pace.requests_per_minute = 0;
  options.pace.concurrency = 200;
  options.pace.max_attempts = 100;
  options.pace.give_up_after = 24h;
  bool down = true;
  relay.plan = [&](const exchange_call&) {
    return down ? refusal_plan(500, "upstream error") : completion_plan("x", 1s);
  };
  start(150);
  run_until(20);
  // It has seen a hundred failures in a row: from now on one at a time, whoever asks.
  relay.most_in_flight = 0;
  batch& second = start(150);
  run_until(20'000);
  EXPECT_GT(calls_of(1), 0U);
  EXPECT_EQ(relay.most_in_flight, 1U) << "the second run knows nothing of the trouble";
  EXPECT_TRUE(second.handle.now().one_at_a_time);
  down = false;
  run_to_the_end();
  expect_own_results(batches.front(), 0, 150);
  expect_own_results(second, 1, 150);
  EXPECT_GT(relay.most_in_flight, 50U) << "one success ends it for both";
  expect_nothing_left();
}

TEST_F(several_runs, what_is_broken_off_says_nothing_of_the_relay) {
  options.pace.requests_per_minute = 0;
  options.pace.concurrency = 300;
  // The first is quick in the beginning, so that many are sent at once. It holds at least the
  // places that the second leaves, in whatever order the two readers bring their requests.
  relay.plan = [this](const exchange_call& call) {
    return is_of(call, 0) && time.since_start() < 10 ? completion_plan("quick", 1s)
                                                     : completion_plan("slow", 50s);
  };
  batch& first = start(4000);
  run_until(8);
  batch& second = start(100);
  run_until(20);
  ASSERT_GT(first.handle.now().in_flight, 120U) << "more than it takes to be in trouble";
  ASSERT_GT(second.handle.now().in_flight, 0U);
  first.handle.abort();
  run_until(21);
  EXPECT_FALSE(over().now().one_at_a_time) << "what we broke off was taken for trouble";
  run_to_the_end();
  expect_own_results(second, 1, 100);
  EXPECT_EQ(second.sink.retries, 0U);
  for (const auto& [run, text] : said.sentences) ADD_FAILURE() << run << ": " << text;
  expect_nothing_left();
}

TEST_F(several_runs, one_whose_addresses_look_wrong_waits_for_what_the_others_find_out) {
  options.pace.requests_per_minute = 0;
  relay.plan = [](const exchange_call& call) {
    auto planned = is_of(call, 1) ? refusal_plan(404) : completion_plan("x", 30s);
    if (is_of(call, 1)) planned.body = {{duration{}, R"({"detail":"Not Found"})"}};
    return planned;
  };
  batch& first = start(5);
  run_until(1);
  batch& second = start(1);
  run_until(20);
  EXPECT_FALSE(first.ended_at.has_value()) << "the second run's suspicion stopped it";
  EXPECT_FALSE(second.ended_at.has_value()) << "the first may yet show that the address is right";
  run_to_the_end();
  EXPECT_EQ(first.outcome.reason, stop_reason::none);
  expect_own_results(first, 0, 5);
  EXPECT_EQ(second.outcome.reason, stop_reason::none);
  expect_own_results(second, 1, 1);
  EXPECT_FALSE(second.sink.results.front().outcome.has_value());
  expect_nothing_left();
}

TEST_F(several_runs, a_request_that_is_refused_for_itself_fails_while_others_succeed) {
  options.pace.requests_per_minute = 0;
  options.pace.concurrency = 4;
  relay.plan = [](const exchange_call& call) {
    return is_of(call, 1) ? refusal_plan(429, "slow down") : completion_plan("x", 2s);
  };
  batch& first = start(3000);
  batch& second = start(1);
  run([&] { return second.ended_at.has_value() || first.ended_at.has_value(); });
  EXPECT_TRUE(second.ended_at.has_value()) << "it is tried again for ever";
  ASSERT_EQ(second.sink.results.size(), 1U);
  EXPECT_FALSE(second.sink.results.front().outcome.has_value());
  EXPECT_LE(calls_of(1), 30U);
  first.handle.stop();
  run_to_the_end();
  expect_nothing_left();
}

TEST_F(several_runs, a_fault_of_one_sink_ends_its_own_run) {
  options.pace.requests_per_minute = 0;
  options.pace.concurrency = 8;
  relay.plan = [](const exchange_call&) { return completion_plan("x", 2s); };
  batch& first = start(40);
  batch& second = make(40);
  second.sink.flush_fault =
      std::make_exception_ptr(fatal_error(fatal_error::kind::cannot_write, "the disk is full"));
  bool thrown = false;
  boost::asio::co_spawn(loop, second.handle.work(),
                        [&](const std::exception_ptr& fault, const run_outcome&) {
                          thrown = fault != nullptr;
                          second.ended_at = time.since_start();
                        });
  run_to_the_end();
  EXPECT_TRUE(thrown);
  EXPECT_EQ(first.outcome.reason, stop_reason::none);
  expect_own_results(first, 0, 40);
  expect_nothing_left();
}

TEST_F(several_runs, what_one_has_learned_of_streams_the_next_knows) {
  options.pace.requests_per_minute = 0;
  options.pace.concurrency = 1;
  options.pace.keep_going = true;
  relay.plan = [](const exchange_call& call) {
    return call.streamed ? refusal_plan(400, "stream is not supported") : completion_plan();
  };
  const auto streamed = [](batch& one) {
    for (auto& next : one.source.requests) {
      constexpr std::string_view fields = R"(,"stream":true)";
      next.body.insert(next.body.size() - 1, fields);
      next.stream_fields = fields.size();
      next.streamed = true;
    }
  };
  batch& first = make(30);
  streamed(first);
  begin(first);
  run_to_the_end();
  const std::size_t before = relay.calls.size();
  ASSERT_FALSE(relay.calls[before - 1].streamed) << "the first run found out nothing";
  batch& second = make(5);
  streamed(second);
  begin(second);
  run_to_the_end();
  for (std::size_t i = before; i < relay.calls.size(); ++i) EXPECT_FALSE(relay.calls[i].streamed);
  EXPECT_EQ(relay.calls.size() - before, 5U);
  expect_nothing_left();
}

TEST_F(several_runs, what_is_said_of_a_run_has_its_name) {
  options.pace.requests_per_minute = 0;
  options.pace.concurrency = 4;
  bool refused = false;
  relay.plan = [&](const exchange_call& call) {
    if (is_of(call, 0) && !std::exchange(refused, true)) return refusal_plan(401, "who?");
    return is_of(call, 1) ? refusal_plan(404, "no such model", "model_not_found")
                          : completion_plan("x", 10s);
  };
  start(20);
  batch& second = start(40);
  second.source.number_of_jobs = 2;
  run_to_the_end();
  std::vector<std::string> runs;
  for (const auto& [run, text] : said.sentences) runs.push_back(run);
  EXPECT_THAT(runs, Contains("run 1")) << "its job was given up";
  EXPECT_THAT(runs, Contains("")) << "the relay was in trouble: that is for all";
  EXPECT_THAT(runs, Not(Contains("run 0")));
}

}  // namespace
}  // namespace sluice
