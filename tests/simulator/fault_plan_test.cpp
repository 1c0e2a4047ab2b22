#include "simulator/fault_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/random.hpp"

namespace sluice::simulator {
namespace {

constexpr int requests = 20'000;

/// The digest of a request.
std::uint64_t digest(int request) {
  return mix(42, static_cast<std::uint64_t>(request));
}

TEST(FaultPlan, NoFaultsInACleanProfile) {
  for (const auto* name : {"none", "clean", "slow"}) {
    const auto profile = parse_fault_profile(name);
    EXPECT_FALSE(profile.any());
    for (int request = 0; request < 1000; ++request)
      ASSERT_EQ(draw_fault(profile, digest(request), 1), fault_kind::none);
  }
}

TEST(FaultPlan, EachKindHappensAtItsRateOnEveryAttempt) {
  const auto profile = parse_fault_profile("reset=0.02,cut=0.05,429=0.1");
  for (const int attempt : {1, 2, 7}) {
    std::array<int, fault_kinds> struck{};
    for (int request = 0; request < requests; ++request)
      ++struck[static_cast<std::size_t>(draw_fault(profile, digest(request), attempt))];
    const auto rate = [&](fault_kind kind) {
      return static_cast<double>(struck[static_cast<std::size_t>(kind)]) / requests;
    };
    EXPECT_NEAR(rate(fault_kind::reset), 0.02, 0.005);
    EXPECT_NEAR(rate(fault_kind::cut), 0.05, 0.008);
    EXPECT_NEAR(rate(fault_kind::refused_429), 0.1, 0.01);
    EXPECT_EQ(rate(fault_kind::stall), 0);
  }
}

TEST(FaultPlan, TheFaultOfAnAttemptIsDeterministic) {
  const auto profile = parse_fault_profile("faulty");
  int differing = 0;
  for (int request = 0; request < 1000; ++request) {
    ASSERT_EQ(draw_fault(profile, digest(request), 2), draw_fault(profile, digest(request), 2));
    differing += draw_fault(profile, digest(request), 1) != draw_fault(profile, digest(request), 2);
  }
  EXPECT_GT(differing, 100) << "the attempts of a request must not all get the same fault";
}

TEST(FaultPlan, FaultyFailsOneAttemptInFiveAndNeverFiveInARow) {
  const auto profile = parse_fault_profile("faulty");
  int struck = 0;
  for (int request = 0; request < requests; ++request) {
    struck += draw_fault(profile, digest(request), 1) != fault_kind::none;
    bool through = false;
    for (int attempt = 1; attempt <= 4; ++attempt)
      through = through || draw_fault(profile, digest(request), attempt) == fault_kind::none;
    ASSERT_TRUE(through);
  }
  const double rate = static_cast<double>(struck) / requests;
  EXPECT_GT(rate, 0.15);
  EXPECT_LT(rate, 0.25);
}

TEST(FaultPlan, AFaultWithProbabilityOneAlwaysHappens) {
  const auto profile = parse_fault_profile("500=1");
  for (int attempt = 1; attempt <= 50; ++attempt)
    EXPECT_EQ(draw_fault(profile, digest(0), attempt), fault_kind::error_500);
}

/// The faults of a key's attempts, up to the first without a fault.
std::vector<fault_kind> faults_until_success(fault_plan& plan, std::string_view key) {
  std::vector<fault_kind> met;
  do met.push_back(plan.next(digest(1), key));
  while (met.back() != fault_kind::none);
  return met;
}

TEST(FaultPlan, EqualRequestsGetTheSameSetOfFaultsInAnyOrder) {
  auto profile = parse_fault_profile("reset=0.3,cut=0.3,429=0.3");
  profile.longest_run = 3;
  constexpr int equals = 200;

  fault_plan in_turn(profile);
  std::vector<std::vector<fault_kind>> expected;
  for (int number = 0; number < equals; ++number)
    expected.push_back(faults_until_success(in_turn, "monday-" + std::to_string(number)));

  fault_plan side_by_side(profile);
  std::vector<std::vector<fault_kind>> met(equals);
  for (int attempt = 0; attempt < 9; ++attempt)
    for (int number = equals - 1; number >= 0; --number)
      if (auto& own = met[static_cast<std::size_t>(number)];
          own.empty() || own.back() != fault_kind::none)
        own.push_back(side_by_side.next(digest(1), "tuesday-" + std::to_string(number)));

  std::size_t longest = 0;
  for (const auto& own : met) longest = std::max(longest, own.size());
  EXPECT_EQ(longest, 4U) << "three faults, and then none";
  std::sort(expected.begin(), expected.end());
  std::sort(met.begin(), met.end());
  EXPECT_EQ(met, expected);
  EXPECT_NE(met.front(), met.back());
}

TEST(FaultPlan, TheFirstKeyOfABodyGetsTheFaultsOfTheBody) {
  const auto profile = parse_fault_profile("cut=0.5");
  fault_plan with_keys(profile);
  fault_plan without(profile);
  for (int attempt = 1; attempt <= 20; ++attempt) {
    const auto expected = draw_fault(profile, digest(1), attempt);
    EXPECT_EQ(with_keys.next(digest(1), "key"), expected);
    EXPECT_EQ(without.next(digest(1), ""), expected);
  }
}

TEST(FaultProfile, KnowsEveryKindByItsName) {
  for (std::size_t kind = 1; kind < fault_kinds; ++kind) {
    const auto name = std::string(name_of(static_cast<fault_kind>(kind)));
    EXPECT_EQ(parse_fault_profile(name + "=0.25").probability[kind], 0.25) << name;
  }
}

TEST(FaultProfile, ErrorsNameTheProblem) {
  const auto complaint = [](const char* text) -> std::string {
    try {
      parse_fault_profile(text);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(complaint("expode=0.1").find("'expode'"), std::string::npos);
  EXPECT_NE(complaint("cut").find("cut=0.05"), std::string::npos);
  EXPECT_NE(complaint("cut=1.5").find("from 0 to 1"), std::string::npos);
  EXPECT_NE(complaint("cut=nan").find("from 0 to 1"), std::string::npos);
  EXPECT_NE(complaint("cut=0.6,500=0.6").find("more than 1"), std::string::npos);
  EXPECT_NE(complaint("").find("empty"), std::string::npos);
}

}  // namespace
}  // namespace sluice::simulator
