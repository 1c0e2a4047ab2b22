#include "http/reply_memory.hpp"

#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <vector>

namespace sluice {
namespace {

namespace asio = boost::asio;
using testing::ElementsAre;
using testing::IsEmpty;

struct reply_memory_test : testing::Test {
  static constexpr std::uint64_t most = 10;
  std::shared_ptr<reply_memory> memory = std::make_shared<reply_memory>(most);
  std::vector<int> gone_on;
  asio::io_context loop{1};

  static void poll(asio::io_context& one) {
    one.restart();
    while (one.poll() > 0) {
    }
  }
  // Starts a reply that uses `bytes` and waits for more memory.
  void wait(asio::io_context& on, int name, std::uint64_t bytes = 0) {
    asio::co_spawn(
        on,
        [this, name, bytes]() -> asio::awaitable<void> {
          reply_memory::share own(memory);
          wait_queue line;
          own.hold(bytes);
          co_await own.wait(line);
          gone_on.push_back(name);
        },
        asio::detached);
    poll(on);
  }
};

TEST_F(reply_memory_test, free_memory_wakes_all_waiters) {
  auto full = std::make_unique<reply_memory::share>(memory);
  full->hold(most + 1);
  wait(loop, 1);
  wait(loop, 2);
  full.reset();
  poll(loop);
  EXPECT_THAT(gone_on, ElementsAre(1, 2));
}

TEST_F(reply_memory_test,
       without_free_memory_the_first_waiter_is_woken_when_the_favoured_reply_ends) {
  reply_memory::share full(memory);
  full.hold(most + 1);
  auto favoured = std::make_unique<reply_memory::share>(memory);
  EXPECT_TRUE(favoured->has_room());
  wait(loop, 1);
  wait(loop, 2);
  favoured.reset();
  poll(loop);
  EXPECT_THAT(gone_on, ElementsAre(1, 2)) << "each one that ends wakes the next";
}

TEST_F(reply_memory_test, a_reply_that_is_destroyed_while_it_waits_is_not_woken) {
  auto full = std::make_unique<reply_memory::share>(memory);
  full->hold(most + 1);
  auto other = std::make_unique<asio::io_context>(1);
  wait(*other, 1, 5);
  wait(loop, 2);
  other.reset();
  EXPECT_EQ(memory->total(), most + 1);
  poll(loop);
  EXPECT_THAT(gone_on, ElementsAre(2)) << "no reply is favoured, so the next one may try";
  wait(loop, 3);
  full.reset();
  poll(loop);
  EXPECT_THAT(gone_on, ElementsAre(2, 3));
}

TEST_F(reply_memory_test, a_reply_that_is_destroyed_when_it_is_woken_wakes_the_next) {
  auto full = std::make_unique<reply_memory::share>(memory);
  full->hold(most + 1);
  auto favoured = std::make_unique<reply_memory::share>(memory);
  EXPECT_TRUE(favoured->has_room());
  auto other = std::make_unique<asio::io_context>(1);
  wait(*other, 1);
  wait(loop, 2);
  favoured.reset();
  poll(loop);
  EXPECT_THAT(gone_on, IsEmpty());
  other.reset();
  poll(loop);
  EXPECT_THAT(gone_on, ElementsAre(2));
}

}  // namespace
}  // namespace sluice
