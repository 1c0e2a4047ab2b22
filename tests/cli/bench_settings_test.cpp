#include "cli/settings/bench_settings.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "sluice/error.hpp"

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

// The settings that these flags give. Each flag is a name and a value.
bench_settings given(const std::vector<std::pair<std::string, std::string>>& words) {
  bench_settings chosen;
  const auto table = bench_flags(chosen);
  for (const auto& [name, value] : words) {
    const auto entry = std::find_if(table.rbegin(), table.rend(),
                                    [&](const setting& one) { return one.name == name; });
    EXPECT_NE(entry, table.rend()) << name;
    entry->apply(value);
  }
  return chosen;
}

std::vector<bench::load> loads(bench::load_plan plan) {
  std::vector<bench::load> list;
  while (auto next = plan.next()) list.push_back(*next);
  return list;
}

std::string refused(const std::function<void()>& act) {
  try {
    act();
  } catch (const fatal_error& fault) {
    return fault.what();
  }
  return {};
}

TEST(bench_plan, has_a_load_for_each_number) {
  const auto closed = loads(plan_of(given({{"concurrency", "1,32"}})));
  ASSERT_EQ(closed.size(), 2U);
  EXPECT_EQ(closed[0].concurrency, 1U);
  EXPECT_EQ(closed[0].requests, 20U);
  EXPECT_EQ(closed[1].requests, 96U);
  const auto open =
      loads(plan_of(given({{"rate", "30,7.5"}, {"rate-kind", "poisson"}, {"duration", "2m"}})));
  ASSERT_EQ(open.size(), 2U);
  EXPECT_EQ(open[1].rate, 7.5);
  EXPECT_EQ(open[1].arrivals, bench::arrival_kind::poisson);
  EXPECT_EQ(open[1].time, 2min);
  EXPECT_EQ(open[1].requests, 0U);
}

TEST(bench_plan, is_eight_in_flight_where_nothing_is_said) {
  const auto usual = loads(plan_of(given({})));
  ASSERT_EQ(usual.size(), 1U);
  EXPECT_EQ(usual[0].concurrency, 8U);
  EXPECT_EQ(usual[0].requests, 24U);
}

TEST(bench_plan, is_as_many_as_the_limit_allows_where_only_a_time_is_said) {
  const auto by_time = loads(plan_of(given({{"duration", "1m"}, {"warmup", "5"}})));
  ASSERT_EQ(by_time.size(), 1U);
  EXPECT_EQ(by_time[0].concurrency, 64U);
  EXPECT_EQ(by_time[0].time, 1min);
  EXPECT_EQ(by_time[0].warmup, 5U);
}

TEST(bench_plan, is_empty_for_a_search) {
  EXPECT_TRUE(loads(plan_of(given({{"find-limit", "true"}}))).empty());
}

TEST(bench_plan, refuses_loads_of_two_kinds) {
  EXPECT_THAT(refused([] {
                plan_of(given({{"rate", "5"}, {"concurrency", "2"}}));
              }),
              HasSubstr("two kinds of load"));
  EXPECT_THAT(refused([] { plan_of(given({{"rate-kind", "poisson"}})); }), HasSubstr("--rate"));
  EXPECT_THAT(refused([] {
                plan_of(given({{"find-limit", "true"}, {"sweep", "true"}}));
              }),
              HasSubstr("chooses its own load"));
  EXPECT_THAT(refused([] {
                plan_of(given({{"find-limit", "true"}, {"duration", "5s"}}));
              }),
              HasSubstr("chooses its own load"));
  EXPECT_THAT(refused([] {
                plan_of(given({{"sweep", "true"}, {"concurrency", "8,4"}}));
              }),
              HasSubstr("from A up to B"));
  EXPECT_THROW(given({{"rate", "1e-10"}}), bad_setting);
}

TEST(bench_targets, take_the_place_of_the_pool) {
  bench_settings chosen = given({{"target", "blue=https://blue.example"}, {"target", "green"}});
  auto& pool = chosen.query.run.engine.pool;
  for (const char* name : {"red", "green"}) {
    relay_member& member = pool.emplace_back();
    member.name = name;
    member.relay.base_url = "https://elsewhere.example";
    chosen.query.run.pool_keys.push_back({.variable = "THE_KEY", .file = {}});
  }
  use_targets(chosen);
  ASSERT_EQ(pool.size(), 2U);
  EXPECT_EQ(pool[0].name, "blue");
  EXPECT_EQ(pool[0].relay.base_url, "https://blue.example");
  EXPECT_EQ(chosen.query.run.pool_keys[0].variable, "") << "BLUE_API_KEY is not set";
  EXPECT_EQ(pool[1].relay.base_url, "https://elsewhere.example");
  EXPECT_EQ(chosen.query.run.pool_keys[1].variable, "THE_KEY");
}

TEST(bench_targets, refuse_what_names_no_relay) {
  for (const auto& [target, part] :
       {std::pair("=https://x", "has no name"), {"bleu", "did you mean 'blue'"}}) {
    bench_settings chosen = given({{"target", target}});
    chosen.query.run.engine.pool.emplace_back().name = "blue";
    chosen.query.run.pool_keys.emplace_back();
    EXPECT_THAT(refused([&] { use_targets(chosen); }), HasSubstr(part));
  }
}

}  // namespace
}  // namespace sluice::cli
