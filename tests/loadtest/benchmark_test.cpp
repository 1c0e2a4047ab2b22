#include "loadtest/benchmark.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "loadtest/benchmark_rig.hpp"

namespace sluice::bench {
namespace {

using namespace test;
using nlohmann::ordered_json;

void expect_all(const ordered_json& load, const char* metric, double value, double count) {
  const auto& stats = load.at(metric);
  ASSERT_TRUE(stats.is_object()) << metric;
  EXPECT_EQ(stats.at("count"), count) << metric;
  EXPECT_NEAR(stats.at("mean"), value, 0.01) << metric;
  for (const char* part : {"p50", "p90", "p99"}) {
    EXPECT_NEAR(stats.at(part), value, value * 0.01) << metric << " " << part;
  }
  EXPECT_NEAR(stats.at("max"), value, 0.01) << metric;
}

TEST(benchmark, measures_each_moment_of_a_stream) {
  benchmark_rig rig;
  rig.add();
  const auto told = rig.run(load_plan({in_flight(1, 20)}));
  ASSERT_EQ(told.at("loads").size(), 1U);
  const auto& load = told.at("loads").at(0);
  EXPECT_EQ(load.at("succeeded"), 20);
  EXPECT_EQ(load.at("failed"), 0);
  expect_all(load, "ttfb_ms", 50, 20);
  expect_all(load, "ttft_ms", 100, 20);
  expect_all(load, "first_content_ms", 100, 20);
  expect_all(load, "inter_token_ms", 10, 20);
  expect_all(load, "inter_chunk_ms", 10, 200);
  expect_all(load, "latency_ms", 200, 20);
  expect_all(load, "output_tokens_per_s_each", 55, 20);
  EXPECT_TRUE(load.at("latency_from_intended_ms").is_null()) << "a closed loop intends nothing";
  EXPECT_TRUE(load.at("connect_ms").is_null()) << "the connection was there";
  EXPECT_NEAR(load.at("duration_s"), 4, 0.001);
  EXPECT_NEAR(load.at("requests_per_s"), 5, 0.001);
  EXPECT_NEAR(load.at("started_per_s"), 5, 0.001);
  EXPECT_NEAR(load.at("output_tokens_per_s"), 55, 0.001);
  EXPECT_EQ(load.at("tokens").at("prompt"), 2000);
  EXPECT_EQ(load.at("tokens").at("completion"), 220);
  // 2,000 tokens at $0.15 per million and 220 at $0.60.
  EXPECT_EQ(load.at("cost_usd"), "0.000432");
  EXPECT_EQ(load.at("models"),
            ordered_json::parse(R"({"gpt-4o-mini":{"requests":20,)"
                                R"("prompt_tokens":2000,"completion_tokens":220,)"
                                R"("cost_usd":"0.000432"}})"));
  EXPECT_EQ(load.at("held_by_cap"), 0);
}

TEST(benchmark, tells_reasoning_from_content) {
  benchmark_rig rig;
  rig.add().plan = [](const exchange_call&) {
    exchange_plan plan = stream_plan();
    plan.body = {{0ms, delta(R"("role":"assistant","content":"")")},
                 {150ms, delta(R"("reasoning_content":"hm")")},
                 {200ms, delta(R"("reasoning_content":"so")")},
                 {100ms, delta(R"("content":"a")")},
                 {100ms, delta(R"("content":"b")")},
                 {0ms, finish + usage_event(10, 5, 2) + done}};
    return plan;
  };
  const auto load = rig.run(load_plan({in_flight(1, 3)})).at("loads").at(0);
  expect_all(load, "ttft_ms", 200, 3);
  expect_all(load, "first_content_ms", 500, 3);
  expect_all(load, "inter_token_ms", 100, 3);  // 400 ms over five tokens
}

TEST(benchmark, leaves_out_reasoning_that_was_kept_back_between_tokens) {
  benchmark_rig rig;
  rig.add().plan = [](const exchange_call&) {
    exchange_plan plan = stream_plan();
    plan.body.back().second = finish + usage_event(100, 1011, 1000) + done;
    return plan;
  };
  const auto load = rig.run(load_plan({in_flight(1, 3)})).at("loads").at(0);
  expect_all(load, "inter_token_ms", 10, 3);
  expect_all(load, "output_tokens_per_s_each", 1011 / 0.2, 3);
}

TEST(benchmark, goes_by_usage_where_a_chunk_holds_several_tokens) {
  benchmark_rig rig;
  rig.add().plan = [](const exchange_call&) {
    exchange_plan plan = stream_plan(40ms, 6);
    plan.body.back().second = finish + usage_event(100, 21) + done;
    return plan;
  };
  const auto load = rig.run(load_plan({in_flight(2, 4)})).at("loads").at(0);
  expect_all(load, "inter_token_ms", 10, 4);
  expect_all(load, "inter_chunk_ms", 40, 20);
}

TEST(benchmark, keeps_connecting_apart) {
  benchmark_rig rig;
  rig.add().plan = [](const exchange_call& call) {
    exchange_plan plan = stream_plan();
    if (call.number < 2) plan.connecting = 300ms;
    return plan;
  };
  const auto load = rig.run(load_plan({in_flight(1, 10)})).at("loads").at(0);
  expect_all(load, "connect_ms", 300, 2);
  expect_all(load, "ttft_ms", 100, 10);
  expect_all(load, "latency_ms", 200, 10);
}

TEST(benchmark, has_no_times_of_tokens_for_a_reply_in_one_piece) {
  benchmark_rig rig;
  rig.add().plan = [](const exchange_call&) {
    exchange_plan plan;
    plan.before_head = 50ms;
    plan.head.status = 200;
    plan.head.fields.add("Content-Type", "application/json");
    plan.body.emplace_back(
        0ms, R"({"choices":[{"index":0,"message":{"role":"assistant","content":"a"},)"
             R"("finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":2}})");
    return plan;
  };
  const auto load = rig.run(load_plan({in_flight(1, 3)})).at("loads").at(0);
  EXPECT_EQ(load.at("succeeded"), 3);
  EXPECT_TRUE(load.at("ttft_ms").is_null());
  EXPECT_TRUE(load.at("inter_token_ms").is_null());
  expect_all(load, "latency_ms", 50, 3);
}

TEST(benchmark, keeps_as_many_in_flight_as_the_load_says) {
  benchmark_rig rig;
  auto& relay = rig.add();
  const auto told = rig.run(load_plan({in_flight(1, 5), in_flight(8, 40), in_flight(3, 9)}));
  EXPECT_EQ(relay.calls.size(), 54U);
  EXPECT_EQ(relay.most_in_flight, 8U);
  EXPECT_EQ(told.at("loads").size(), 3U);
  EXPECT_NEAR(told.at("loads").at(1).at("requests_per_s"), 40, 0.01);
}

TEST(benchmark, starts_by_the_schedule_whatever_becomes_of_the_rest) {
  benchmark_rig rig;
  auto& relay = rig.add();
  relay.plan = [](const exchange_call& call) {
    exchange_plan plan = stream_plan();
    if (call.number == 10) plan.body.front().first = 3s;
    return plan;
  };
  const auto load = rig.run(load_plan({at_rate(60, 30s)})).at("loads").at(0);
  ASSERT_EQ(relay.calls.size(), 30U);
  for (std::size_t i = 1; i < relay.calls.size(); ++i) {
    EXPECT_EQ(relay.calls[i].at - relay.calls[i - 1].at, 1s);
  }
  EXPECT_NEAR(load.at("asked_per_s"), 1, 0.001);
  EXPECT_NEAR(load.at("started_per_s"), 1, 0.001);
}

TEST(benchmark, leaves_nothing_out_that_waited_for_a_start) {
  // The limit allows 10 of 20 starts a minute, so half of the starts wait.
  benchmark_rig rig;
  rig.add(10);
  const auto load = rig.run(load_plan({at_rate(20, 120s)})).at("loads").at(0);
  expect_all(load, "latency_ms", 200, load.at("succeeded"));
  EXPECT_GT(load.at("latency_from_intended_ms").at("p99"), 30'000);
  EXPECT_GT(load.at("held_by_cap"), 0.5);
  EXPECT_EQ(load.at("most_in_60s"), 10);
}

TEST(benchmark, spreads_poisson_arrivals_alike_for_a_seed) {
  std::vector<time_point> first;
  for (int i = 0; i < 2; ++i) {
    benchmark_rig rig;
    auto& relay = rig.add();
    rig.run(load_plan({at_rate(600, 60s, arrival_kind::poisson)}));
    std::vector<time_point> times;
    for (const auto& call : relay.calls) times.push_back(call.at);
    EXPECT_NEAR(static_cast<double>(times.size()), 600, 100);
    if (i == 0) first = times;
    EXPECT_EQ(times, first);
  }
}

TEST(benchmark, starts_nothing_after_its_time_and_says_what_the_cap_held) {
  benchmark_rig rig;
  auto& relay = rig.add(20);
  load asked = in_flight(4, 0);
  asked.time = 30s;
  const auto load = rig.run(load_plan({asked})).at("loads").at(0);
  EXPECT_EQ(relay.calls.size(), 20U) << "one window";
  EXPECT_EQ(load.at("rpm"), 20);
  EXPECT_GT(load.at("held_by_cap"), 0.9);
  EXPECT_NEAR(load.at("duration_s"), 1, 0.01) << "of what was sent";
}

TEST(benchmark, does_not_measure_its_warm_up) {
  benchmark_rig rig;
  auto& relay = rig.add();
  relay.plan = [](const exchange_call& call) {
    exchange_plan plan = stream_plan();
    if (call.number < 5) plan.before_head = 10s;
    return plan;
  };
  load asked = in_flight(2, 10);
  asked.warmup = 5;
  const auto told = rig.run(load_plan({asked}));
  const auto& load = told.at("loads").at(0);
  EXPECT_EQ(relay.calls.size(), 15U);
  EXPECT_EQ(load.at("requests"), 10);
  EXPECT_EQ(load.at("warmup"), 5);
  expect_all(load, "latency_ms", 200, 10);
  EXPECT_EQ(load.at("cost_usd"), "0.000216");
  EXPECT_EQ(told.at("cost_usd"), "0.000324") << "which is paid for all the same";
}

TEST(benchmark, counts_failures_and_tries_none_again) {
  benchmark_rig rig;
  auto& relay = rig.add();
  relay.plan = [](const exchange_call& call) {
    if (call.number % 5 == 3) return error_plan(500, "out of order");
    if (call.number % 5 == 4) return error_plan(429, "too many");
    return stream_plan();
  };
  const auto load = rig.run(load_plan({in_flight(1, 20)})).at("loads").at(0);
  EXPECT_EQ(relay.calls.size(), 20U);
  EXPECT_EQ(load.at("succeeded"), 12);
  EXPECT_EQ(load.at("failed"), 8);
  EXPECT_EQ(load.at("throttled"), 4);
  EXPECT_EQ(load.at("errors"), ordered_json({{"429", 4}, {"500", 4}}));
  EXPECT_EQ(load.at("latency_ms").at("count"), 12);
  ASSERT_EQ(load.at("failures").size(), 8U);
  EXPECT_EQ(load.at("failures").at(0).at("error"), "500");
  EXPECT_THAT(std::string(load.at("failures").at(0).at("message")),
              testing::HasSubstr("out of order"));
}

TEST(benchmark, pauses_when_the_relay_asks_and_does_not_call_it_its_own_cap) {
  for (const int status : {429, 503}) {
    benchmark_rig rig;
    auto& relay = rig.add(1000);
    relay.plan = [status](const exchange_call& call) {
      if (call.number == 5) return error_plan(status, "slow down", {{"retry-after", "30"}});
      return stream_plan();
    };
    const auto load = rig.run(load_plan({in_flight(1, 10)})).at("loads").at(0);
    EXPECT_GE(relay.calls[6].at - relay.calls[5].at, 30s) << status;
    EXPECT_NEAR(load.at("held_by_cap"), 0, 0.001);
  }
}

TEST(benchmark, does_not_hammer_a_relay_that_refuses_all) {
  benchmark_rig rig;
  auto& relay = rig.add();
  relay.plan = [](const exchange_call& call) {
    return call.number < 30 ? stream_plan() : error_plan(429, "too many");
  };
  load endless = in_flight(4, 0);
  endless.time = 600s;
  const auto told = rig.run(load_plan({endless, in_flight(2, 500)}));
  EXPECT_EQ(told.at("loads").at(0).at("succeeded"), 30);
  EXPECT_LT(told.at("loads").at(0).at("throttled"), load_run::most_refusals + 30);
  EXPECT_NEAR(told.at("loads").at(1).at("throttled"), load_run::most_refusals, 2);
  EXPECT_THAT(std::string(told.at("loads").at(0).at("stopped")), testing::HasSubstr("429"));
  EXPECT_TRUE(told.at("stopped").is_null()) << "a later load may be within its limit";
}

// After many refusals, the benchmark stops using a target. In an earlier version, an answer that
// arrived later undid this, and the workers asked a closed gate without end.
TEST(benchmark, leaves_a_target_alone_whatever_still_comes) {
  benchmark_rig rig;
  auto& relay = rig.add();
  relay.plan = [](const exchange_call& call) {
    if (call.number > 0) return error_plan(429, "too many");
    exchange_plan slow = stream_plan();
    slow.before_head = 5s;
    return slow;
  };
  load asked = in_flight(60, 1000);
  const auto told = rig.run(load_plan({asked})).at("loads").at(0);
  EXPECT_EQ(told.at("succeeded"), 1);
  EXPECT_LT(told.at("failed"), 200);
  EXPECT_THAT(std::string(told.at("stopped")), testing::HasSubstr("429"));
}

TEST(benchmark, counts_starts_when_they_go_out_and_not_when_they_end) {
  benchmark_rig rig;
  auto& relay = rig.add(2);
  relay.plan = [](const exchange_call& call) {
    exchange_plan plan = stream_plan();
    if (call.number == 0) plan.body.front().first = 66s;
    return plan;
  };
  const auto load = rig.run(load_plan({in_flight(2, 4)})).at("loads").at(0);
  EXPECT_EQ(load.at("most_in_60s"), 2);
}

TEST(benchmark, tells_of_a_load_of_which_nothing_could_start) {
  benchmark_rig rig;
  rig.add(5);
  load first = in_flight(1, 5);
  load second = in_flight(2, 0);
  second.time = 2s;
  const auto told = rig.run(load_plan({first, second}));
  ASSERT_EQ(told.at("loads").size(), 2U);
  EXPECT_EQ(told.at("loads").at(1).at("requests"), 0);
  EXPECT_EQ(told.at("loads").at(1).at("never_started"), 2);
  EXPECT_EQ(told.at("loads").at(1).at("held_by_cap"), 1);
  EXPECT_TRUE(told.at("loads").at(1).at("requests_per_s").is_null());
}

TEST(benchmark, does_not_hide_starts_that_were_due_and_never_went_out) {
  benchmark_rig rig;
  rig.add(30);
  const auto load = rig.run(load_plan({at_rate(600, 6s)})).at("loads").at(0);
  EXPECT_EQ(load.at("succeeded"), 30);
  EXPECT_EQ(load.at("never_started"), 30);
  EXPECT_NEAR(load.at("started_per_s"), 5, 0.1);
  EXPECT_EQ(load.at("latency_from_intended_ms").at("count"), 60);
  EXPECT_GT(load.at("latency_from_intended_ms").at("p99"), 2500);
}

// The budget covers few requests at once, since the highest costs of those in flight are reserved.
TEST(benchmark, does_not_hide_starts_that_waited_for_the_budget) {
  benchmark_rig rig;
  auto& relay = rig.add();
  relay.plan = [](const exchange_call&) {
    exchange_plan plan = stream_plan();
    plan.before_head = 2s;
    return plan;
  };
  const auto told = rig.run(load_plan({at_rate(600, 6s)}), usd::parse("0.0005"));
  EXPECT_TRUE(told.at("stopped").is_null()) << "the budget is not used up";
  const auto& load = told.at("loads").at(0);
  ASSERT_GT(relay.calls.size(), 3U);
  ASSERT_LT(relay.calls.size(), 30U);
  EXPECT_EQ(load.at("succeeded"), relay.calls.size());
  EXPECT_EQ(load.at("never_started"), 60 - relay.calls.size());
  EXPECT_EQ(load.at("latency_from_intended_ms").at("count"), 60);
  EXPECT_GT(load.at("latency_from_intended_ms").at("p99"), 4500);
  EXPECT_NEAR(load.at("started_per_s"), static_cast<double>(relay.calls.size()) / 6, 0.01);
  EXPECT_GT(load.at("held_by_budget"), 0.5);
  EXPECT_EQ(load.at("held_by_cap"), 0);
}

TEST(benchmark, tells_that_the_budget_held_requests_in_flight_back) {
  benchmark_rig rig;
  auto& relay = rig.add();
  load asked = in_flight(16, 0);
  asked.time = 2s;
  const auto told = rig.run(load_plan({asked}), usd::parse("0.0015"));
  EXPECT_TRUE(told.at("stopped").is_null()) << "the budget is not used up";
  const auto& load = told.at("loads").at(0);
  EXPECT_EQ(load.at("succeeded"), relay.calls.size());
  EXPECT_GT(load.at("held_by_budget"), 0.2);
  EXPECT_GT(load.at("never_started"), 0);
}

TEST(benchmark, a_budget_that_is_large_enough_holds_nothing_back) {
  benchmark_rig rig;
  rig.add();
  const auto load = rig.run(load_plan({in_flight(4, 40)}), usd::parse("1")).at("loads").at(0);
  EXPECT_EQ(load.at("held_by_budget"), 0);
  EXPECT_EQ(load.at("never_started"), 0);
}

// The first start finds that the budget does not cover it. It waited for nothing.
TEST(benchmark, a_budget_of_nothing_makes_no_latencies) {
  benchmark_rig rig;
  rig.add();
  const auto load =
      rig.run(load_plan({at_rate(600, 6s)}), usd::parse("0.000001")).at("loads").at(0);
  EXPECT_EQ(load.at("never_started"), 0);
  EXPECT_TRUE(load.at("latency_from_intended_ms").is_null());
}

TEST(benchmark, keeps_the_times_of_failures_out) {
  benchmark_rig rig;
  rig.add().plan = [](const exchange_call& call) {
    exchange_plan plan = stream_plan();
    if (call.number % 2 == 0) return plan;
    plan.connecting = 70ms;
    plan.body.resize(6);
    for (auto& [after, piece] : plan.body) after = 300ms;
    plan.end = exchange_end::how::broken;
    return plan;
  };
  const auto load = rig.run(load_plan({in_flight(1, 8)})).at("loads").at(0);
  EXPECT_EQ(load.at("failed"), 4);
  expect_all(load, "inter_chunk_ms", 10, 40);
  EXPECT_TRUE(load.at("connect_ms").is_null());
}

TEST(benchmark, holds_a_pause_of_earlier_runs_against_the_relay) {
  benchmark_rig rig;
  rig.add(1000);
  rig.places.back().gate->pause(rig.time.now() + 30s);
  const auto load = rig.run(load_plan({in_flight(1, 3)})).at("loads").at(0);
  EXPECT_NEAR(load.at("held_by_cap"), 0, 0.001);
}

TEST(benchmark, does_not_hold_what_was_broken_off_against_the_relay) {
  benchmark_rig rig;
  auto& relay = rig.add();
  relay.plan = [](const exchange_call& call) {
    exchange_plan plan = stream_plan();
    if (call.number >= 10) plan.before_head = 600s;
    return plan;
  };
  const auto told = rig.run(
      load_plan({in_flight(5, 1000)}), {},
      [](benchmark& running) {
        running.stop("interrupted");
        running.abort();
      },
      2s);
  EXPECT_EQ(told.at("loads").at(0).at("succeeded"), 10);
  EXPECT_EQ(told.at("loads").at(0).at("failed"), 0);
}

TEST(benchmark, tells_slow_rates_in_six_digits) {
  benchmark_rig rig;
  rig.add();
  const auto load = rig.run(load_plan({at_rate(1, 200s)})).at("loads").at(0);
  EXPECT_NEAR(load.at("asked_per_s"), 1.0 / 60, 1e-7);
  EXPECT_NEAR(load.at("started_per_s"), 1.0 / 60, 1e-6);
}

TEST(benchmark, gives_up_a_target_that_cannot_be_reached) {
  benchmark_rig rig;
  auto& relay = rig.add();
  relay.plan = [](const exchange_call&) { return unreachable_plan(); };
  const auto told = rig.run(load_plan({in_flight(1, 50), in_flight(2, 50)}));
  EXPECT_EQ(relay.calls.size(), 3U);
  EXPECT_THAT(std::string(told.at("stopped")), testing::HasSubstr("cannot be reached"));
  EXPECT_EQ(told.at("loads").size(), 1U);
  EXPECT_EQ(told.at("loads").at(0).at("failed"), 3);
}

TEST(benchmark, gives_up_where_every_request_is_refused_alike) {
  for (const auto& [status, words] :
       {std::pair(404, "The model `gpt-x` does not exist"), {401, "Incorrect API key provided"}}) {
    benchmark_rig rig;
    auto& relay = rig.add();
    relay.plan = [status = status, words = words](const exchange_call&) {
      return error_plan(status, words);
    };
    const auto told = rig.run(load_plan({in_flight(1, 50)}));
    EXPECT_LE(relay.calls.size(), 3U) << words;
    EXPECT_THAT(std::string(told.at("stopped")), testing::HasSubstr(words));
  }
}

TEST(benchmark, goes_on_with_the_targets_that_are_left) {
  benchmark_rig rig;
  rig.add(0, "blue");
  rig.add(0, "green").plan = [](const exchange_call&) { return unreachable_plan(); };
  const auto told = rig.run(load_plan({in_flight(2, 20), in_flight(4, 20)}));
  ASSERT_EQ(told.at("targets").size(), 2U);
  const auto& blue = told.at("targets").at(0);
  const auto& green = told.at("targets").at(1);
  EXPECT_EQ(blue.at("name"), "blue");
  EXPECT_TRUE(blue.at("stopped").is_null());
  EXPECT_EQ(blue.at("loads").at(1).at("succeeded"), 20);
  EXPECT_TRUE(green.at("stopped").is_string());
  EXPECT_EQ(green.at("loads").size(), 1U);
}

TEST(benchmark, has_targets_take_turns) {
  benchmark_rig rig;
  auto& blue = rig.add(0, "blue");
  auto& green = rig.add(0, "green");
  rig.run(load_plan({at_rate(60, 30s)}));
  ASSERT_EQ(blue.calls.size(), 30U);
  ASSERT_EQ(green.calls.size(), 30U);
  for (std::size_t i = 0; i < 30; ++i) EXPECT_EQ(green.calls[i].at - blue.calls[i].at, 500ms);
}

TEST(benchmark, never_spends_more_than_its_budget) {
  benchmark_rig rig;
  auto& relay = rig.add();
  const auto budget = usd::parse("0.001");
  const auto told = rig.run(load_plan({in_flight(4, 1000)}), budget);
  EXPECT_GT(relay.calls.size(), 10U);
  EXPECT_LE(*usd::parse(std::string(told.at("cost_usd"))), *budget);
  EXPECT_THAT(std::string(told.at("stopped")), testing::HasSubstr("budget of 0.001 USD"));
  EXPECT_EQ(told.at("loads").at(0).at("succeeded"), relay.calls.size()) << "all of it is told";
}

TEST(benchmark, takes_no_request_under_a_budget_that_has_no_price) {
  benchmark_rig rig;
  rig.prices = relay_prices();
  rig.add();
  EXPECT_THROW(rig.run(load_plan({in_flight(1, 1)}), usd::parse("1")), fatal_error);
}

TEST(benchmark, tells_what_it_has_when_it_is_stopped) {
  benchmark_rig rig;
  auto& relay = rig.add();
  const auto told = rig.run(
      load_plan({in_flight(2, 1000), in_flight(4, 1000)}), {},
      [](benchmark& running) { running.stop("interrupted"); }, 1050ms);
  EXPECT_EQ(relay.calls.size(), 12U);
  EXPECT_EQ(told.at("stopped"), "interrupted");
  EXPECT_EQ(told.at("loads").size(), 1U);
  EXPECT_EQ(told.at("loads").at(0).at("succeeded"), 12);
}

TEST(benchmark, sweeps_until_throughput_no_longer_grows) {
  benchmark_rig rig;
  auto& relay = rig.add();
  relay.plan = [&relay](const exchange_call&) {
    // The relay serves four requests at once. With more in flight, each takes longer in proportion.
    exchange_plan plan = stream_plan();
    if (relay.in_flight > 4) plan.before_head = 50ms * relay.in_flight;
    return plan;
  };
  load first = in_flight(1, 0);
  first.time = 20s;
  const auto told = rig.run(load_plan::sweep(first, 256));
  std::vector<unsigned> tried;
  for (const auto& load : told.at("loads")) tried.push_back(load.at("concurrency"));
  EXPECT_EQ(tried, (std::vector<unsigned>{1, 2, 4, 8}));
  EXPECT_EQ(rig.why_sweep_ended, "throughput no longer grows");
}

TEST(benchmark, ends_a_sweep_that_the_relay_refuses) {
  benchmark_rig rig;
  auto& relay = rig.add();
  relay.plan = [](const exchange_call& call) {
    return call.number < 30 ? stream_plan() : error_plan(429, "too many");
  };
  load first = in_flight(4, 0);
  first.time = 600s;
  const auto told = rig.run(load_plan::sweep(first, 256));
  EXPECT_EQ(told.at("loads").size(), 1U);
  EXPECT_LT(relay.calls.size(), 2 * load_run::most_refusals);
  EXPECT_THAT(rig.why_sweep_ended, testing::HasSubstr("429"));
}

TEST(benchmark, names_the_slowest_first) {
  benchmark_rig rig;
  auto& relay = rig.add();
  relay.plan = [](const exchange_call& call) {
    exchange_plan plan = stream_plan();
    plan.before_head = 10ms * ((call.number * 7) % 30);
    return plan;
  };
  const auto slowest = rig.run(load_plan({in_flight(1, 30)})).at("loads").at(0).at("slowest");
  ASSERT_EQ(slowest.size(), 10U);
  for (std::size_t i = 0; i < slowest.size(); ++i) {
    EXPECT_NEAR(slowest.at(i).at("latency_ms"), 150 + 290 - 10.0 * static_cast<double>(i), 0.01);
  }
  EXPECT_EQ(slowest.at(0).at("completion_tokens"), 11);
}

TEST(benchmark, tells_what_happened_when) {
  benchmark_rig rig;
  rig.add();
  const auto line = rig.run(load_plan({at_rate(120, 10s)})).at("loads").at(0).at("timeline");
  EXPECT_EQ(line.at("step_s"), 1);
  EXPECT_EQ(line.at("started"), ordered_json(std::vector<int>(10, 2)));
  EXPECT_EQ(line.at("succeeded"), ordered_json(std::vector<int>(10, 2)));
  EXPECT_EQ(line.at("output_tokens"), ordered_json(std::vector<int>(10, 22)));
  for (const double in_flight : line.at("in_flight")) EXPECT_NEAR(in_flight, 0.4, 0.001);
}

}  // namespace
}  // namespace sluice::bench
