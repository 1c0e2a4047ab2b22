#include "money/budget.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace sluice {
namespace {

usd cents(std::int64_t n) {
  return *usd::parse("0.01") * n;
}

TEST(budget, takes_what_fits_and_not_a_cent_more) {
  budget money(cents(10));
  EXPECT_EQ(money.reserve(cents(6)), funds::reserved);
  EXPECT_EQ(money.reserve(cents(5)), funds::wait) << "the six may turn out to be one";
  EXPECT_EQ(money.reserve(cents(4)), funds::reserved);
  money.settle(cents(6), cents(1));
  EXPECT_EQ(money.reserve(cents(5)), funds::reserved);
  EXPECT_EQ(money.reserve(cents(1)), funds::wait);
  money.settle(cents(5), cents(5));
  money.settle(cents(4), cents(4));
  EXPECT_EQ(money.reserve(cents(1)), funds::spent);
  EXPECT_EQ(money.reserve(usd{}), funds::reserved) << "what costs nothing can always be paid";
}

TEST(budget, what_came_before_counts) {
  budget money(cents(10));
  money.add_spent(cents(9));
  EXPECT_EQ(money.reserve(cents(2)), funds::spent);
  EXPECT_EQ(money.reserve(cents(1)), funds::reserved);
  money.give_back(cents(1));
  EXPECT_EQ(money.reserve(cents(1)), funds::reserved);
}

TEST(budget, no_order_of_things_passes_the_limit) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const usd limit = cents(static_cast<std::int64_t>(random() % 100));
    budget money(limit);
    usd billed;
    std::vector<usd> flying;
    for (int step = 0; step < 200; ++step) {
      const usd most = cents(static_cast<std::int64_t>(random() % 20));
      if (random() % 2 == 0) {
        if (money.reserve(most) == funds::reserved) flying.push_back(most);
      } else if (!flying.empty()) {
        const usd held = flying.back();
        flying.pop_back();
        switch (random() % 3) {
          case 0:
            money.give_back(held);
            break;
          case 1:
            money.settle(held, held);
            billed += held;
            break;
          default:
            money.settle(held, usd{});
        }
      }
      usd worst = billed;
      for (const usd held : flying) worst += held;
      ASSERT_LE(worst, limit);
    }
  }
}

TEST(budget, names_the_reply_limit_that_would_fit) {
  // $2 for the prompt, and $3 for two replies of 150 tokens each.
  request next;
  next.most = *usd::parse("5");
  next.most_for_prompt = *usd::parse("2");
  next.most_reply_tokens = 300;
  next.billed_replies = 2;
  EXPECT_EQ(reply_limit_within(*usd::parse("3"), next), 50);
  EXPECT_EQ(reply_limit_within(*usd::parse("2.99"), next), 49) << "rounded down";
  EXPECT_EQ(reply_limit_within(*usd::parse("2"), next), 0);
  EXPECT_EQ(reply_limit_within(*usd::parse("1"), next), 0);
  next.most_reply_tokens = 0;  // embeddings have no reply
  EXPECT_EQ(reply_limit_within(*usd::parse("3"), next), 0);

  budget money(*usd::parse("10"));
  money.add_spent(*usd::parse("1"));
  EXPECT_EQ(money.reserve(*usd::parse("4")), funds::reserved);
  EXPECT_EQ(money.left(), *usd::parse("5"));
}

}  // namespace
}  // namespace sluice
