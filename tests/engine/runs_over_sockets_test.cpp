// Several runs on one engine, with the real client and a relay on a local port.
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "simulator/relay.hpp"
#include "sluice/engine.hpp"
#include "support/memory_job.hpp"

namespace sluice {
namespace {

constexpr int limit = 60;

simulator::options fast_relay() {
  simulator::options settings;
  settings.rpm = limit;
  settings.tokens = 5;
  settings.ttft = std::chrono::milliseconds{20};
  return settings;
}

// A run and its outcome.
struct batch {
  batch(engine& over, std::size_t job, std::size_t requests)
      : sink(over.time()), handle(over, source, sink, "run " + std::to_string(job)) {
    for (std::size_t i = 0; i < requests; ++i) {
      request& next = source.requests.emplace_back(test::make_request(job, i + 1));
      next.body = R"({"model":"gpt-4o","messages":[{"role":"user","content":")" + next.custom_id +
                  R"("}],"max_tokens":5})";
    }
  }
  void start(
      boost::asio::io_context& loop, std::function<void()> then = [] {}) {
    boost::asio::co_spawn(
        loop, handle.work(),
        [this, then = std::move(then)](std::exception_ptr thrown, run_outcome result) {
          EXPECT_EQ(thrown, nullptr);
          outcome = std::move(result);
          then();
        });
  }

  test::memory_source source;
  test::memory_sink sink;
  engine_run handle;
  std::optional<run_outcome> outcome;
};

TEST(runs_over_sockets, three_runs_share_one_limit_and_end_separately) {
  simulator::relay relay(fast_relay());
  relay.start();
  config options;
  options.relay.base_url = relay.base_url();
  options.relay.api_key = "sk-test";
  options.pace.requests_per_minute = limit;
  options.pace.concurrency = 8;
  boost::asio::io_context loop;
  engine over(loop, options);
  batch first(over, 0, 30);
  batch second(over, 1, 20);
  batch third(over, 2, 10);
  batch late(over, 3, 5);
  std::function<void()> stop_late = [&] {
    if (late.handle.now().waiting == 5) return late.handle.stop();
    boost::asio::post(loop, stop_late);
  };
  int ended = 0;
  const auto end = [&] {
    if (++ended < 3) return;
    late.start(loop);
    boost::asio::post(loop, stop_late);
  };
  // The second run begins while the first is active, the third while both are active. Together they
  // use up the limit. The late run begins after them, so it waits for the window until it is
  // stopped.
  bool second_began = false;
  first.sink.on_flush = [&] {
    if (first.sink.results.size() >= 4 && !std::exchange(second_began, true))
      second.start(loop, end);
  };
  bool third_began = false;
  second.sink.on_flush = [&] {
    if (std::exchange(third_began, true)) return;
    EXPECT_FALSE(first.outcome || second.outcome) << "three runs must be active at the same time";
    third.start(loop, end);
  };
  first.start(loop, end);
  // Returns although the engine still exists: the runs leave no work behind.
  loop.run();

  ASSERT_TRUE(first.outcome && second.outcome && third.outcome && late.outcome);
  EXPECT_EQ(first.outcome->reason, stop_reason::none);
  EXPECT_EQ(second.outcome->reason, stop_reason::none);
  EXPECT_EQ(third.outcome->reason, stop_reason::none);
  EXPECT_EQ(late.outcome->reason, stop_reason::interrupted);
  EXPECT_TRUE(late.sink.results.empty());
  std::size_t job = 0;
  for (const auto& [one, count] : {std::pair{&first, 30}, {&second, 20}, {&third, 10}}) {
    const auto times = one->sink.times_by_id();
    EXPECT_EQ(times.size(), static_cast<std::size_t>(count));
    for (const auto& [id, often] : times) {
      EXPECT_EQ(often, 1) << id;
      EXPECT_TRUE(id.starts_with(std::to_string(job) + "-")) << id;
    }
    for (const auto& one_result : one->sink.results) EXPECT_TRUE(one_result.outcome.has_value());
    ++job;
  }
  const auto ledger = nlohmann::json::parse(relay.ledger_json());
  EXPECT_EQ(ledger["attempts"], limit);
  EXPECT_EQ(ledger["over_limit_refusals"], 0);
  EXPECT_EQ(over.now().waiting, 0U);
  EXPECT_EQ(over.now().in_flight, 0U);
}

TEST(runs_over_sockets, aborting_one_run_does_not_touch_the_connections_of_another) {
  auto settings = fast_relay();
  settings.rpm = 0;
  settings.ttft = std::chrono::milliseconds{400};
  simulator::relay relay(settings);
  relay.start();
  config options;
  options.relay.base_url = relay.base_url();
  options.relay.api_key = "sk-test";
  options.pace.requests_per_minute = 0;
  options.pace.concurrency = 16;
  boost::asio::io_context loop;
  engine over(loop, options);
  batch kept(over, 0, 8);
  batch aborted(over, 1, 8);
  kept.start(loop);
  aborted.start(loop);
  // Aborts as soon as both have attempts in flight.
  std::function<void()> look = [&] {
    if (aborted.handle.now().in_flight > 0 && kept.handle.now().in_flight > 0) {
      return aborted.handle.abort();
    }
    boost::asio::post(loop, look);
  };
  boost::asio::post(loop, look);
  loop.run();
  ASSERT_TRUE(kept.outcome && aborted.outcome);
  EXPECT_EQ(kept.outcome->reason, stop_reason::none);
  EXPECT_EQ(kept.sink.times_by_id().size(), 8U);
  EXPECT_EQ(kept.sink.retries, 0U) << "one of its attempts was cut";
  for (const auto& one_result : kept.sink.results) EXPECT_TRUE(one_result.outcome.has_value());
  EXPECT_EQ(aborted.outcome->reason, stop_reason::interrupted);
  EXPECT_LT(aborted.sink.results.size(), 8U);
}

}  // namespace
}  // namespace sluice
