#include "cluster/lease_watch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>

namespace sluice::cluster {
namespace {

using namespace std::chrono_literals;

constexpr duration lease_length = 60s;
constexpr std::int64_t second = 1'000'000;

// A database with leases, and one worker that watches the leases.
class LeaseWatch : public ::testing::Test {
 protected:
  std::int64_t database_now() const {
    const duration passed = now_ - time_point{};
    return 1'700'000'000 * second + set_ +
           std::chrono::duration_cast<std::chrono::microseconds>(passed).count();
  }
  void renew(std::int64_t chunk) {
    leases_[chunk] = {{1, chunk, 1}, database_now() + 60 * second, lease_length};
  }
  void set_clock(std::chrono::seconds by) { set_ += by.count() * second; }

  // The worker claims once. Returns true if it takes the chunk over. Each call takes 10 ms.
  bool looks(std::int64_t chunk) {
    claim_request request;
    request.lease = lease_length;
    const time_point begun = now_;
    watch_.ask(request, begun);
    now_ += 10ms;
    claim_answer answer;
    answer.now = database_now();
    const leased_chunk& one = leases_.at(chunk);
    const bool over = one.until < std::min(request.over_before.value_or(answer.now), answer.now);
    const bool silent = std::ranges::any_of(request.silent, [&](const leased_chunk& other) {
      return other.key == one.key && other.until == one.until;
    });
    for (const auto& [number, each] : leases_) answer.leased.push_back(each);
    watch_.learn(request, answer, begun, now_);
    return over || silent;
  }
  // The worker stores a result. The call takes 10 ms.
  void stores() {
    const time_point begun = now_;
    now_ += 10ms;
    watch_.learn_time(database_now(), lease_length, begun, now_);
  }
  // The time until the worker takes the chunk over if it claims once a second, but at most about
  // `most`.
  duration waits(std::int64_t chunk, duration most) {
    const time_point begun = now_;
    while (now_ - begun < most && !looks(chunk)) now_ += 1s;
    return now_ - begun;
  }

  time_point now_{time_point{} + 1h};
  std::int64_t set_ = 0;
  std::map<std::int64_t, leased_chunk> leases_;
  lease_watch watch_;
};

TEST_F(LeaseWatch, ALeaseRunsOutAfterItsLength) {
  renew(1);
  const duration waited = waits(1, 1h);
  EXPECT_GE(waited, 60s);
  EXPECT_LE(waited, 63s);
}

TEST_F(LeaseWatch, AFirstLookGoesByTheDatabaseAlone) {
  renew(1);
  now_ += 61s;
  EXPECT_TRUE(looks(1));
}

TEST_F(LeaseWatch, AHealthyWorkerKeepsItsLeaseThroughAnyStep) {
  for (const auto step : {3600s, -3600s, 5s, -5s, 70s, -70s}) {
    renew(1);
    waits(1, 5s);
    set_clock(step);
    for (int third = 0; third < 12; ++third) {
      EXPECT_EQ(looks(1), false) << step.count();
      EXPECT_GE(waits(1, 20s), 20s) << step.count();
      renew(1);
    }
  }
}

TEST_F(LeaseWatch, ALeaseThatWasRenewedAfterAStepHolds) {
  for (const auto step : {3600s, -3600s}) {
    renew(1);
    waits(1, 5s);
    set_clock(step);
    renew(1);
    EXPECT_GE(waits(1, 20s), 20s) << step.count();
  }
}

TEST_F(LeaseWatch, ADeadWorkerIsRelievedAfterAStepBack) {
  renew(1);
  waits(1, 5s);
  set_clock(-3600s);
  EXPECT_LE(waits(1, 1h), 65s);
}

TEST_F(LeaseWatch, ADeadWorkerIsRelievedAfterAStepForward) {
  renew(1);
  waits(1, 5s);
  set_clock(3600s);
  EXPECT_LE(waits(1, 1h), 65s);
}

TEST_F(LeaseWatch, AStepWhileNoOneLooksChangesNothing) {
  renew(1);
  EXPECT_FALSE(looks(1));
  now_ += 20s;
  set_clock(3600s);
  renew(1);
  set_clock(-7200s);
  EXPECT_FALSE(looks(1));
  const duration waited = waits(1, 1h);
  EXPECT_GE(waited, 55s);
  EXPECT_LE(waited, 65s);
}

// The lease that was renewed in between ends too early by the database's clock.
TEST_F(LeaseWatch, AStepBackAndForthBetweenTwoClaimsIsSeenInOtherAnswers) {
  renew(1);
  EXPECT_FALSE(looks(1));
  set_clock(-3600s);
  now_ += 5s;
  renew(1);
  stores();
  set_clock(3600s);
  now_ += 5s;
  EXPECT_FALSE(looks(1));
  const duration waited = waits(1, 1h);
  EXPECT_GE(waited, 50s);
  EXPECT_LE(waited, 65s);
}

TEST_F(LeaseWatch, AnswersThatArriveInAnotherOrderAreNoStep) {
  renew(1);
  const time_point begun = now_;
  const std::int64_t early = database_now();
  now_ += 20s;
  looks(1);
  watch_.learn_time(early, lease_length, begun, now_);
  leases_[2] = {{1, 2, 1}, database_now() - second, lease_length};
  EXPECT_TRUE(looks(2));
}

// While the database did not answer, no worker could renew its lease.
TEST_F(LeaseWatch, ALongOutageEndsNoLease) {
  for (const auto outage : {31s, 70s, 3600s}) {
    renew(1);
    waits(1, 5s);
    now_ += outage;
    EXPECT_FALSE(looks(1)) << outage.count();
    EXPECT_GE(waits(1, 20s), 20s) << outage.count();
    renew(1);
    EXPECT_GE(waits(1, 50s), 50s) << outage.count();
  }
}

TEST_F(LeaseWatch, ACallThatIsAnsweredLateEndsNoLease) {
  renew(1);
  looks(1);
  const time_point begun = now_;
  now_ += 70s;
  watch_.learn_time(database_now(), lease_length, begun, now_);
  EXPECT_FALSE(looks(1));
}

TEST_F(LeaseWatch, ADeadWorkerIsRelievedOneLeaseAfterAnOutage) {
  renew(1);
  waits(1, 5s);
  now_ += 70s;
  const duration waited = waits(1, 1h);
  EXPECT_GE(waited, 58s);
  EXPECT_LE(waited, 65s);
}

TEST_F(LeaseWatch, ClocksThatDifferALittleAreTrusted) {
  renew(1);
  looks(1);
  for (int i = 0; i < 58; ++i) {
    now_ += 1s;
    set_ += 300;  // 300 ppm
    EXPECT_FALSE(looks(1));
  }
  now_ += 2s;
  looks(1);
  EXPECT_TRUE(looks(1));
}

}  // namespace
}  // namespace sluice::cluster
