#include "http/idle_connections.hpp"

#include <gtest/gtest.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <list>
#include <memory>

#include "support/manual_clock.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;
using tcp = asio::ip::tcp;

struct idle_connections_test : testing::Test {
  test::manual_clock time;
  asio::io_context loop{1};
  tcp::acceptor relay{loop, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0)};
  std::list<tcp::socket> ends;  // the relay's sockets, in the order of connecting
  idle_connections idle{time};

  std::unique_ptr<connection> connected(duration age = 10min) {
    auto made = std::make_unique<connection>(loop, time, nullptr);
    made->socket.connect(relay.local_endpoint());
    made->socket.non_blocking(true);
    made->retire_at = time.now() + age;
    ends.push_back(relay.accept());
    ends.back().non_blocking(true);
    return made;
  }
  // Whether the connection is open, from the relay's point of view.
  static bool is_open(tcp::socket& end) {
    char byte = 0;
    boost::system::error_code error;
    end.read_some(asio::buffer(&byte, 1), error);
    return error == asio::error::would_block;
  }
};

TEST_F(idle_connections_test, a_connection_that_is_idle_for_too_long_is_closed) {
  idle.put(connected());
  time.advance(idle_connections::longest - 1ns);
  EXPECT_TRUE(is_open(ends.front()));
  time.advance(1ns);
  EXPECT_FALSE(is_open(ends.front()));
  EXPECT_EQ(time.calls_to_come(), 0U) << "the loop may end";
}

TEST_F(idle_connections_test, each_connection_is_closed_at_its_own_time) {
  idle.put(connected());
  time.advance(7s);
  idle.put(connected());
  time.advance(idle_connections::longest - 7s);
  EXPECT_FALSE(is_open(ends.front()));
  EXPECT_TRUE(is_open(ends.back()));
  time.advance(7s);
  EXPECT_FALSE(is_open(ends.back()));
}

TEST_F(idle_connections_test, a_connection_that_is_too_old_is_closed_earlier) {
  idle.put(connected());
  idle.put(connected(1500ms));
  time.advance(1499ms);
  EXPECT_TRUE(is_open(ends.back()));
  time.advance(1ms);
  EXPECT_FALSE(is_open(ends.back()));
  EXPECT_TRUE(is_open(ends.front()));
}

TEST_F(idle_connections_test, a_connection_in_use_is_not_closed_and_its_idle_time_starts_again) {
  idle.put(connected());
  idle.put(connected());
  time.advance(60s);
  auto used = idle.take();
  ASSERT_TRUE(used);
  time.advance(2 * idle_connections::longest);
  EXPECT_FALSE(is_open(ends.front()));
  EXPECT_TRUE(is_open(ends.back())) << "the most recently used one is reused";
  idle.put(std::move(used));
  time.advance(idle_connections::longest - 1ns);
  EXPECT_TRUE(is_open(ends.back()));
}

TEST_F(idle_connections_test, without_idle_connections_there_is_no_pending_call) {
  EXPECT_EQ(time.calls_to_come(), 0U);
  idle.put(connected());
  idle.put(connected());
  EXPECT_EQ(time.calls_to_come(), 1U) << "one call for all connections";
  auto first = idle.take();
  auto second = idle.take();
  EXPECT_EQ(time.calls_to_come(), 0U);
  EXPECT_FALSE(idle.take());
  idle.put(std::move(first));
  idle.clear();
  EXPECT_EQ(time.calls_to_come(), 0U);
}

TEST_F(idle_connections_test,
       connections_with_a_close_or_unexpected_data_are_closed_at_the_next_check) {
  idle.put(connected());
  idle.put(connected());
  idle.put(connected());
  ends.front().close();
  asio::write(ends.back(), asio::buffer("HTTP/1.1 408 Request Timeout\r\n\r\n", 32));
  time.advance(idle_connections::look_interval);
  EXPECT_EQ(idle.size(), 1U);
  EXPECT_TRUE(is_open(*std::next(ends.begin())));
}

TEST_F(idle_connections_test, a_connection_that_cannot_be_reused_is_not_returned) {
  idle.put(connected());
  idle.put(connected());
  ends.back().close();
  auto link = idle.take();
  ASSERT_TRUE(link);
  EXPECT_EQ(link->socket.remote_endpoint(), ends.front().local_endpoint());
  EXPECT_EQ(link->socket.local_endpoint(), ends.front().remote_endpoint());

  time.stand_still(1h);  // no alarm has come
  idle.put(connected(0s));
  EXPECT_FALSE(idle.take());
}

TEST_F(idle_connections_test, after_the_machine_has_slept_no_connection_is_reused) {
  std::chrono::nanoseconds slept = 24h;
  idle_connections tired(time, [&](std::chrono::nanoseconds, time_point) { return slept; });
  tired.put(connected());
  slept += idle_connections::longest_sleep;
  tired.put(connected());
  EXPECT_EQ(tired.size(), 2U) << "a short sleep does no harm";
  slept += 1h;
  EXPECT_FALSE(tired.take());
  EXPECT_FALSE(is_open(ends.front()));
  EXPECT_EQ(time.calls_to_come(), 0U) << "the loop may end";

  tired.put(connected());
  slept += 1h;
  tired.put(connected());
  EXPECT_EQ(tired.size(), 1U) << "the other one is from before the sleep";
  EXPECT_TRUE(tired.take());
}

TEST_F(idle_connections_test, the_destructor_closes_all_connections) {
  {
    idle_connections other(time);
    other.put(connected());
  }
  EXPECT_FALSE(is_open(ends.front()));
  EXPECT_EQ(time.calls_to_come(), 0U);
}

}  // namespace
}  // namespace sluice
