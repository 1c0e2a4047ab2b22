#include "engine/job_queue.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <thread>
#include <vector>

namespace sluice {
namespace {

namespace asio = boost::asio;

request numbered(std::uint64_t line) {
  request made;
  made.line = line;
  return made;
}

struct job_queue_test : testing::Test {
  asio::io_context loop{1};
  std::vector<std::uint64_t> taken;
  int ended = 0;

  // Starts a coroutine that takes requests until there are no more.
  void add_worker(job_queue& queue) {
    asio::co_spawn(
        loop,
        [this, &queue]() -> asio::awaitable<void> {
          request next;
          while (co_await queue.pop(next)) taken.push_back(next.line);
          ++ended;
        },
        asio::detached);
  }
};

TEST_F(job_queue_test, gives_requests_in_order_and_drains_when_finished) {
  job_queue queue(loop.get_executor(), 100);
  for (std::uint64_t line = 1; line <= 50; ++line) EXPECT_TRUE(queue.push(numbered(line)));
  EXPECT_FALSE(queue.drained());
  queue.finish();
  for (int i = 0; i < 3; ++i) add_worker(queue);
  loop.run();
  EXPECT_EQ(ended, 3);
  ASSERT_EQ(taken.size(), 50U);
  for (std::uint64_t line = 1; line <= 50; ++line) EXPECT_EQ(taken[line - 1], line);
  EXPECT_TRUE(queue.drained());
}

TEST_F(job_queue_test, finish_wakes_waiting_workers) {
  job_queue queue(loop.get_executor(), 8);
  for (int i = 0; i < 4; ++i) add_worker(queue);
  loop.poll();
  EXPECT_EQ(ended, 0);
  std::jthread reader([&] { queue.finish(); });
  loop.run();
  EXPECT_EQ(ended, 4);
}

TEST_F(job_queue_test, its_size_is_bounded) {
  job_queue queue(loop.get_executor(), 16);
  std::atomic<int> pushed{0};
  std::jthread reader([&] {
    for (std::uint64_t line = 1; line <= 1000; ++line) {
      if (!queue.push(numbered(line))) return;
      ++pushed;
    }
    queue.finish();
  });
  while (pushed.load() < 16) std::this_thread::yield();
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();
  EXPECT_EQ(pushed.load(), 16) << "no request was taken yet";
  int most_ahead = 0;
  asio::co_spawn(
      loop,
      [&]() -> asio::awaitable<void> {
        request next;
        while (co_await queue.pop(next)) {
          ++ended;
          most_ahead = std::max(most_ahead, pushed.load() - ended);
        }
      },
      asio::detached);
  loop.run();
  EXPECT_EQ(ended, 1000);
  EXPECT_LE(most_ahead, 16);
}

TEST_F(job_queue_test, close_ends_the_reader_and_the_workers) {
  job_queue queue(loop.get_executor(), 4);
  std::atomic<int> pushed{0};
  std::atomic<bool> refused{false};
  std::jthread reader([&] {
    for (;;) {
      if (!queue.push(numbered(1))) break;
      ++pushed;
    }
    refused = true;
    queue.finish();
  });
  while (pushed.load() < 4) std::this_thread::yield();
  queue.close();
  reader.join();
  EXPECT_TRUE(refused.load());
  add_worker(queue);
  loop.run();
  EXPECT_EQ(ended, 1);
  EXPECT_TRUE(taken.empty()) << "a closed queue gives no requests";
}

TEST_F(job_queue_test, close_wakes_waiting_workers) {
  job_queue queue(loop.get_executor(), 4);
  add_worker(queue);
  add_worker(queue);
  loop.poll();
  queue.close();
  loop.run();
  EXPECT_EQ(ended, 2);
}

TEST_F(job_queue_test, works_with_one_reader_and_many_workers) {
  constexpr std::uint64_t count = 100'000;
  for (const std::size_t capacity : {1U, 3U, 64U, 1024U}) {
    taken.clear();
    ended = 0;
    loop.restart();
    job_queue queue(loop.get_executor(), capacity);
    std::jthread reader([&] {
      for (std::uint64_t line = 1; line <= count; ++line) {
        if (!queue.push(numbered(line))) return;
        if (line % 997 == 0)
          std::this_thread::yield();  // let the queue become empty, so that workers park
      }
      queue.finish();
    });
    for (int i = 0; i < 16; ++i) add_worker(queue);
    loop.run();
    EXPECT_EQ(ended, 16);
    ASSERT_EQ(taken.size(), count) << capacity;
    std::uint64_t sum = 0;
    for (const auto line : taken) sum += line;
    EXPECT_EQ(sum, count * (count + 1) / 2) << capacity;
  }
}

TEST_F(job_queue_test, can_be_closed_at_any_moment) {
  for (int round = 0; round < 200; ++round) {
    loop.restart();
    ended = 0;
    job_queue queue(loop.get_executor(), 8);
    std::jthread reader([&] {
      for (std::uint64_t line = 1; queue.push(numbered(line)); ++line) {
      }
      queue.finish();
    });
    for (int i = 0; i < 4; ++i) add_worker(queue);
    for (int i = 0; i < round; ++i) loop.poll_one();
    queue.close();
    reader.join();
    loop.run();
    EXPECT_EQ(ended, 4);
  }
}

}  // namespace
}  // namespace sluice
