#include <gtest/gtest.h>

#include "loadtest/benchmark_rig.hpp"

namespace sluice::bench {
namespace {

using namespace test;

// A stream of tool calls after reasoning that the relay does not send. Ten of its tokens are
// visible.
exchange_plan tool_call_plan(std::int64_t reasoning) {
  exchange_plan plan;
  plan.before_head = 50ms;
  plan.head.status = 200;
  plan.head.fields.add("Content-Type", "text/event-stream");
  for (unsigned i = 0; i < 10; ++i) {
    const std::string head = i == 0 ? R"("id":"call_1","type":"function",)" : "";
    plan.body.emplace_back(
        i == 0 ? 50ms : 10ms,
        delta(fmt::format(
            R"("tool_calls":[{{"index":0,{}"function":{{"name":"","arguments":"a"}}}}])", head)));
  }
  plan.body.emplace_back(0ms, event(R"({"index":0,"delta":{},"finish_reason":"tool_calls"})") +
                                  usage_event(100, 10 + reasoning, reasoning) + done);
  return plan;
}

TEST(measured_moments, reasoning_that_was_kept_back_lies_between_no_tokens_of_a_tool_call) {
  benchmark_rig rig;
  rig.add().plan = [](const exchange_call&) { return tool_call_plan(400); };
  const auto load = rig.run(load_plan({in_flight(1, 3)})).at("loads").at(0);
  EXPECT_EQ(load.at("succeeded"), 3);
  EXPECT_NEAR(load.at("inter_token_ms").at("mean"), 10, 0.001);
}

TEST(measured_moments, a_pause_of_the_relay_that_outlasts_the_load_is_not_its_own_cap) {
  benchmark_rig rig;
  auto& relay = rig.add(1000);
  relay.plan = [](const exchange_call& call) {
    if (call.number == 5) return error_plan(429, "slow down", {{"retry-after", "30"}});
    return stream_plan();
  };
  load asked = in_flight(1, 0);
  asked.time = 20s;
  const auto load = rig.run(load_plan({asked})).at("loads").at(0);
  EXPECT_EQ(relay.calls.size(), 6U);
  EXPECT_NEAR(load.at("held_by_cap"), 0, 0.001);
}

TEST(measured_moments, starts_a_second_are_those_that_were_sent) {
  benchmark_rig rig;
  auto& relay = rig.add();
  relay.plan = [](const exchange_call& call) {
    return call.number == 0 ? unreachable_plan() : stream_plan();
  };
  const auto load = rig.run(load_plan({at_rate(60, 5s)})).at("loads").at(0);
  EXPECT_EQ(load.at("requests"), 5);
  EXPECT_EQ(load.at("failed"), 1);
  EXPECT_NEAR(load.at("started_per_s"), 1, 0.001);
}

TEST(measured_moments, no_quantile_passes_the_greatest) {
  benchmark_rig rig;
  rig.add();
  const auto load = rig.run(load_plan({in_flight(1, 3)})).at("loads").at(0);
  for (const char* name : {"ttfb_ms", "ttft_ms", "latency_ms", "inter_token_ms"}) {
    EXPECT_LE(load.at(name).at("p99"), load.at(name).at("max")) << name;
  }
}

}  // namespace
}  // namespace sluice::bench
