#include "loadtest/target_cutoff.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice::bench {
namespace {

using namespace std::chrono_literals;

constexpr time_point noon = time_point{} + 12h;
constexpr duration max_wait = 10min;

failure of_kind(failure_class kind, std::string message = "why") {
  failure why;
  why.kind = kind;
  why.message = std::move(message);
  return why;
}

TEST(target_cutoff, refusals_of_the_key_that_came_with_the_first_confirm_nothing) {
  target_cutoff cutoff;
  const failure refused = of_kind(failure_class::key_ended, "spent");
  for (int i = 0; i < 64; ++i) {
    EXPECT_FALSE(cutoff.failed(refused, noon + i * 1ms, noon + 1s, max_wait)) << i;
  }
  cutoff.succeeded();
  EXPECT_FALSE(cutoff.failed(refused, noon + 2s, noon + 3s, max_wait));
  const auto stop = cutoff.failed(refused, noon + 3s, noon + 4s, max_wait);
  ASSERT_TRUE(stop) << "its attempt started when the first refusal had been answered";
  EXPECT_FALSE(stop->misconfigured);
  EXPECT_NE(stop->sentence.find("spent"), std::string::npos);
}

TEST(target_cutoff, a_bad_certificate_or_proxy_ends_a_target_at_once_that_never_served) {
  for (const auto kind : {failure_class::bad_certificate, failure_class::bad_proxy}) {
    target_cutoff cutoff;
    const auto stop = cutoff.failed(of_kind(kind), noon, noon, max_wait);
    ASSERT_TRUE(stop);
    EXPECT_TRUE(stop->misconfigured);
  }
}

TEST(target_cutoff, after_a_success_it_is_a_target_that_cannot_be_reached) {
  for (const auto kind : {failure_class::bad_certificate, failure_class::bad_proxy}) {
    target_cutoff cutoff;
    cutoff.succeeded();
    for (unsigned i = 1; i < target_cutoff::gone; ++i) {
      EXPECT_FALSE(cutoff.failed(of_kind(kind), noon, noon, max_wait)) << i;
    }
    const auto stop = cutoff.failed(of_kind(kind, "expired"), noon, noon, max_wait);
    ASSERT_TRUE(stop);
    EXPECT_FALSE(stop->misconfigured);
    EXPECT_NE(stop->sentence.find("expired"), std::string::npos) << "the cause is kept";
  }
}

}  // namespace
}  // namespace sluice::bench
