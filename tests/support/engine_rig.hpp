#pragma once

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "engine/job_queue.hpp"
#include "sluice/engine.hpp"
#include "support/fake_client.hpp"
#include "support/manual_clock.hpp"
#include "support/memory_job.hpp"
#include "upstream/relays.hpp"

namespace sluice::test {

/// The queue length from which the reader may be waiting for room. The queue reports free room only
/// in steps of a quarter of its capacity.
inline std::size_t full_queue(const pace_options& pace) {
  return job_queue::capacity_for(upstream::most_in_flight(pace)) * 3 / 4;
}

/// An engine on a manual clock, with requests and results in memory.
struct engine_rig {
  engine_rig() {
    spdlog::set_level(spdlog::level::off);
    options.pace.seed = 1;
    relay.plan = [](const exchange_call&) { return completion_plan(); };
  }

  void add(std::size_t count, std::size_t job = 0) {
    for (std::size_t i = 0; i < count; ++i) source.requests.push_back(make_request(job, i + 1));
  }

  /// Runs the engine to its end. If `until` is set, calls `then` as soon as `until` is true.
  void run(const std::function<bool()>& until = {}, const std::function<void(engine&)>& then = {}) {
    {
      engine runner(loop, options, time, clients());
      boost::asio::co_spawn(loop, runner.run(source, sink),
                            [this](std::exception_ptr thrown, run_outcome result) {
                              fault = thrown;
                              outcome = std::move(result);
                              ended = true;
                            });
      // Time moves only after the reader has ended or waits for room in the queue. So the content
      // of the queue does not depend on the thread scheduler.
      const std::size_t full = full_queue(options.pace);
      const auto settled = [&] { return source.quiet() || runner.now().queued >= full; };
      if (until) {
        run_virtual(
            loop, time, [&] { return ended || until(); }, settled);
        if (then) then(runner);
      }
      run_virtual(
          loop, time, [&] { return ended; }, settled);
      EXPECT_TRUE(ended) << "the run hangs";
      status = runner.now();
      loop.restart();
      while (loop.poll() > 0) {
      }
      EXPECT_TRUE(loop.stopped()) << "a coroutine still waits";
    }
    EXPECT_EQ(time.calls_to_come(), 0U) << "a call of the clock is still pending";
    EXPECT_EQ(relay.in_flight, 0U);
    for (const auto& [id, times] : sink.times_by_id())
      EXPECT_EQ(times, 1) << id << " has several results";
  }

  /// Makes a pool: `relay` is its first member, the others are new.
  void make_pool(const std::vector<std::string>& names) {
    for (const auto& name : names) {
      relay_member& member = options.pool.emplace_back();
      member.name = name;
      member.relay.base_url = "https://" + name + ".example/v1";
      if (options.pool.size() == 1) continue;
      others.emplace_back(time).plan = [](const exchange_call&) { return completion_plan(); };
    }
  }
  std::vector<http_client*> clients() {
    std::vector<http_client*> all{&relay};
    for (auto& other : others) all.push_back(&other);
    return all;
  }
  std::size_t served_by(const std::string& name) const {
    return static_cast<std::size_t>(std::count_if(
        sink.results.begin(), sink.results.end(),
        [&](const result& one) { return one.outcome.has_value() && one.relay == name; }));
  }

  std::size_t succeeded() const {
    return static_cast<std::size_t>(
        std::count_if(sink.results.begin(), sink.results.end(),
                      [](const result& one) { return one.outcome.has_value(); }));
  }
  const result& result_of(const std::string& id) const {
    return *std::find_if(sink.results.begin(), sink.results.end(),
                         [&](const result& one) { return one.custom_id == id; });
  }
  std::size_t most_counted_in_a_minute() const {
    auto events = relay.counted;
    std::sort(events.begin(), events.end());
    std::size_t most = 0;
    std::size_t first = 0;
    for (std::size_t last = 0; last < events.size(); ++last) {
      while (events[last] - events[first] >= std::chrono::seconds{60}) ++first;
      most = std::max(most, last - first + 1);
    }
    return most;
  }

  boost::asio::io_context loop{1};
  manual_clock time;
  fake_client relay{time};
  std::list<fake_client> others;  ///< the other members of a pool
  memory_source source;
  memory_sink sink{time};
  config options;
  run_outcome outcome;
  run_status status;
  std::exception_ptr fault;
  bool ended = false;
};

}  // namespace sluice::test
