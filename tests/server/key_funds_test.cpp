// Tests the money of a key that several servers spend: each server has its own key_funds, over one
// store.
#include "server/key_funds.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/memory_store.hpp"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

usd dollars(std::int64_t n) {
  return *usd::parse("1") * n;
}

// A batch that runs at one of the servers.
struct fake_batch final : key_funds::batch_in_work {
  const std::string& id() const noexcept override { return name; }
  bool is_counted() const override { return true; }
  usd spent() const override { return {}; }
  std::optional<usd> left() const override { return rest; }
  void spent_elsewhere(usd amount) override { *rest -= amount; }
  void hold(usd amount) override {
    *rest -= amount;
    held += amount;
  }
  void end_hold(usd amount, bool moved) override {
    held -= amount;
    if (!moved) *rest += amount;
  }
  const store::claim& claim() const noexcept override { return taken; }

  std::string name = "batch_1";
  std::optional<usd> rest;
  usd held;
  store::claim taken;
};

struct shared_funds : testing::Test {
  // Returns `never` if the store fails.
  funds reserve(key_funds& at, usd most) {
    funds answer = funds::never;
    asio::co_spawn(
        loop,
        [&]() -> asio::awaitable<void> {
          answer = co_await at.reserve("alice", budget, most, now);
        },
        [this](const std::exception_ptr& thrown) { failed = thrown != nullptr; });
    run();
    return answer;
  }
  void settle(key_funds& at, usd most, usd cost) {
    asio::co_spawn(
        loop, [&]() -> asio::awaitable<void> { co_await at.settle("alice", most, cost); },
        [this](const std::exception_ptr& thrown) { failed = thrown != nullptr; });
    run();
  }
  // The store fails at the n-th of these calls, once.
  void fail_at(std::string_view call, int n) {
    records.on_call = [=, this](std::string_view made) mutable {
      if (made != call || --n != 0) return;
      throw store::store_error("the store is away");
    };
  }
  usd taken(key_funds& at) {
    usd answer;
    asio::co_spawn(
        loop, [&]() -> asio::awaitable<void> { answer = co_await at.taken_by_calls("alice"); },
        [](const std::exception_ptr& thrown) { EXPECT_EQ(thrown, nullptr); });
    run();
    return answer;
  }
  void run() {
    loop.restart();
    while (loop.poll() > 0) {
    }
  }
  // Stores a batch of the key that runs at another server.
  void add_batch(usd spent) {
    store::file_record file;
    file.id = "file-1";
    file.owner = "alice";
    records.add_file(file);
    store::batch_record batch;
    batch.id = "batch_1";
    batch.owner = "alice";
    batch.input_file_id = file.id;
    batch.status = store::batch_status::in_progress;
    batch.progress.spent = spent;
    records.create_batch(batch);
  }

  time_point now{time_point{} + std::chrono::hours{1}};
  bool failed = false;
  asio::io_context loop{1};
  background disk{loop, 0};
  test::memory_store records;
  const usd budget = dollars(10);
  key_funds one{disk, records, true};
  key_funds two{disk, records, true};
};

TEST_F(shared_funds, CallsAtTwoServersSpendOneBudget) {
  EXPECT_EQ(reserve(one, dollars(6)), funds::reserved);
  EXPECT_NE(reserve(two, dollars(6)), funds::reserved);
  EXPECT_EQ(reserve(two, dollars(4)), funds::reserved);
  EXPECT_EQ(taken(one), dollars(10));
  EXPECT_EQ(taken(two), dollars(10));
  settle(one, dollars(6), dollars(1));
  EXPECT_EQ(reserve(two, dollars(5)), funds::reserved) << "what the other server gave back";
  EXPECT_NE(reserve(one, dollars(1)), funds::reserved);
}

TEST_F(shared_funds, MoneyThatACallElsewhereHasReservedMayComeBack) {
  EXPECT_EQ(reserve(one, dollars(6)), funds::reserved);
  EXPECT_EQ(reserve(two, dollars(6)), funds::wait);
  now += std::chrono::minutes{9};
  EXPECT_EQ(reserve(two, dollars(6)), funds::wait);
  settle(one, dollars(6), dollars(5));
  EXPECT_EQ(reserve(two, dollars(6)), funds::wait) << "the sum has changed";
  now += std::chrono::minutes{9};
  EXPECT_EQ(reserve(two, dollars(6)), funds::wait);
  now += std::chrono::minutes{2};
  EXPECT_EQ(reserve(two, dollars(6)), funds::spent);
  EXPECT_EQ(reserve(two, dollars(5)), funds::reserved);
  EXPECT_EQ(reserve(two, dollars(11)), funds::spent) << "it never fits";
}

TEST_F(shared_funds, TheRunningBatchMayBeTheOldestOfMany) {
  add_batch(dollars(9));
  for (int i = 0; i < 30; ++i) {
    store::batch_record batch;
    batch.id = "batch_later_" + std::to_string(i);
    batch.owner = "alice";
    batch.input_file_id = "file-1";
    batch.created_at = 100 + i;
    ASSERT_TRUE(records.create_batch(batch));
  }
  EXPECT_EQ(reserve(one, dollars(2)), funds::wait);
  now += std::chrono::hours{1};
  EXPECT_EQ(reserve(one, dollars(2)), funds::wait);
}

// Otherwise the key would have less money after each failure of the store.
TEST_F(shared_funds, AReservationIsGivenBackAfterAFailureOfTheStore) {
  const auto in_store = [this] {
    records.on_call = [](std::string_view) {};
    return records.add_call_spend("alice", {});
  };
  fail_at("add_call_spend", 1);
  EXPECT_EQ(reserve(one, dollars(4)), funds::never);
  EXPECT_TRUE(failed);
  EXPECT_EQ(in_store(), usd{});

  fail_at("spent_by_others", 1);  // after the reservation is stored
  EXPECT_EQ(reserve(one, dollars(4)), funds::never);
  EXPECT_EQ(in_store(), dollars(4));
  EXPECT_EQ(reserve(one, dollars(10)), funds::reserved) << "it is given back with the next call";
  EXPECT_EQ(in_store(), dollars(10));

  fail_at("add_call_spend", 1);
  settle(one, dollars(10), dollars(3));
  EXPECT_TRUE(failed);
  EXPECT_EQ(in_store(), dollars(10));
  fail_at("add_call_spend", 3);  // the call does not fit, and its reservation stays
  EXPECT_EQ(reserve(one, dollars(8)), funds::never);
  EXPECT_EQ(in_store(), dollars(11));
  EXPECT_EQ(reserve(one, dollars(7)), funds::reserved);
  EXPECT_EQ(in_store(), dollars(10));
  settle(one, dollars(7), dollars(0));
  EXPECT_EQ(in_store(), dollars(3));
}

TEST_F(shared_funds, AServerAloneAlsoGivesBackAfterAFailureOfTheStore) {
  key_funds alone{disk, records, false};
  EXPECT_EQ(taken(alone), usd{});
  for (const std::string_view broken : {"spent_by_others", "add_call_spend"}) {
    fail_at(broken, 1);
    EXPECT_EQ(reserve(alone, dollars(4)), funds::never);
    EXPECT_TRUE(failed);
    EXPECT_EQ(alone.taken_now("alice"), usd{}) << broken;
  }
  EXPECT_EQ(reserve(alone, dollars(11)), funds::spent) << "nothing may come back";
  EXPECT_EQ(reserve(alone, dollars(10)), funds::reserved);
}

// Otherwise the key would have less money after a restart.
TEST_F(shared_funds, AServerAloneStoresACostThatTheStoreDidNotTake) {
  key_funds alone{disk, records, false};
  EXPECT_EQ(reserve(alone, dollars(4)), funds::reserved);
  fail_at("add_call_spend", 1);
  settle(alone, dollars(4), dollars(1));
  EXPECT_TRUE(failed);
  EXPECT_EQ(alone.taken_now("alice"), dollars(1));
  EXPECT_EQ(records.add_call_spend("alice", {}), dollars(4));
  EXPECT_EQ(reserve(alone, dollars(9)), funds::reserved);
  settle(alone, dollars(9), dollars(9));
  EXPECT_EQ(alone.taken_now("alice"), dollars(10));
  EXPECT_EQ(records.add_call_spend("alice", {}), dollars(10));
}

TEST_F(shared_funds, ARefusedCallTakesNothing) {
  EXPECT_NE(reserve(one, dollars(11)), funds::reserved);
  EXPECT_EQ(records.add_call_spend("alice", {}), usd{});
  EXPECT_EQ(reserve(one, dollars(10)), funds::reserved);
}

TEST_F(shared_funds, ACallCountsTheBatchAtAnotherServer) {
  add_batch(dollars(7));
  EXPECT_EQ(reserve(one, dollars(4)), funds::wait)
      << "the batch may give back what it has reserved";
  EXPECT_EQ(reserve(one, dollars(3)), funds::reserved);
  EXPECT_EQ(reserve(two, dollars(1)), funds::wait);
}

TEST_F(shared_funds, ACallUsesWhatTheBatchHereDoesNotNeed) {
  add_batch(dollars(10));
  fake_batch batch;
  batch.rest = dollars(4);
  batch.taken = records.claim_batch("one", {}, 0, 60).value();
  one.begin_batch("alice", batch);
  EXPECT_EQ(reserve(two, dollars(3)), funds::wait);
  records.on_call = [&](std::string_view call) {
    if (call == "add_call_spend") {
      EXPECT_EQ(batch.held, dollars(3)) << "the batch counts it until the store counts it";
    }
  };
  EXPECT_EQ(reserve(one, dollars(3)), funds::reserved);
  records.on_call = [](std::string_view) {};
  EXPECT_EQ(batch.held, usd{});
  EXPECT_EQ(*batch.rest, dollars(1)) << "the batch may no longer use it";
  EXPECT_EQ(reserve(one, dollars(2)), funds::wait);
  settle(one, dollars(3), dollars(2));
  EXPECT_EQ(*batch.rest, dollars(1)) << "only the store says what is free now";
  one.end_batch("alice", batch);
}

// The server was suspended for longer than its lease.
TEST_F(shared_funds, ACallDoesNotUseTheMoneyOfALostBatch) {
  add_batch(dollars(10));
  fake_batch batch;
  batch.rest = dollars(4);
  batch.taken = records.claim_batch("one", {}, 0, 60).value();
  one.begin_batch("alice", batch);
  ASSERT_TRUE(records.claim_batch("two", {}, 100, 60));
  EXPECT_EQ(reserve(one, dollars(3)), funds::wait);
  EXPECT_EQ(*batch.rest, dollars(4));
  EXPECT_EQ(batch.held, usd{});
  EXPECT_EQ(records.add_call_spend("alice", {}), usd{});
  one.end_batch("alice", batch);
}

TEST_F(shared_funds, CallsAtRandomNeverPassTheBudget) {
  std::mt19937_64 dice(7);
  std::vector<std::pair<key_funds*, usd>> open;
  usd spent;
  for (int step = 0; step < 2000; ++step) {
    key_funds& at = dice() % 2 == 0 ? one : two;
    const usd most = *usd::parse("0.01") * static_cast<std::int64_t>(1 + dice() % 100);
    if (dice() % 2 == 0 || open.empty()) {
      if (reserve(at, most) == funds::reserved) open.emplace_back(&at, most);
    } else {
      const std::size_t which = dice() % open.size();
      const auto [where, reserved] = open[which];
      const usd cost = *usd::parse("0.001") * static_cast<std::int64_t>(dice() % 5);
      settle(*where, reserved, cost);
      spent += cost;
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(which));
    }
    usd all = spent;
    for (const auto& [where, reserved] : open) all += reserved;
    ASSERT_LE(all, budget);
    ASSERT_EQ(all, records.add_call_spend("alice", {}));
  }
  EXPECT_GT(spent, dollars(1));
}

}  // namespace
}  // namespace sluice::server
