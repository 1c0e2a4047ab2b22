#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "loadtest/benchmark.hpp"
#include "support/fake_client.hpp"
#include "support/manual_clock.hpp"

namespace sluice::bench::test {

using namespace std::chrono_literals;
using sluice::test::exchange_call;
using sluice::test::exchange_plan;
using sluice::test::fake_client;
using sluice::test::manual_clock;

inline std::string event(const std::string& choice, const std::string& more = {}) {
  return fmt::format("data: {{\"id\":\"c\",\"choices\":[{}]{}}}\n\n", choice, more);
}
inline std::string delta(const std::string& members) {
  return event(fmt::format(R"({{"index":0,"delta":{{{}}},"finish_reason":null}})", members));
}
inline std::string usage_event(std::int64_t prompt, std::int64_t completion,
                               std::int64_t reasoning = 0) {
  return event("", fmt::format(R"(,"usage":{{"prompt_tokens":{},"completion_tokens":{},)"
                               R"("completion_tokens_details":{{"reasoning_tokens":{}}}}})",
                               prompt, completion, reasoning));
}
inline const std::string finish = event(R"({"index":0,"delta":{},"finish_reason":"stop"})");
inline const std::string done = "data: [DONE]\n\n";

/// A stream. Its head and a delta with the role come after 50 ms, the first token 50 ms later, and
/// each further token after `itl`.
inline exchange_plan stream_plan(duration itl = 10ms, unsigned tokens = 11) {
  exchange_plan plan;
  plan.before_head = 50ms;
  plan.head.status = 200;
  plan.head.fields.add("Content-Type", "text/event-stream");
  plan.body.emplace_back(0ms, delta(R"("role":"assistant","content":"")"));
  for (unsigned i = 0; i < tokens; ++i) {
    plan.body.emplace_back(i == 0 ? 50ms : itl, delta(R"("content":"a")"));
  }
  plan.body.emplace_back(0ms, finish + usage_event(100, tokens) + done);
  return plan;
}

inline exchange_plan error_plan(int status, const std::string& message,
                                const std::map<std::string, std::string>& hints = {}) {
  exchange_plan plan;
  plan.before_head = 50ms;
  plan.head.status = status;
  plan.head.fields.add("Content-Type", "application/json");
  for (const auto& [name, value] : hints) plan.head.fields.add(name, value);
  plan.body.emplace_back(
      0ms,
      nlohmann::json{{"error", {{"message", message}, {"type", "invalid_request_error"}}}}.dump());
  return plan;
}

inline exchange_plan unreachable_plan() {
  exchange_plan plan;
  plan.sent_any = false;
  plan.end = exchange_end::how::unreachable;
  plan.message = "cannot connect: Connection refused";
  return plan;
}

/// A benchmark in virtual time. Scripts simulate the relays.
struct benchmark_rig {
  /// Adds a relay. The limiter allows `cap` starts per minute at it; 0: no limit.
  fake_client& add(unsigned cap = 0, const std::string& name = {}) {
    place& one = places.emplace_back(time);
    one.member.name = name;
    one.member.relay.base_url = "https://relay.example/v1";
    one.client.plan = [](const exchange_call&) { return stream_plan(); };
    one.gate = std::make_unique<start_gate>(
        time, rate_limiter::options{cap, 1s, pacing::burst, 0, nullptr}, 0);
    one.supply = std::make_unique<synthetic_supply>(
        synthetic_supply::options{"gpt-4o-mini", 64, 64, 1}, job_options{});
    one.measured = std::make_unique<target>(one.member, cap, one.client, *one.gate, *one.supply);
    return one.client;
  }

  nlohmann::ordered_json run(load_plan plan, std::optional<usd> budget = {},
                             const std::function<void(benchmark&)>& meanwhile = {},
                             duration after = 0s) {
    std::vector<target*> targets;
    targets.reserve(places.size());
    for (auto& one : places) targets.push_back(one.measured.get());
    spending money(prices, budget);
    benchmark::options chosen;
    chosen.model = "gpt-4o-mini";
    chosen.seed = 7;
    benchmark measured(loop.get_executor(), time, targets, std::move(plan), money, chosen);
    bool ended = false;
    std::exception_ptr fault;
    boost::asio::co_spawn(loop, measured.run(), [&](std::exception_ptr thrown) {
      fault = std::move(thrown);
      ended = true;
    });
    if (meanwhile) time.call_at(time.now() + after, [&] { meanwhile(measured); });
    sluice::test::run_virtual(loop, time, [&] { return ended; });
    EXPECT_TRUE(ended) << "the benchmark hangs";
    if (fault) std::rethrow_exception(fault);
    EXPECT_EQ(time.calls_to_come(), 0U) << "a call was left behind";
    why_stopped = measured.why_stopped();
    why_sweep_ended = measured.why_sweep_ended();
    return measured.document();
  }

  struct place {
    explicit place(manual_clock& time) : client(time) {}
    relay_member member;
    fake_client client;
    std::unique_ptr<start_gate> gate;
    std::unique_ptr<request_supply> supply;
    std::unique_ptr<target> measured;
  };

  boost::asio::io_context loop{1};
  manual_clock time;
  relay_prices prices{price_table::built_in()};
  std::deque<place> places;
  std::string why_stopped;
  std::string why_sweep_ended;
};

inline load in_flight(unsigned concurrency, std::uint64_t requests) {
  load made;
  made.concurrency = concurrency;
  made.requests = requests;
  return made;
}

inline load at_rate(double per_minute, duration time, arrival_kind kind = arrival_kind::even) {
  load made;
  made.rate = per_minute;
  made.time = time;
  made.arrivals = kind;
  return made;
}

}  // namespace sluice::bench::test
