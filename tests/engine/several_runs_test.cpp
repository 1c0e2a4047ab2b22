// Several runs on one engine: they share one limit and one relay health, and each run has its own
// results.
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
#include "support/engine_rig.hpp"
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

// Whether a call belongs to the run of this job. Each request contains its job number.
bool is_of(const exchange_call& call, std::size_t job) {
  return call.body.find("\"user\":\"" + std::to_string(job) + "-") != std::string::npos;
}

struct notice_log final : observer {
  void on_notice(const notice& event) override {
    sentences.emplace_back(std::string(event.run), std::string(event.text));
  }
  bool wants(severity level) const override { return level != severity::debug; }
  std::vector<std::pair<std::string, std::string>> sentences;
};

struct several_runs : testing::Test {
  // A run and its outcome.
  struct batch {
    batch(engine& over, clock& time, std::size_t job, std::size_t requests,
          run_limit* limit = nullptr)
        : sink(time), handle(over, source, sink, "run " + std::to_string(job), limit) {
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
  // If a test ended early, its runs are still active and refer to these members.
  ~several_runs() override {
    for (batch& one : batches) {
      if (!one.ended_at) one.handle.abort();
    }
    run([this] { return none_at_work(); });
  }

  engine& shared_engine() {
    if (!engine_) engine_.emplace(loop, options, time, std::vector<http_client*>{&relay}, &notices);
    return *engine_;
  }
  batch& make(std::size_t requests) {
    return batches.emplace_back(shared_engine(), time, batches.size(), requests);
  }
  // Starts a run with its own limit, which several runs may share.
  batch& start_within(run_limit& limit, std::size_t requests) {
    batch& one = batches.emplace_back(shared_engine(), time, batches.size(), requests, &limit);
    begin(one);
    return one;
  }
  batch& start(std::size_t requests) {
    batch& one = make(requests);
    begin(one);
    return one;
  }
  void begin(batch& one) {
    one.begun = true;
    boost::asio::co_spawn(loop, one.handle.work(),
                          [this, &one](std::exception_ptr thrown, run_outcome result) {
                            EXPECT_EQ(thrown, nullptr);
                            one.outcome = std::move(result);
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
  // Runs until this time, or until every run has ended.
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
    const std::size_t full = test::full_queue(options.pace);
    test::run_virtual(loop, time, until, [this, full] {
      return std::all_of(batches.begin(), batches.end(), [full](const batch& one) {
        return !one.begun || one.source.quiet() || one.handle.now().queued >= full;
      });
    });
  }
  // Expects that the runs have left nothing behind. The engine still exists.
  void expect_nothing_left() {
    loop.restart();
    while (loop.poll() > 0) {
    }
    EXPECT_TRUE(loop.stopped()) << "a coroutine still waits";
    EXPECT_EQ(shared_engine().now().waiting, 0U);
    EXPECT_EQ(shared_engine().now().in_flight, 0U);
    EXPECT_EQ(time.calls_to_come(), 0U) << "a call of the clock is still pending";
    EXPECT_EQ(relay.in_flight, 0U);
  }
  void expect_own_results(const batch& one, std::size_t job, std::size_t count) {
    EXPECT_EQ(one.sink.results.size(), count);
    for (const auto& [id, times] : one.sink.times_by_id()) {
      EXPECT_EQ(times, 1) << id;
      EXPECT_TRUE(id.starts_with(std::to_string(job) + "-")) << id << " belongs to another run";
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
  notice_log notices;
  config options;
  std::optional<engine> engine_;
  std::list<batch> batches;
};

TEST_F(several_runs, runs_that_start_and_end_at_different_times_share_one_limit) {
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
  // All runs together make 200 starts at 60 per minute: this takes three windows and a part of a
  // fourth.
  EXPECT_GE(*first.ended_at, 180);
  EXPECT_LE(*first.ended_at, 190);
  // First come, first served: the small runs do not wait until the large run has ended.
  EXPECT_LT(*second.ended_at, *first.ended_at);
  EXPECT_LT(*third.ended_at, *first.ended_at);
  expect_nothing_left();
}

TEST_F(several_runs, a_pause_of_one_run_applies_to_the_others) {
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
  EXPECT_GE(*second.ended_at, 30) << "the pause did not apply to it";
  EXPECT_EQ(calls_of(1), 5U);
  expect_nothing_left();
}

TEST_F(several_runs, stopping_one_run_does_not_affect_the_others) {
  options.pace.requests_per_minute = 60;
  options.pace.concurrency = 8;
  batch& first = start(100);
  batch& second = start(100);
  run_until(30);
  EXPECT_GT(shared_engine().now().waiting, 8U);
  second.handle.stop();
  run_until(35);
  EXPECT_TRUE(second.ended_at.has_value());
  EXPECT_EQ(second.outcome.reason, stop_reason::interrupted);
  EXPECT_LT(second.sink.results.size(), 100U);
  EXPECT_FALSE(first.ended_at.has_value());
  EXPECT_EQ(shared_engine().now().waiting, first.handle.now().waiting)
      << "one of its waiters is still there";
  run_to_the_end();
  EXPECT_EQ(first.outcome.reason, stop_reason::none);
  expect_own_results(first, 0, 100);
  EXPECT_LE(most_in_a_minute(), 60U);
  expect_nothing_left();
}

TEST_F(several_runs, aborting_one_run_ends_only_its_own_attempts) {
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
  EXPECT_EQ(relay.aborts, 0U) << "nothing that the runs share was closed";
  run_to_the_end();
  expect_own_results(first, 0, 4);
  EXPECT_THAT(second.sink.results, IsEmpty());
  expect_nothing_left();
}

TEST_F(several_runs, a_refused_key_stops_all_runs_and_a_later_run_tries_again) {
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
  notices.sentences.clear();
  start(3);
  run_to_the_end();
  for (const auto& [run, text] : notices.sentences) {
    EXPECT_EQ(text.find("serves again"), std::string::npos) << "nothing had been sent yet";
  }
  EXPECT_EQ(batches.back().outcome.reason, stop_reason::key_ended);
  EXPECT_LE(relay.calls.size() - before, 4U)
      << "only as many requests as needed to confirm the refusal";
  good = true;
  batch& healed = start(3);
  run_to_the_end();
  EXPECT_EQ(healed.outcome.reason, stop_reason::none);
  expect_own_results(healed, 3, 3);
  expect_nothing_left();
}

TEST_F(several_runs, one_attempt_at_a_time_applies_to_all_runs) {
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
  // After a hundred failures in a row, all runs together make only one attempt at a time.
  relay.most_in_flight = 0;
  batch& second = start(150);
  run_until(20'000);
  EXPECT_GT(calls_of(1), 0U);
  EXPECT_EQ(relay.most_in_flight, 1U) << "the second run does not know of the failures";
  EXPECT_TRUE(second.handle.now().one_at_a_time);
  down = false;
  run_to_the_end();
  expect_own_results(batches.front(), 0, 150);
  expect_own_results(second, 1, 150);
  EXPECT_GT(relay.most_in_flight, 50U) << "one success ends it for both runs";
  expect_nothing_left();
}

TEST_F(several_runs, aborted_attempts_say_nothing_about_the_relay) {
  options.pace.requests_per_minute = 0;
  options.pace.concurrency = 300;
  // The first run is fast at the beginning, so that many attempts are in flight. It uses at least
  // the places that the second run leaves free, whichever reader is faster.
  relay.plan = [this](const exchange_call& call) {
    return is_of(call, 0) && time.since_start() < 10 ? completion_plan("quick", 1s)
                                                     : completion_plan("slow", 50s);
  };
  batch& first = start(4000);
  run_until(8);
  batch& second = start(100);
  run_until(20);
  ASSERT_GT(first.handle.now().in_flight, 120U) << "more than needed for one attempt at a time";
  ASSERT_GT(second.handle.now().in_flight, 0U);
  first.handle.abort();
  run_until(21);
  EXPECT_FALSE(shared_engine().now().one_at_a_time) << "aborted attempts were counted as failures";
  run_to_the_end();
  expect_own_results(second, 1, 100);
  EXPECT_EQ(second.sink.retries, 0U);
  for (const auto& [run, text] : notices.sentences) ADD_FAILURE() << run << ": " << text;
  expect_nothing_left();
}

TEST_F(several_runs, a_run_with_a_suspect_address_waits_for_the_answers_of_other_runs) {
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
  EXPECT_FALSE(first.ended_at.has_value()) << "the suspicion of the second run stopped it";
  EXPECT_FALSE(second.ended_at.has_value())
      << "the first run may still show that the address is right";
  run_to_the_end();
  EXPECT_EQ(first.outcome.reason, stop_reason::none);
  expect_own_results(first, 0, 5);
  EXPECT_EQ(second.outcome.reason, stop_reason::none);
  expect_own_results(second, 1, 1);
  EXPECT_FALSE(second.sink.results.front().outcome.has_value());
  expect_nothing_left();
}

TEST_F(several_runs, a_request_that_is_always_refused_fails_if_others_succeed) {
  options.pace.requests_per_minute = 0;
  options.pace.concurrency = 4;
  relay.plan = [](const exchange_call& call) {
    return is_of(call, 1) ? refusal_plan(429, "slow down") : completion_plan("x", 2s);
  };
  batch& first = start(3000);
  batch& second = start(1);
  run([&] { return second.ended_at.has_value() || first.ended_at.has_value(); });
  EXPECT_TRUE(second.ended_at.has_value()) << "it is retried for ever";
  ASSERT_EQ(second.sink.results.size(), 1U);
  EXPECT_FALSE(second.sink.results.front().outcome.has_value());
  EXPECT_LE(calls_of(1), 30U);
  first.handle.stop();
  run_to_the_end();
  expect_nothing_left();
}

TEST_F(several_runs, an_error_of_a_sink_ends_only_its_own_run) {
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

TEST_F(several_runs, the_next_run_knows_that_a_relay_cannot_stream) {
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
  ASSERT_FALSE(relay.calls[before - 1].streamed) << "the first run did not turn streams off";
  batch& second = make(5);
  streamed(second);
  begin(second);
  run_to_the_end();
  for (std::size_t i = before; i < relay.calls.size(); ++i) EXPECT_FALSE(relay.calls[i].streamed);
  EXPECT_EQ(relay.calls.size() - before, 5U);
  expect_nothing_left();
}

// The maximum number of attempts of these jobs that the relay counted in any 60 s.
std::size_t most_counted(const test::fake_client& relay, const std::vector<std::size_t>& jobs) {
  std::vector<time_point> moments;
  for (const exchange_call& call : relay.calls) {
    if (std::any_of(jobs.begin(), jobs.end(), [&](std::size_t job) { return is_of(call, job); })) {
      moments.push_back(call.at);
    }
  }
  std::size_t most = 0;
  for (std::size_t first = 0, last = 0; last < moments.size(); ++last) {
    while (moments[last] - moments[first] >= 60s) ++first;
    most = std::max(most, last - first + 1);
  }
  return most;
}

TEST_F(several_runs, runs_with_a_limit_of_their_own_share_it_and_hold_up_no_other) {
  options.pace.requests_per_minute = 200;
  run_limit thirty(time, 30, 0);
  start_within(thirty, 60);
  start_within(thirty, 60);
  const batch& free_one = start(150);
  run_to_the_end();
  EXPECT_EQ(most_counted(relay, {0, 1}), 30U);
  EXPECT_LE(most_in_a_minute(), 200U);
  ASSERT_TRUE(free_one.ended_at);
  EXPECT_LT(*free_one.ended_at, 60) << "150 requests fit beside 30 of the others";
  expect_nothing_left();
}

TEST_F(several_runs, retries_count_for_a_limit_of_their_own) {
  options.pace.requests_per_minute = 0;
  run_limit ten(time, 10, 0);
  relay.plan = [](const exchange_call& call) {
    return call.number % 2 == 0 ? refusal_plan(500) : completion_plan();
  };
  start_within(ten, 25);
  run_to_the_end();
  EXPECT_GT(relay.calls.size(), 25U);
  EXPECT_EQ(most_counted(relay, {0}), 10U);
  expect_nothing_left();
}

TEST_F(several_runs, a_limit_of_tokens_is_shared_too) {
  options.pace.requests_per_minute = 0;
  options.pace.concurrency = 1;
  // Each reply uses 15 tokens. After the first reply, the estimate is 15 tokens, too.
  run_limit tokens(time, 0, 150);
  start_within(tokens, 30);
  run_to_the_end();
  EXPECT_LE(most_counted(relay, {0}), 10U);
  EXPECT_GE(most_counted(relay, {0}), 8U);
  expect_nothing_left();
}

TEST_F(several_runs, a_run_that_is_stopped_waits_no_longer_for_a_limit_of_its_own) {
  options.pace.requests_per_minute = 0;
  run_limit few(time, 5, 0);
  batch& stopped = start_within(few, 50);
  batch& other = start_within(few, 8);
  run_until(5);
  stopped.handle.stop();
  run_until(6);
  EXPECT_TRUE(stopped.ended_at);
  EXPECT_EQ(stopped.outcome.reason, stop_reason::interrupted);
  few.set(0, 0);
  run_to_the_end();
  expect_own_results(other, 1, 8);
  EXPECT_LT(*other.ended_at, 7) << "the limit was lifted";
  expect_nothing_left();
}

TEST_F(several_runs, notices_about_a_run_have_its_name) {
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
  for (const auto& [run, text] : notices.sentences) runs.push_back(run);
  EXPECT_THAT(runs, Contains("run 1")) << "its job was given up";
  EXPECT_THAT(runs, Contains("")) << "a notice about the relay is for all runs";
  EXPECT_THAT(runs, Not(Contains("run 0")));
}

}  // namespace
}  // namespace sluice
