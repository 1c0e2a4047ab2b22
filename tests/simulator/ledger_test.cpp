#include "simulator/ledger.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::simulator {
namespace {

using nlohmann::json;

constexpr time_point start{std::chrono::hours(1)};

json read(const ledger& book, bool with_requests = false) {
  return json::parse(book.json(with_requests));
}

attempt of_request(std::uint64_t request, std::string key = {}) {
  attempt attempt;
  attempt.request = request;
  attempt.idempotency_key = std::move(key);
  return attempt;
}

TEST(Ledger, KeepsTheLatestBilledCallsOfEachAccount) {
  options two;
  two.keys = {{"a", 0, {}}, {"b", 0, {}}};
  ledger book(two);
  for (std::uint64_t number = 0; number < ledger::longest_log + 2; ++number) {
    auto call = of_request(number);
    call.account = number == 0 ? 1 : 0;
    call.unix_time = static_cast<std::int64_t>(number);
    call.model = "m";
    book.charge(call, {10, 4, 5, 2}, usd{7});
    book.finish(call, "cut", false);
  }
  book.finish(of_request(0), "429", false);
  ASSERT_EQ(book.log(1).size(), 1U);
  EXPECT_EQ(book.log(1).front().cost, usd{7});
  EXPECT_EQ(book.log(1).front().tokens.prompt, 10U);
  ASSERT_EQ(book.log(0).size(), ledger::longest_log);
  EXPECT_EQ(book.log(0).front().unix_time, static_cast<std::int64_t>(ledger::longest_log + 1));
  EXPECT_EQ(book.log(0).back().unix_time, 2);
}

TEST(Ledger, BilledIsTheSumOfDeliveredAndUndelivered) {
  ledger book(options{});
  auto first = of_request(1);
  book.charge(first, {10, 4, 5, 2}, usd{7});
  book.finish(first, "cut", false);
  auto second = of_request(1);
  book.charge(second, {10, 4, 5, 2}, usd{7});
  book.finish(second, "200", true);
  book.finish(of_request(2), "429", false);

  const auto document = read(book);
  EXPECT_EQ(document["delivered"]["requests"], 1);
  EXPECT_EQ(document["delivered"]["cost_usd"], "0.000000000007");
  EXPECT_EQ(
      document["delivered"]["tokens"],
      (json{{"prompt", 10}, {"cached", 4}, {"completion", 5}, {"reasoning", 2}, {"total", 15}}));
  EXPECT_EQ(document["billed"]["requests"], 2);
  EXPECT_EQ(document["billed"]["cost_usd"], "0.000000000014");
  EXPECT_EQ(document["billed_undelivered"]["attempts"], 1);
  EXPECT_EQ(document["billed_undelivered"]["cost_usd"], "0.000000000007");
  EXPECT_EQ(document["outcomes"], (json{{"200", 1}, {"429", 1}, {"cut", 1}}));
  EXPECT_FALSE(document.contains("requests"));
}

TEST(Ledger, GroupsAttemptsByRequest) {
  ledger book(options{});
  book.finish(of_request(1, "key-1"), "reset", false);
  book.finish(of_request(1, "key-1"), "200", true);
  const auto requests = read(book, true)["requests"];
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0]["key"], "key-1");
  EXPECT_EQ(requests[0]["attempts"], 2);
  EXPECT_EQ(requests[0]["delivered"], true);
  EXPECT_EQ(requests[0]["outcomes"], (json{"reset", "200"}));
}

TEST(Ledger, CountsAttemptsThatComeBeforeTheTimeOfAHint) {
  using namespace std::chrono_literals;
  options two;
  two.keys = {{"a", 0, {}}, {"b", 0, {}}};
  ledger book(two);
  const auto early = [&] { return read(book)["early_after_hint"].get<int>(); };
  book.check_hints(of_request(1), start);
  book.give_hint(of_request(1), start, 1s);
  book.check_hints(of_request(2), start + ledger::hint_margin - 1ms);
  EXPECT_EQ(early(), 0) << "it was on its way";
  book.check_hints(of_request(1), start + 1ms);
  EXPECT_EQ(early(), 1) << "the same request cannot have been on its way";
  book.check_hints(of_request(2), start + ledger::hint_margin);
  EXPECT_EQ(early(), 2);
  auto other = of_request(2);
  other.account = 1;
  book.check_hints(other, start + 900ms);
  EXPECT_EQ(early(), 2) << "another account";
  book.give_hint(of_request(3), start + 900ms, 500ms);
  book.check_hints(of_request(1), start + 1s);
  EXPECT_EQ(early(), 2) << "it waited, and the other hint is new";
  book.check_hints(of_request(1), start + 1399ms);
  EXPECT_EQ(early(), 3);
  book.check_hints(of_request(3), start + 1400ms);
  EXPECT_EQ(early(), 3);
}

TEST(Ledger, EveryKeyHasItsOwnLimitAndBalanceAndIsNeverPrinted) {
  options options;
  options.keys = {{"sk-secret-a", 1, {}}, {"sk-secret-b", 2, usd{100}}};
  ledger book(options);
  EXPECT_TRUE(book.arrive(0, start));
  EXPECT_FALSE(book.arrive(0, start));
  EXPECT_TRUE(book.arrive(1, start));
  EXPECT_TRUE(book.arrive(1, start));
  book.arrive_unknown(start);

  attempt paid = of_request(1);
  paid.account = 1;
  EXPECT_TRUE(book.can_pay(1, usd{100}));
  EXPECT_FALSE(book.can_pay(1, usd{101}));
  book.charge(paid, {}, usd{100});
  EXPECT_FALSE(book.can_pay(1, usd{0})) << "the balance is used up";
  EXPECT_TRUE(book.can_pay(0, usd{1'000'000}));

  const auto document = read(book, true);
  EXPECT_EQ(document["attempts"], 5);
  EXPECT_EQ(document["max_in_60s"], 5);
  EXPECT_EQ(document["over_limit_refusals"], 1);
  EXPECT_EQ(document["accounts"][0]["over_limit_refusals"], 1);
  EXPECT_EQ(document["accounts"][0]["remaining_usd"], nullptr);
  EXPECT_EQ(document["accounts"][1]["max_in_60s"], 2);
  EXPECT_EQ(document["accounts"][1]["remaining_usd"], "0");
  EXPECT_EQ(document.dump().find("sk-secret"), std::string::npos);
}

}  // namespace
}  // namespace sluice::simulator
