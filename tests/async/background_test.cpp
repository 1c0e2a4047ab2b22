#include "async/background.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>

namespace sluice {
namespace {

namespace asio = boost::asio;

TEST(Background, WorkRunsElsewhereAndItsResultComesBackToTheLoop) {
  asio::io_context loop;
  background threads(loop, 1);
  const auto here = std::this_thread::get_id();
  std::thread::id worked{};
  std::thread::id resumed{};
  std::string result;
  asio::co_spawn(
      loop,
      [&]() -> asio::awaitable<void> {
        result = co_await threads.run([&] {
          worked = std::this_thread::get_id();
          return std::string("done");
        });
        resumed = std::this_thread::get_id();
      },
      asio::detached);
  loop.run();
  EXPECT_EQ(result, "done");
  EXPECT_NE(worked, here);
  EXPECT_EQ(resumed, here);
}

TEST(Background, TheLoopGoesOnMeanwhile) {
  asio::io_context loop;
  background threads(loop, 1);
  std::promise<void> release;
  bool ended = false;
  asio::co_spawn(
      loop,
      [&]() -> asio::awaitable<void> {
        co_await threads.run([&] { release.get_future().wait(); });
        ended = true;
      },
      asio::detached);
  // The loop can run this only if the background work does not block it.
  asio::post(loop, [&] { release.set_value(); });
  loop.run();
  EXPECT_TRUE(ended);
}

TEST(Background, AnExceptionOfTheWorkIsThrownToTheCaller) {
  for (const std::size_t count : {0U, 1U}) {
    asio::io_context loop;
    background threads(loop, count);
    std::string caught;
    asio::co_spawn(
        loop,
        [&]() -> asio::awaitable<void> {
          try {
            co_await threads.run([]() -> int { throw std::runtime_error("no disk"); });
          } catch (const std::runtime_error& fault) {
            caught = fault.what();
          }
        },
        asio::detached);
    loop.run();
    EXPECT_EQ(caught, "no disk") << count << " threads";
  }
}

TEST(Background, WithoutThreadsWorkRunsAtOnceOnTheCallersThread) {
  asio::io_context loop;
  background none(loop, 0);
  std::thread::id worked{};
  bool resumed = false;
  asio::co_spawn(
      loop,
      [&]() -> asio::awaitable<void> {
        co_await none.run([&] { worked = std::this_thread::get_id(); });
        resumed = true;
      },
      asio::detached);
  loop.poll_one();
  EXPECT_EQ(worked, std::this_thread::get_id());
  EXPECT_TRUE(resumed);
}

TEST(Background, WorkThatHasBegunIsFinishedAtItsEnd) {
  asio::io_context loop;
  bool finished = false;
  {
    background threads(loop, 1);
    std::promise<void> begun;
    asio::co_spawn(
        loop,
        [&]() -> asio::awaitable<void> {
          co_await threads.run([&] {
            begun.set_value();
            finished = true;
          });
        },
        asio::detached);
    loop.poll();
    begun.get_future().wait();
  }
  EXPECT_TRUE(finished);
}

}  // namespace
}  // namespace sluice
