#include "base/ordered_tasks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <stdexcept>
#include <thread>
#include <vector>

namespace sluice {
namespace {

using testing::ElementsAre;

TEST(ordered_tasks, results_come_in_the_order_of_the_inputs) {
  std::promise<void> second_is_done;
  const auto done = second_is_done.get_future().share();
  std::vector<int> taken;
  ordered_tasks<int, int> tasks(
      2,
      [&](int n) {
        if (n == 1) done.wait();  // the first one ends after the second one
        if (n == 2) second_is_done.set_value();
        return n * 10;
      },
      [&](int result) { taken.push_back(result); });
  for (const int n : {1, 2, 3}) tasks.add(n);
  tasks.finish();
  EXPECT_THAT(taken, ElementsAre(10, 20, 30));
}

TEST(ordered_tasks, a_single_input_needs_no_thread) {
  std::thread::id worker;
  ordered_tasks<int, int> tasks(
      2,
      [&](int n) {
        worker = std::this_thread::get_id();
        return n;
      },
      [](int) {});
  tasks.add(1);
  tasks.finish();
  EXPECT_EQ(worker, std::this_thread::get_id());
}

TEST(ordered_tasks, nothing_is_taken_without_an_input) {
  bool taken = false;
  ordered_tasks<int, int> tasks(
      2, [](int n) { return n; }, [&](int) { taken = true; });
  tasks.finish();
  EXPECT_FALSE(taken);
}

TEST(ordered_tasks, few_inputs_are_ahead_of_the_results) {
  std::atomic<int> begun = 0;
  int taken = 0;
  int most_ahead = 0;
  ordered_tasks<int, int> tasks(
      3,
      [&](int n) {
        ++begun;
        return n;
      },
      [&](int) { ++taken; });
  for (int n = 0; n < 1000; ++n) {
    tasks.add(n);
    most_ahead = std::max(most_ahead, begun.load() - taken);
  }
  tasks.finish();
  EXPECT_EQ(taken, 1000);
  EXPECT_LE(most_ahead, 7);
}

TEST(ordered_tasks, an_exception_of_the_work_comes_after_the_results_before_it) {
  std::vector<int> taken;
  ordered_tasks<int, int> tasks(
      2,
      [](int n) {
        if (n == 3) throw std::runtime_error("three");
        return n;
      },
      [&](int result) { taken.push_back(result); });
  EXPECT_THROW(
      {
        for (int n = 1; n <= 9; ++n) tasks.add(n);
        tasks.finish();
      },
      std::runtime_error);
  EXPECT_THAT(taken, ElementsAre(1, 2));
}

TEST(ordered_tasks, an_exception_of_take_ends_the_tasks_that_have_begun) {
  std::atomic<int> at_work = 0;
  {
    ordered_tasks<int, int> tasks(
        2,
        [&](int n) {
          ++at_work;
          std::this_thread::yield();
          --at_work;
          return n;
        },
        [](int) { throw std::runtime_error("refused"); });
    EXPECT_THROW(
        {
          for (int n = 0; n < 9; ++n) tasks.add(n);
        },
        std::runtime_error);
  }
  EXPECT_EQ(at_work, 0);
}

}  // namespace
}  // namespace sluice
