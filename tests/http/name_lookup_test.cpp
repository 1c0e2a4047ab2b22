#include "http/name_lookup.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "http/connector.hpp"
#include "support/manual_clock.hpp"
#include "support/silent_address.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using testing::ElementsAre;
using testing::IsEmpty;

// A resolver that the test controls. Like the system's resolver, it may be called after the test
// has ended.
struct resolver_state {
  std::mutex mutex;
  std::condition_variable changed;
  int asked = 0;
  int at_once = 0;
  int most_at_once = 0;
  bool hangs = false;
  std::string fault;
  std::vector<tcp::endpoint> answer;

  std::string resolve(std::vector<tcp::endpoint>& found) {
    std::unique_lock lock(mutex);
    ++asked;
    most_at_once = std::max(most_at_once, ++at_once);
    changed.notify_all();
    changed.wait(lock, [&] { return !hangs; });
    --at_once;
    changed.notify_all();
    if (fault.empty()) found = answer;
    return fault;
  }
  template <typename Change>
  void change(Change how) {
    const std::lock_guard lock(mutex);
    how(*this);
    changed.notify_all();
  }
  int count() {
    const std::lock_guard lock(mutex);
    return asked;
  }
  // Waits up to 10 s for this number of lookups. After that time, the test assumes that they will
  // not come.
  bool wait_until_asked(int times) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, 10s, [&] { return asked >= times; });
  }
};

name_lookup::resolver with(const std::shared_ptr<resolver_state>& state) {
  return [state](const std::string&, std::uint16_t, std::vector<tcp::endpoint>& found) {
    return state->resolve(found);
  };
}

tcp::endpoint at(const char* address, std::uint16_t port = 443) {
  return {asio::ip::make_address(address), port};
}

struct name_lookup_test : testing::Test {
  test::manual_clock time;
  asio::io_context loop{1};
  std::shared_ptr<resolver_state> system = std::make_shared<resolver_state>();
  std::shared_ptr<lookup_threads> threads = std::make_shared<lookup_threads>();
  std::unique_ptr<name_lookup> names = make("relay.example");
  std::uint64_t before = 0;  // number of answers before

  ~name_lookup_test() override {
    system->change([](resolver_state& it) { it.hangs = false; });
  }
  std::unique_ptr<name_lookup> make(const std::string& host) {
    return std::make_unique<name_lookup>(loop.get_executor(), time, host, "443", with(system),
                                         threads);
  }
  void answers(std::vector<tcp::endpoint> now) {
    system->change([&](resolver_state& it) { it.answer = std::move(now); });
  }
  void poll() {
    loop.restart();
    while (loop.poll() > 0) {
    }
  }
  // The addresses that find() gives at once; nothing if it has to wait.
  std::optional<std::vector<tcp::endpoint>> find_at_once() {
    const auto found = std::make_shared<std::optional<std::vector<tcp::endpoint>>>();
    asio::co_spawn(
        loop,
        [this, found]() -> asio::awaitable<void> {
          wait_queue line;
          co_await names->find(line);
          *found = names->addresses();
        },
        asio::detached);
    poll();
    return *found;
  }
  // The addresses that find() gives, after a lookup if needed.
  std::vector<tcp::endpoint> find() {
    const std::uint64_t answers = names->answers();
    if (auto found = find_at_once(); found && names->answers() == answers) return *found;
    let_it_end(answers);
    return names->addresses();
  }
  void let_it_end(std::uint64_t answers) {
    // A lookup without a waiter does not keep the loop running.
    const auto work = asio::make_work_guard(loop);
    while (names->answers() == answers) {
      loop.restart();
      if (loop.run_one_for(10s) == 0) break;
    }
    poll();
  }
};

TEST_F(name_lookup_test, one_lookup_is_used_by_all_during_its_lifetime) {
  answers({at("127.0.0.1")});
  EXPECT_THAT(find(), ElementsAre(at("127.0.0.1")));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(find_at_once(), std::vector{at("127.0.0.1")});
  time.advance(name_lookup::lifetime - 1ns);
  EXPECT_EQ(find_at_once(), std::vector{at("127.0.0.1")});
  EXPECT_EQ(system->count(), 1);
}

TEST_F(name_lookup_test, after_its_lifetime_a_result_is_used_while_a_new_lookup_runs) {
  answers({at("127.0.0.1")});
  find();
  answers({at("127.0.0.2")});
  time.advance(name_lookup::lifetime);
  const std::uint64_t one = names->answers();
  EXPECT_EQ(find_at_once(), std::vector{at("127.0.0.1")});
  let_it_end(one);
  EXPECT_EQ(find_at_once(), std::vector{at("127.0.0.2")});
  EXPECT_EQ(system->count(), 2);
}

TEST_F(name_lookup_test, a_very_old_result_is_used_only_after_a_new_lookup_has_ended) {
  answers({at("127.0.0.1")});
  find();
  answers({at("127.0.0.2")});
  time.advance(name_lookup::longest);
  EXPECT_THAT(find(), ElementsAre(at("127.0.0.2")));
}

TEST_F(name_lookup_test, doubted_addresses_are_looked_up_at_once_but_only_once) {
  answers({at("127.0.0.1")});
  find();
  const std::uint64_t first = names->answers();
  answers({at("127.0.0.2")});
  names->doubt(first);
  EXPECT_THAT(find(), ElementsAre(at("127.0.0.2")));
  names->doubt(first);
  EXPECT_EQ(find_at_once(), std::vector{at("127.0.0.2")});
  EXPECT_EQ(system->count(), 2);
}

TEST_F(name_lookup_test, while_lookups_fail_old_addresses_are_used_and_each_find_tries_again) {
  answers({at("127.0.0.1")});
  find();
  system->change([](resolver_state& it) { it.fault = "Temporary failure in name resolution"; });
  time.advance(24h);
  EXPECT_THAT(find(), ElementsAre(at("127.0.0.1")));
  EXPECT_EQ(names->error(), "");
  EXPECT_THAT(find(), ElementsAre(at("127.0.0.1")));
  EXPECT_EQ(system->count(), 3);
}

TEST_F(name_lookup_test, with_old_addresses_nobody_waits_long_for_a_lookup_that_hangs) {
  answers({at("127.0.0.1")});
  find();
  system->change([](resolver_state& it) { it.hangs = true; });
  time.advance(24h);
  EXPECT_EQ(find_at_once(), std::nullopt);
  time.advance(name_lookup::patience);
  poll();
  EXPECT_EQ(time.calls_to_come(), 0U);
  bool found = false;
  wait_queue line;
  asio::co_spawn(
      loop,
      [&]() -> asio::awaitable<void> {
        co_await names->find(line);
        found = true;
      },
      asio::detached);
  poll();
  EXPECT_FALSE(found);
  time.advance(name_lookup::patience - 1ns);
  poll();
  EXPECT_FALSE(found);
  time.advance(1ns);
  poll();
  EXPECT_TRUE(found);
  EXPECT_THAT(names->addresses(), ElementsAre(at("127.0.0.1")));
  const std::uint64_t answers = names->answers();
  system->change([](resolver_state& it) { it.hangs = false; });
  let_it_end(answers);
  EXPECT_EQ(system->count(), 2) << "one lookup at a time";
}

TEST_F(name_lookup_test, without_any_result_each_find_looks_up_again_and_gives_the_error) {
  system->change([](resolver_state& it) { it.fault = "Name or service not known"; });
  EXPECT_THAT(find(), IsEmpty());
  EXPECT_EQ(names->error(), "Name or service not known");
  EXPECT_THAT(find(), IsEmpty());
  EXPECT_EQ(system->count(), 2);
}

TEST_F(name_lookup_test, the_address_that_worked_last_comes_first) {
  answers({at("127.0.0.1"), at("127.0.0.2"), at("127.0.0.3")});
  find();
  names->served(at("127.0.0.3"));
  EXPECT_THAT(names->addresses(), ElementsAre(at("127.0.0.3"), at("127.0.0.1"), at("127.0.0.2")));
}

TEST_F(name_lookup_test, an_address_is_not_looked_up) {
  for (const char* host : {"127.0.0.7", "::1"}) {
    names = make(host);
    EXPECT_EQ(find_at_once(), std::vector{at(host)});
    names->doubt(names->answers());
    time.advance(24h);
    EXPECT_EQ(find_at_once(), std::vector{at(host)});
  }
  EXPECT_EQ(system->count(), 0);
}

TEST_F(name_lookup_test, it_may_be_destroyed_during_a_lookup_that_somebody_waits_for) {
  system->change([](resolver_state& it) { it.hangs = true; });
  auto other = std::make_unique<asio::io_context>(1);
  bool found = false;
  asio::co_spawn(
      *other,
      [&]() -> asio::awaitable<void> {
        wait_queue line;
        co_await names->find(line);
        found = true;
      },
      asio::detached);
  other->poll();
  ASSERT_TRUE(system->wait_until_asked(1));
  other.reset();
  names.reset();
  system->change([](resolver_state& it) { it.hangs = false; });
  poll();
  EXPECT_FALSE(found);
}

TEST_F(name_lookup_test, a_destroyed_waiter_does_not_end_the_lookup_of_others) {
  answers({at("127.0.0.1")});
  system->change([](resolver_state& it) { it.hangs = true; });
  auto other = std::make_unique<asio::io_context>(1);
  asio::co_spawn(
      *other,
      [&]() -> asio::awaitable<void> {
        wait_queue line;
        co_await names->find(line);
      },
      asio::detached);
  other->poll();
  EXPECT_EQ(find_at_once(), std::nullopt);
  other.reset();
  system->change([](resolver_state& it) { it.hangs = false; });
  let_it_end(0);
  EXPECT_THAT(names->addresses(), ElementsAre(at("127.0.0.1")));
}

TEST_F(name_lookup_test, lookups_of_many_names_share_a_few_threads) {
  constexpr int most = lookup_threads::most;
  answers({at("127.0.0.1")});
  system->change([](resolver_state& it) { it.hangs = true; });
  std::vector<std::unique_ptr<name_lookup>> all;
  int found = 0;
  for (int i = 0; i < 3 * most; ++i) {
    all.push_back(make("relay" + std::to_string(i) + ".example"));
    asio::co_spawn(
        loop,
        [&found, of = all.back().get()]() -> asio::awaitable<void> {
          wait_queue line;
          co_await of->find(line);
          ++found;
        },
        asio::detached);
  }
  poll();
  ASSERT_TRUE(system->wait_until_asked(most));
  system->change([](resolver_state& it) { it.hangs = false; });
  while (found < 3 * most) {
    loop.restart();
    if (loop.run_one_for(10s) == 0) break;
  }
  EXPECT_EQ(found, 3 * most);
  EXPECT_EQ(system->count(), 3 * most);
  EXPECT_LE(system->most_at_once, most);
}

TEST(lookup_threads, a_lookup_that_hangs_does_not_delay_the_destructor) {
  std::promise<void> go_on;
  const std::shared_future<void> gate = go_on.get_future().share();
  std::atomic<int> begun{0};
  std::promise<void> all_begun;
  constexpr int most = lookup_threads::most;
  auto ended = std::make_shared<std::promise<void>>();
  std::future<void> last = ended->get_future();
  auto dropped = std::make_shared<int>(0);
  const std::weak_ptr<int> kept = dropped;
  {
    lookup_threads threads;
    for (int i = 0; i < most; ++i) {
      EXPECT_TRUE(threads.run([&, gate] {
        const bool is_last = ++begun == most;
        if (is_last) all_begun.set_value();
        gate.wait();
        if (is_last) ended->set_value();
      }));
    }
    EXPECT_TRUE(threads.run([dropped] { ++*dropped; }));
    dropped.reset();
    ASSERT_EQ(all_begun.get_future().wait_for(10s), std::future_status::ready);
    EXPECT_FALSE(kept.expired());
  }
  EXPECT_TRUE(kept.expired()) << "a lookup that had not begun is dropped";
  go_on.set_value();
  EXPECT_EQ(last.wait_for(10s), std::future_status::ready);
}

relay_options named_relay() {
  relay_options relay;
  relay.base_url = "http://relay.example";
  return relay;
}

// The same behaviour, tested through the connector.
struct connector_test : name_lookup_test {
  tcp::acceptor old_place{loop, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0)};
  tcp::acceptor new_place{loop, tcp::endpoint(asio::ip::make_address("127.0.0.2"), 0)};
  connector opener{loop,         time,   named_relay(), base_url::parse(named_relay().base_url),
                   with(system), threads};

  // The address that the connection was made to, or the error.
  std::string open() {
    std::optional<exchange_end> result;
    const auto fresh = opener.make();
    fresh->limit.set(10s, "--connect-timeout");
    asio::co_spawn(
        loop, [&]() -> asio::awaitable<void> { result = co_await opener.open(*fresh); },
        asio::detached);
    loop.restart();
    while (!result && loop.run_one_for(10s) > 0) {
    }
    if (!result) return "nothing";
    if (result->end != exchange_end::how::complete) return result->message;
    return fresh->socket.remote_endpoint().address().to_string();
  }
};

TEST_F(connector_test, a_changed_address_is_found_within_the_same_attempt) {
  answers({old_place.local_endpoint()});
  EXPECT_EQ(open(), "127.0.0.1");
  old_place.close();
  answers({new_place.local_endpoint()});
  EXPECT_EQ(open(), "127.0.0.2") << "although the cached result is still valid";
  EXPECT_EQ(system->count(), 2);
}

TEST_F(connector_test, each_attempt_looks_up_a_relay_that_is_down_again) {
  const tcp::endpoint gone = old_place.local_endpoint();
  answers({gone});
  EXPECT_EQ(open(), "127.0.0.1");
  old_place.close();
  for (int i = 2; i < 5; ++i) {
    EXPECT_THAT(open(), testing::HasSubstr("Connection refused"));
    EXPECT_EQ(system->count(), i);
  }
}

TEST_F(connector_test, after_a_timeout_the_next_attempt_looks_up_the_address_again) {
  const test::silent_address silent(loop);
  answers({silent.endpoint(), silent.endpoint()});
  std::optional<exchange_end> result;
  const auto fresh = opener.make();
  fresh->limit.set(10s, "--connect-timeout");
  asio::co_spawn(
      loop, [&]() -> asio::awaitable<void> { result = co_await opener.open(*fresh); },
      asio::detached);
  loop.restart();
  // Two pending calls: the deadline and the start of the second address.
  while (time.calls_to_come() < 2 && loop.run_one_for(10s) > 0) {
  }
  time.advance(10s);
  poll();
  ASSERT_TRUE(result);
  EXPECT_THAT(result->message, testing::HasSubstr("--connect-timeout"));
  answers({new_place.local_endpoint()});
  EXPECT_EQ(open(), "127.0.0.2");
}

}  // namespace
}  // namespace sluice
