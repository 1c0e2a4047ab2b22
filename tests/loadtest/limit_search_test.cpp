#include "loadtest/find_limit/limit_search.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "loadtest/benchmark_rig.hpp"
#include "support/relay_models.hpp"

namespace sluice::bench {
namespace {

using namespace test;
using nlohmann::ordered_json;
using sluice::test::admission;

// A search at one relay that accepts requests according to `admits`.
struct search_rig : benchmark_rig {
  ordered_json search(admission admits, unsigned ceiling = 300, std::optional<usd> budget = {},
                      limit_store* window = nullptr) {
    fake_client& relay = add(ceiling);
    relay.plan = [&relay, admits = std::move(admits), this](const exchange_call&) {
      if (stopper) stopper(relay.calls.size());
      return admits(time.now()) ? stream_plan(1ms, 1) : error_plan(429, "too many");
    };
    target& of = *places.back().measured;
    spending money(prices, budget);
    limit_search::options chosen;
    chosen.finder.ceiling = ceiling;
    chosen.max_wait = 10min;
    chosen.window = window;
    chosen.window_margin = 1s;
    limit_search searched(loop.get_executor(), time, of, money, chosen);
    stop_now = [&searched] { searched.stop("interrupted"); };
    bool ended = false;
    boost::asio::co_spawn(loop, searched.run(), [&](const std::exception_ptr& thrown) {
      EXPECT_FALSE(thrown);
      ended = true;
    });
    sluice::test::run_virtual(loop, time, [&] { return ended; });
    EXPECT_TRUE(ended) << "the search hangs";
    EXPECT_EQ(time.calls_to_come(), 0U);
    EXPECT_EQ(relay.in_flight, 0U);
    EXPECT_EQ(searched.requests(), relay.calls.size());
    return searched.to_json();
  }

  std::function<void()> stop_now;
  std::function<void(std::size_t calls)> stopper;
};

TEST(limit_search, finds_each_way_to_count) {
  struct row {
    const char* kind;
    admission admits;
  };
  for (const auto& [kind, admits] : {row{"sliding", sluice::test::sliding_window(60)},
                                     row{"fixed", sluice::test::fixed_window(60, 20s)},
                                     row{"bucket", sluice::test::token_bucket(60, 60)},
                                     row{"leaky", sluice::test::leaky_bucket(1s)}}) {
    search_rig rig;
    const auto told = rig.search(admits);
    EXPECT_EQ(told.at("kind"), kind);
    EXPECT_NEAR(told.at("rpm"), 60, 1.2) << kind;
    EXPECT_LE(told.at("refused"), 30) << kind;
    EXPECT_EQ(told.at("cost_usd").is_string(), true);
  }
}

TEST(limit_search, stops_at_its_ceiling) {
  search_rig rig;
  const auto told = rig.search([](time_point) { return true; }, 40);
  EXPECT_EQ(told.at("kind"), "none_found");
  EXPECT_EQ(told.at("refused"), 0);
  EXPECT_EQ(told.at("burst"), 40);
  EXPECT_EQ(told.at("at_least"), 20) << "a bucket that was full has given two minutes' share";
  EXPECT_LE(rig.places.back().gate->now().most_in_a_minute, 40U);
}

TEST(limit_search, keeps_to_its_budget_and_says_what_it_knows) {
  search_rig rig;
  const auto told = rig.search(sluice::test::sliding_window(100), 300, usd::parse("0.0005"));
  EXPECT_THAT(std::string(told.at("stopped")), testing::HasSubstr("budget of 0.0005 USD"));
  EXPECT_NE(told.at("kind"), "sliding");
  EXPECT_LE(*usd::parse(std::string(told.at("cost_usd"))), *usd::parse("0.0005"));
}

TEST(limit_search, waits_until_earlier_starts_no_longer_count) {
  search_rig rig;
  limit_store window;
  rate_limiter earlier({200, 1s, pacing::burst, 0, &window});
  const auto begin = rig.time.now();
  const auto slot = earlier.try_start(begin);
  ASSERT_TRUE(slot);
  earlier.sent(*slot, begin);
  earlier.answered(*slot, begin);
  rig.search([](time_point) { return true; }, 20, {}, &window);
  EXPECT_GE(rig.places.back().client.calls.front().at - begin, 60s);
}

// A search may wait for money that calls of the other search hold. In an earlier version, only
// calls of the same search woke it.
TEST(limit_search, shares_its_budget_with_others) {
  benchmark_rig rig;
  for (const char* name : {"blue", "green"}) {
    rig.add(300, name).plan = [](const exchange_call& call) {
      exchange_plan plan = stream_plan(1ms, 1);
      plan.before_head = 50ms + 7ms * call.number;
      return plan;
    };
  }
  spending money(rig.prices, usd::parse("0.0005"));
  std::deque<limit_search> searches;
  std::size_t ended = 0;
  for (auto& place : rig.places) {
    searches.emplace_back(rig.loop.get_executor(), rig.time, *place.measured, money,
                          limit_search::options{});
    boost::asio::co_spawn(rig.loop, searches.back().run(),
                          [&](const std::exception_ptr&) { ++ended; });
  }
  sluice::test::run_virtual(rig.loop, rig.time, [&] { return ended == 2; });
  EXPECT_EQ(ended, 2U) << "one of them hangs";
  for (const auto& search : searches) {
    EXPECT_THAT(search.why_stopped(), testing::HasSubstr("budget of 0.0005 USD"));
  }
}

TEST(limit_search, ends_where_the_key_is_refused) {
  search_rig rig;
  auto& relay = rig.add(300);
  relay.plan = [](const exchange_call&) { return error_plan(401, "Incorrect API key provided"); };
  target& of = *rig.places.back().measured;
  spending money(rig.prices, {});
  limit_search::options chosen;
  chosen.finder.concurrency = 1;
  limit_search searched(rig.loop.get_executor(), rig.time, of, money, chosen);
  bool ended = false;
  boost::asio::co_spawn(rig.loop, searched.run(), [&](const std::exception_ptr&) { ended = true; });
  sluice::test::run_virtual(rig.loop, rig.time, [&] { return ended; });
  EXPECT_LE(relay.calls.size(), 3U);
  ASSERT_TRUE(of.stopped);
  EXPECT_THAT(of.stopped->sentence, testing::HasSubstr("Incorrect API key"));
}

TEST(limit_search, tells_what_it_knows_when_it_is_stopped) {
  search_rig rig;
  rig.stopper = [&rig](std::size_t calls) {
    if (calls == 30) rig.stop_now();
  };
  const auto told = rig.search(sluice::test::sliding_window(100));
  EXPECT_EQ(told.at("stopped"), "interrupted");
  EXPECT_LE(told.at("requests"), 31);
}

}  // namespace
}  // namespace sluice::bench
