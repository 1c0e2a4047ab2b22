#include "loadtest/load_plan.hpp"

#include <gtest/gtest.h>

#include "loadtest/arrivals.hpp"

namespace sluice::bench {
namespace {

using outcomes = std::vector<load_plan::outcome>;

load closed(unsigned concurrency) {
  load made;
  made.concurrency = concurrency;
  return made;
}

TEST(load_plan, goes_through_a_list) {
  load_plan plan({closed(3), closed(1)});
  EXPECT_EQ(plan.size(), 2U);
  EXPECT_EQ(plan.next()->concurrency, 3U);
  plan.ended(outcomes{{1, true}});
  EXPECT_EQ(plan.next()->concurrency, 1U);
  plan.ended(outcomes{{0.5, true}});
  EXPECT_FALSE(plan.next());
  EXPECT_EQ(plan.why(), "");
}

// The loads of a sweep. The n-th load ends with the n-th outcomes.
std::vector<double> swept(load_plan plan, const std::vector<outcomes>& each, std::string& why) {
  std::vector<double> tried;
  for (const auto& ended : each) {
    const auto next = plan.next();
    if (!next) break;
    tried.push_back(next->open() ? next->rate : next->concurrency);
    plan.ended(ended);
  }
  EXPECT_FALSE(plan.next());
  why = plan.why();
  return tried;
}

TEST(load_plan, sweeps_while_throughput_grows) {
  std::string why;
  EXPECT_EQ(swept(load_plan::sweep(closed(1), 256),
                  {{{1, false}}, {{2, false}}, {{3, false}}, {{3.1, false}}, {{9, false}}}, why),
            (std::vector<double>{1, 2, 4, 8}));
  EXPECT_EQ(why, "throughput no longer grows");
}

TEST(load_plan, sweeps_while_it_grows_for_any_target) {
  std::string why;
  EXPECT_EQ(
      swept(load_plan::sweep(closed(1), 256),
            {{{1, false}, {5, false}}, {{2, false}, {5, false}}, {{2, false}, {5, false}}}, why),
      (std::vector<double>{1, 2, 4}));
}

TEST(load_plan, ends_a_sweep_in_which_nothing_succeeds) {
  std::string why;
  EXPECT_EQ(swept(load_plan::sweep(closed(1), 256), {{{0, false}}}, why), (std::vector<double>{1}));
  EXPECT_EQ(why, "no request succeeded");
  EXPECT_EQ(swept(load_plan::sweep(closed(1), 256),
                  {{{1, false}, {0, false}}, {{0, false}, {0, false}}}, why),
            (std::vector<double>{1, 2}));
  EXPECT_EQ(why, "no request succeeded");
}

TEST(load_plan, sweeps_on_if_one_of_the_targets_fails_or_refuses) {
  std::string why;
  EXPECT_EQ(
      swept(load_plan::sweep(closed(1), 256),
            {{{0, false}, {1, false}}, {{0, false}, {2, false}}, {{0, false}, {2, false}}}, why),
      (std::vector<double>{1, 2, 4}));
  EXPECT_EQ(why, "throughput no longer grows");
  EXPECT_EQ(swept(load_plan::sweep(closed(1), 256),
                  {{{1, false, false, true}, {1, false}},
                   {{2, false, false, true}, {2, false, false, true}}},
                  why),
            (std::vector<double>{1, 2}));
  EXPECT_EQ(why, "the relay refused the load as too many requests (429)");
}

TEST(load_plan, sweeps_no_further_than_it_may) {
  std::string why;
  EXPECT_EQ(swept(load_plan::sweep(closed(2), 6), {{{1, false}}, {{2, false}}, {{4, false}}}, why),
            (std::vector<double>{2, 4, 6}));
  EXPECT_EQ(why, "the greatest load that was asked for is reached");
}

TEST(load_plan, ends_a_sweep_that_the_own_cap_or_the_budget_holds) {
  std::string why;
  load open;
  open.rate = 60;
  EXPECT_EQ(swept(load_plan::sweep(open, 6000), {{{1, false}}, {{2, false}}, {{3, true}}}, why),
            (std::vector<double>{60, 120, 240}));
  EXPECT_EQ(why, "sluice's own cap held it");
  EXPECT_EQ(swept(load_plan::sweep(open, 6000), {{{1, false}}, {{2, false, true}}}, why),
            (std::vector<double>{60, 120}));
  EXPECT_EQ(why, "the budget held it");
}

TEST(arrivals, are_even) {
  arrivals schedule(120, arrival_kind::even, 1);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(schedule.next(), std::chrono::milliseconds(500) * i);
}

TEST(arrivals, come_as_a_poisson_process) {
  arrivals schedule(600, arrival_kind::poisson, 1);
  constexpr int many = 100'000;
  double last = 0;
  double squares = 0;
  for (int i = 0; i < many; ++i) {
    const double at = std::chrono::duration<double>(schedule.next()).count();
    ASSERT_GE(at, last);
    squares += (at - last) * (at - last);
    last = at;
  }
  EXPECT_NEAR(last / many, 0.1, 0.002);
  EXPECT_NEAR(squares / many, 0.02, 0.001) << "of an exponential: twice the square of its mean";
}

}  // namespace
}  // namespace sluice::bench
