#include "http/address_race.hpp"

#include <gmock/gmock.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "support/manual_clock.hpp"
#include "support/silent_address.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using test::silent_address;

const asio::ip::address loopback = asio::ip::make_address("127.0.0.1");

struct address_race_test : testing::Test {
  test::manual_clock time;
  asio::io_context loop{1};
  connection link{loop, time, nullptr};

  boost::system::error_code race(const std::vector<tcp::endpoint>& addresses,
                                 const std::function<void()>& meanwhile) {
    std::optional<boost::system::error_code> outcome;
    asio::co_spawn(
        loop,
        [&]() -> asio::awaitable<void> {
          outcome = co_await connect_to_any(link, time, addresses);
        },
        asio::detached);
    loop.poll();
    meanwhile();
    loop.restart();
    while (!outcome && loop.run_one() > 0) {
    }
    EXPECT_EQ(time.calls_to_come(), 0U) << "no further address is tried";
    return outcome.value_or(asio::error::timed_out);
  }
};

TEST_F(address_race_test, an_address_that_does_not_answer_costs_a_quarter_of_a_second) {
  const silent_address silent(loop);
  tcp::acceptor server(loop, tcp::endpoint(loopback, 0));
  const tcp::endpoint good(loopback, server.local_endpoint().port());
  const auto before = time.now();
  EXPECT_FALSE(race({silent.endpoint(), silent.endpoint(), good}, [&] {
    while (time.run_next()) loop.poll();
  }));
  EXPECT_EQ(link.socket.remote_endpoint(), good);
  EXPECT_EQ(time.now() - before, 2 * race_delay);
  server.close();
}

TEST_F(address_race_test, an_address_that_refuses_costs_no_delay) {
  tcp::acceptor gone(loop, tcp::endpoint(loopback, 0));
  const tcp::endpoint refusing(loopback, gone.local_endpoint().port());
  gone.close();
  tcp::acceptor server(loop, tcp::endpoint(loopback, 0));
  EXPECT_FALSE(race({refusing, refusing, {loopback, server.local_endpoint().port()}}, [] {}));
  EXPECT_EQ(link.socket.remote_endpoint().port(), server.local_endpoint().port());
  server.close();
}

TEST_F(address_race_test, if_all_refuse_the_last_error_is_returned) {
  tcp::acceptor gone(loop, tcp::endpoint(loopback, 0));
  const tcp::endpoint refusing(loopback, gone.local_endpoint().port());
  gone.close();
  EXPECT_EQ(race({refusing, refusing}, [] {}), asio::error::connection_refused);
  EXPECT_EQ(race(std::vector<tcp::endpoint>(), [] {}), asio::error::host_not_found);
}

TEST_F(address_race_test, a_deadline_or_an_abort_ends_the_race) {
  const silent_address silent(loop);
  link.limit.set(10s, "--connect-timeout");
  EXPECT_TRUE(race({silent.endpoint(), silent.endpoint()}, [&] { time.advance(10s); }));
  EXPECT_EQ(link.first_cause("?"), "--connect-timeout expired");

  connection other(loop, time, nullptr);
  const std::vector<tcp::endpoint> addresses{silent.endpoint()};
  std::optional<boost::system::error_code> outcome;
  asio::co_spawn(
      loop,
      [&]() -> asio::awaitable<void> { outcome = co_await connect_to_any(other, time, addresses); },
      asio::detached);
  loop.restart();
  loop.poll();
  other.abort();
  loop.restart();
  loop.poll();
  EXPECT_TRUE(outcome.has_value());
  EXPECT_EQ(other.first_cause("?"), "interrupted");
}

// The callbacks of the race's connects come after the race was cancelled.
TEST_F(address_race_test, a_cancelled_race_leaves_nothing_behind) {
  const silent_address silent(loop);
  asio::cancellation_signal end;
  std::exception_ptr thrown;
  auto its_own = std::make_unique<connection>(loop, time, nullptr);
  const std::vector<tcp::endpoint> addresses{silent.endpoint(), silent.endpoint()};
  asio::co_spawn(
      loop, [&]() -> asio::awaitable<void> { co_await connect_to_any(*its_own, time, addresses); },
      asio::bind_cancellation_slot(end.slot(), [&](const std::exception_ptr& why) {
        thrown = why;
        its_own.reset();
      }));
  loop.poll();
  time.advance(race_delay);
  loop.restart();
  loop.poll();
  end.emit(asio::cancellation_type::terminal);
  loop.restart();
  loop.poll();
  EXPECT_TRUE(thrown);
  EXPECT_TRUE(loop.stopped()) << "no connect is active any more";
  EXPECT_EQ(time.calls_to_come(), 0U);
}

TEST_F(address_race_test, a_race_that_is_destroyed_with_its_loop_leaves_nothing_behind) {
  auto other = std::make_unique<asio::io_context>(1);
  const silent_address silent(loop);
  const std::vector<tcp::endpoint> addresses{silent.endpoint(), silent.endpoint()};
  asio::co_spawn(
      *other,
      [&]() -> asio::awaitable<void> {
        connection its_own(*other, time, nullptr);
        co_await connect_to_any(its_own, time, addresses);
      },
      asio::detached);
  other->poll();
  EXPECT_EQ(time.calls_to_come(), 1U);
  other.reset();
  EXPECT_EQ(time.calls_to_come(), 0U);
}

TEST(address_race, address_families_alternate) {
  const auto of = [](const char* text) { return tcp::endpoint(asio::ip::make_address(text), 443); };
  EXPECT_THAT(
      in_racing_order({of("::1"), of("::2"), of("::3"), of("10.0.0.1"), of("10.0.0.2")}),
      testing::ElementsAre(of("::1"), of("10.0.0.1"), of("::2"), of("10.0.0.2"), of("::3")));
  EXPECT_THAT(in_racing_order({of("10.0.0.1"), of("::1"), of("::2")}),
              testing::ElementsAre(of("10.0.0.1"), of("::1"), of("::2")));
  EXPECT_THAT(in_racing_order({}), testing::IsEmpty());
}

}  // namespace
}  // namespace sluice
