#include "cluster/job_store.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "cluster/chunk_rules.hpp"
#include "cluster/postgres_jobs.hpp"
#include "memory_job_store.hpp"
#include "store/postgres.hpp"
#include "support/postgres_server.hpp"

namespace sluice::cluster {
namespace {

using namespace std::chrono_literals;

usd dollars(const char* text) {
  return *usd::parse(text);
}

// These tests must pass with every kind of job store.
class JobStore : public ::testing::TestWithParam<const char*> {
 protected:
  JobStore() {
    if (std::string_view(GetParam()) == "memory") {
      auto made = std::make_unique<test::memory_job_store>();
      made->now = [this] { return std::int64_t{1'700'000'000'000'000} + passed_; };
      store_ = std::move(made);
    } else {
      store_ = open_postgres_jobs(test::postgres_server::shared().url());
      for (const auto& one : store_->list_jobs()) store_->remove_job(one.job.id);
    }
  }
  // Lets time pass for all leases. The clock of a database cannot be moved, so their ends are
  // moved.
  void pass(std::chrono::seconds time) {
    if (std::string_view(GetParam()) == "memory") {
      passed_ += std::chrono::microseconds(time).count();
    } else {
      store::postgres_connection database({.url = test::postgres_server::shared().url()});
      database.run(
          "UPDATE sluice.job_chunks "
          "SET lease_until = lease_until - $1::bigint * interval '1 second'",
          store::postgres_parameters().put(static_cast<std::int64_t>(time.count())));
    }
  }

  // A job of `chunks` chunks with `lines` lines each.
  job_id add(const std::string& name, std::uint64_t chunks, std::uint64_t lines,
             std::optional<usd> budget = {}) {
    const job_record job = store_->add_job({name, "salt", "print", chunks * lines, budget});
    for (std::uint64_t i = 0; i < chunks; ++i) {
      store_->add_block(job.id,
                        {i, i * lines + 1, (i + 1) * lines, "block " + std::to_string(i), {}});
    }
    store_->make_ready(job.id);
    return job.id;
  }
  claim_answer claim(const std::string& worker, std::chrono::milliseconds lease = 60s,
                     std::vector<lease_key> held = {}) {
    return store_->claim({name_of(worker), lease, false, 0, std::move(held)});
  }
  std::vector<lease_key> commit(const std::string& worker, std::vector<chunk_changes> changes) {
    return store_->commit({name_of(worker), ++sequence_[worker], 60s, std::move(changes)}).lost;
  }
  // A unique name for the worker: each test uses other names.
  std::string name_of(const std::string& worker) const {
    return worker + " of test " + std::to_string(number_);
  }
  static new_result result_of(std::uint64_t line, usd most = {}, usd cost = {}) {
    return {{line, true, "{\"line\":" + std::to_string(line) + "}"}, most, cost, {}};
  }

  std::unique_ptr<job_store> store_;
  std::map<std::string, std::uint64_t> sequence_;
  std::int64_t passed_ = 0;
  static inline int tests_ = 0;
  const int number_ = ++tests_;
};

INSTANTIATE_TEST_SUITE_P(All, JobStore, ::testing::Values("memory", "postgres"),
                         [](const auto& which) { return std::string(which.param); });

TEST_P(JobStore, AJobIsFoundByItsName) {
  const job_id id = add("a", 2, 3);
  const auto found = store_->find_job("a");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->id, id);
  EXPECT_EQ(found->identity, "salt");
  EXPECT_EQ(found->fingerprint, "print");
  EXPECT_EQ(found->lines, 6U);
  EXPECT_EQ(found->blocks, 2U);
  EXPECT_TRUE(found->ready);
  EXPECT_FALSE(found->finished);
  EXPECT_FALSE(store_->find_job("b"));
  const auto again = store_->add_job({"a", "other", "other", 7, {}});
  EXPECT_EQ(again.id, id);
  EXPECT_EQ(again.identity, "salt");
}

TEST_P(JobStore, ABlockIsStoredOnce) {
  const job_id id = add("a", 1, 3);
  store_->add_block(id, {0, 1, 3, "another", {}});
  EXPECT_EQ(store_->find_job("a")->blocks, 1U);
  EXPECT_EQ(claim("w").got->requests, "block 0");
  EXPECT_FALSE(claim("v").got);
}

TEST_P(JobStore, NothingIsClaimedBeforeTheJobIsReady) {
  const auto job = store_->add_job({"a", "salt", "print", 3, {}});
  store_->add_block(job.id, {0, 1, 3, "block", {}});
  EXPECT_FALSE(claim("w").got);
  store_->make_ready(job.id);
  EXPECT_TRUE(claim("w").got);
}

TEST_P(JobStore, EveryChunkIsLeasedOnceInOrder) {
  add("a", 2, 3);
  const auto first = claim("w");
  const auto second = claim("v");
  ASSERT_TRUE(first.got && second.got);
  EXPECT_EQ(first.got->first, 1U);
  EXPECT_EQ(first.got->last, 3U);
  EXPECT_EQ(first.got->requests, "block 0");
  EXPECT_EQ(first.got->key.epoch, 1);
  EXPECT_EQ(second.got->first, 4U);
  const auto third = claim("w", 60s, {first.got->key});
  EXPECT_FALSE(third.got);
  EXPECT_TRUE(third.more_to_come);  // the chunk of v
}

TEST_P(JobStore, AWorkerThatHasAllThatIsLeftFindsNothingMore) {
  add("a", 1, 3);
  const auto got = claim("w").got;
  EXPECT_FALSE(claim("w", 60s, {got->key}).more_to_come);
  EXPECT_TRUE(claim("w").more_to_come);  // w may have missed an answer; that lease expires
}

TEST_P(JobStore, ResultsAreStoredAndTheJobEnds) {
  const job_id id = add("a", 1, 2);
  const auto got = claim("w").got;
  EXPECT_TRUE(commit("w", {{got->key, {{1, 1, {}}, {2, 1, {}}}, {}, {}, false}}).empty());
  EXPECT_TRUE(
      commit("w", {{got->key, {}, {}, {result_of(2, {}, dollars("0.25"))}, false}}).empty());
  EXPECT_FALSE(store_->find_job("a")->finished);
  EXPECT_TRUE(commit("w", {{got->key, {}, {}, {result_of(1, {}, dollars("0.5"))}, false}}).empty());
  const auto job = store_->find_job("a");
  EXPECT_TRUE(job->finished);
  EXPECT_TRUE(job->finished_at);
  EXPECT_TRUE(job->started_at);
  const auto lines = store_->read_results(id, 0, 10);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].line, 1U);
  EXPECT_EQ(lines[0].text, "{\"line\":1}");
  EXPECT_EQ(store_->read_results(id, 2, 10).size(), 1U);
  EXPECT_EQ(store_->read_results(id, 0, 1).size(), 1U);
  const auto sums = store_->counters(id);
  EXPECT_EQ(sums.succeeded, 2U);
  EXPECT_EQ(sums.attempts, 2U);
  EXPECT_EQ(sums.cost, dollars("0.75"));
  EXPECT_FALSE(claim("w").got);
}

TEST_P(JobStore, ALeaseTellsWhetherTheJobHadASuccess) {
  add("a", 3, 1);
  add("b", 1, 1);
  const auto first = claim("w").got;
  EXPECT_FALSE(first->had_success);
  new_result failed = result_of(1);
  failed.line.succeeded = false;
  commit("w", {{first->key, {{1, 1, {}}}, {}, {failed}, false}});
  const auto second = claim("w").got;
  EXPECT_FALSE(second->had_success);
  commit("w", {{second->key, {{2, 1, {}}}, {}, {result_of(2)}, false}});
  EXPECT_TRUE(claim("v").got->had_success);
  const auto other = claim("v").got;
  ASSERT_TRUE(other);
  EXPECT_EQ(other->job.name, "b");
  EXPECT_FALSE(other->had_success);
}

TEST_P(JobStore, ABatchThatIsCommittedTwiceCountsOnce) {
  const job_id id = add("a", 1, 3);
  const auto got = claim("w").got;
  const change_batch batch{name_of("w"),
                           1,
                           60s,
                           {{got->key, {{1, 1, {}}}, {}, {result_of(1, {}, dollars("1"))}, false}}};
  std::int64_t time = claim("v").now;
  for (int call = 0; call < 2; ++call) {
    const commit_answer answer = store_->commit(batch);
    EXPECT_TRUE(answer.lost.empty());
    EXPECT_GE(answer.now, time);
    time = answer.now;
  }
  EXPECT_LE(time, claim("v").now);
  EXPECT_EQ(store_->counters(id).succeeded, 1U);
  EXPECT_EQ(store_->counters(id).attempts, 1U);
  EXPECT_EQ(store_->counters(id).cost, dollars("1"));
  // The worker's next batch counts.
  const chunk_changes next{got->key, {{2, 1, {}}}, {}, {result_of(2)}, false};
  EXPECT_TRUE(store_->commit({name_of("w"), 2, 60s, {next}}).lost.empty());
  EXPECT_EQ(store_->counters(id).succeeded, 2U);
}

TEST_P(JobStore, AChunkWhoseLeaseRanOutIsTakenOverAndItsHolderIsFencedOff) {
  const job_id id = add("a", 1, 3);
  const auto old = claim("w").got;
  commit("w", {{old->key, {{1, 1, {}}, {2, 1, {}}, {3, 1, {}}}, {}, {result_of(1)}, false}});
  commit("w", {{old->key, {}, {{3, 1, attempt_end::answered, {}}}, {}, false}});
  EXPECT_FALSE(claim("v").got);
  pass(61s);
  const auto taken = claim("v");
  ASSERT_TRUE(taken.got);
  EXPECT_EQ(taken.relieved_attempts, 1U);  // the attempt of line 2
  EXPECT_EQ(taken.got->key.epoch, 2);
  EXPECT_EQ(taken.got->finished, (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(taken.got->attempts.at(2), 1U);
  EXPECT_EQ(store_->counters(id).maybe_billed, 1U);
  // The old holder continues.
  EXPECT_EQ(commit("w", {{old->key, {{3, 2, {}}}, {}, {result_of(2)}, false}}).size(), 1U);
  EXPECT_EQ(store_->counters(id).succeeded, 1U);
  EXPECT_EQ(store_->counters(id).attempts, 3U);
  EXPECT_TRUE(commit("v", {{taken.got->key, {{2, 2, {}}}, {}, {result_of(2), result_of(3)}, false}})
                  .empty());
  EXPECT_TRUE(store_->find_job("a")->finished);
  EXPECT_EQ(store_->counters(id).retries, 1U);
}

TEST_P(JobStore, AWorkerNeverTakesOverAChunkThatItHolds) {
  add("a", 2, 1);
  const auto one = claim("w").got;
  const auto two = claim("w").got;
  pass(61s);
  const auto none = claim("w", 60s, {one->key, two->key});
  EXPECT_FALSE(none.got);
  EXPECT_FALSE(none.more_to_come);
  // A lease that it does not know belongs to a call whose answer was lost.
  const auto again = claim("w", 60s, {two->key}).got;
  ASSERT_TRUE(again);
  EXPECT_EQ(again->key.chunk, one->key.chunk);
  EXPECT_TRUE(commit("w", {{two->key, {{2, 1, {}}}, {}, {result_of(2)}, false}}).empty());
}

TEST_P(JobStore, ALateHolderThatNobodyRelievedGoesOn) {
  add("a", 1, 1);
  const auto got = claim("w").got;
  pass(61s);
  EXPECT_TRUE(commit("w", {{got->key, {{1, 1, {}}}, {}, {result_of(1)}, false}}).empty());
  EXPECT_TRUE(store_->find_job("a")->finished);
}

TEST_P(JobStore, ACommitExtendsTheLease) {
  add("a", 1, 2);
  const auto got = claim("w", 20s).got;
  // This extends the lease to one minute.
  EXPECT_TRUE(commit("w", {{got->key, {}, {}, {}, false}}).empty());
  pass(30s);
  EXPECT_FALSE(claim("v").got);
}

TEST_P(JobStore, AReleasedChunkIsFree) {
  const job_id id = add("a", 1, 2);
  const auto got = claim("w").got;
  EXPECT_TRUE(commit("w", {{got->key, {{1, 1, {}}}, {}, {result_of(1)}, true}}).empty());
  const auto next = claim("v");
  ASSERT_TRUE(next.got);
  EXPECT_EQ(next.got->key.epoch, 2);
  EXPECT_EQ(next.got->finished, (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(store_->counters(id).maybe_billed, 0U);
}

TEST_P(JobStore, AnAttemptThatWasNotSentDoesNotCount) {
  const job_id id = add("a", 1, 1);
  const auto got = claim("w").got;
  commit("w", {{got->key, {{1, 1, {}}}, {}, {}, false}});
  commit("w", {{got->key, {}, {{1, 1, attempt_end::unsent, {}}}, {}, false}});
  EXPECT_EQ(store_->counters(id).attempts, 0U);
}

TEST_P(JobStore, BadLinesHaveTheirResultFromTheStart) {
  const auto job = store_->add_job({"a", "salt", "print", 3, {}});
  store_->add_block(job.id, {0, 1, 2, "block", {{2, false, "{\"bad\":1}"}}});
  store_->add_block(job.id, {1, 3, 3, "block", {{3, false, "{\"bad\":2}"}}});
  store_->make_ready(job.id);
  EXPECT_EQ(store_->counters(job.id).failed, 2U);
  const auto got = claim("w").got;
  EXPECT_EQ(got->finished, (std::vector<std::uint64_t>{2}));
  commit("w", {{got->key, {{1, 1, {}}}, {}, {result_of(1)}, false}});
  EXPECT_TRUE(store_->find_job("a")->finished);
}

TEST_P(JobStore, AJobOfBadLinesAloneIsFinishedAtOnce) {
  const auto job = store_->add_job({"a", "salt", "print", 1, {}});
  store_->add_block(job.id, {0, 1, 1, "block", {{1, false, "{}"}}});
  store_->make_ready(job.id);
  EXPECT_TRUE(store_->find_job("a")->finished);
}

TEST_P(JobStore, ABudgetIsReservedForTheLinesThatFit) {
  add("a", 1, 10, dollars("1"));
  const auto got = claim("w").got;
  std::vector<line_reserve> wanted;
  for (std::uint64_t line = 1; line <= 10; ++line) wanted.push_back({line, dollars("0.3")});
  const auto answer = store_->reserve(got->key, wanted, true);
  EXPECT_EQ(answer.lines, 3U);
  EXPECT_FALSE(answer.exhausted);
  EXPECT_EQ(store_->find_job("a")->reserved, dollars("0.9"));
  // The other lines are now a separate chunk, which waits for money.
  const auto rest = claim("v").got;
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->first, 4U);
  EXPECT_EQ(rest->last, 10U);
  EXPECT_EQ(rest->requests, "block 0");
  const auto none = store_->reserve(rest->key, {{4, dollars("0.3")}}, true);
  EXPECT_EQ(none.lines, 0U);
  EXPECT_FALSE(none.exhausted);
  // The result costs less than reserved: the rest of the reservation is returned.
  commit("w", {{got->key,
                {{1, 1, dollars("0.3")}},
                {},
                {result_of(1, dollars("0.3"), dollars("0.01"))},
                false}});
  EXPECT_EQ(store_->find_job("a")->reserved, dollars("0.6"));
  EXPECT_EQ(store_->find_job("a")->spent, dollars("0.01"));
  EXPECT_EQ(store_->reserve(rest->key, {{4, dollars("0.3")}, {5, dollars("0.3")}}, true).lines, 1U);
}

TEST_P(JobStore, MoneyOfAttemptsInFlightStaysReservedWhenTheirWorkerDies) {
  const job_id id = add("a", 1, 3, dollars("1"));
  const auto got = claim("w").got;
  EXPECT_EQ(
      store_
          ->reserve(got->key, {{1, dollars("0.3")}, {2, dollars("0.3")}, {3, dollars("0.3")}}, true)
          .lines,
      3U);
  commit("w", {{got->key, {{1, 1, dollars("0.3")}}, {}, {}, false}});
  pass(61s);
  const auto taken = claim("v").got;
  ASSERT_TRUE(taken);
  const auto job = store_->find_job("a");
  EXPECT_EQ(job->spent, dollars("0.3"));
  EXPECT_EQ(job->reserved, usd{});
  EXPECT_EQ(store_->counters(id).kept, dollars("0.3"));
  EXPECT_EQ(store_
                ->reserve(taken->key,
                          {{1, dollars("0.3")}, {2, dollars("0.3")}, {3, dollars("0.3")}}, true)
                .lines,
            2U);
}

TEST_P(JobStore, AReservationIsKeptAfterALostAttemptAndNotAfterAnError) {
  add("a", 1, 2, dollars("1"));
  const auto got = claim("w").got;
  store_->reserve(got->key, {{1, dollars("0.3")}, {2, dollars("0.3")}}, true);
  commit("w", {{got->key, {{1, 1, dollars("0.3")}, {2, 1, dollars("0.3")}}, {}, {}, false}});
  commit(
      "w",
      {{got->key,
        {},
        {{1, 1, attempt_end::lost, dollars("0.3")}, {2, 1, attempt_end::answered, dollars("0.3")}},
        {},
        false}});
  EXPECT_EQ(store_->find_job("a")->spent, dollars("0.3"));
  EXPECT_EQ(store_->find_job("a")->reserved, dollars("0.3"));
  commit("w", {{got->key, {}, {}, {}, true}});
  EXPECT_EQ(store_->find_job("a")->reserved, usd{});
}

TEST_P(JobStore, AJobWithoutMoneyIsLeftAloneUntilItGetsMore) {
  const job_id id = add("a", 1, 2, dollars("0.1"));
  const auto got = claim("w").got;
  const auto answer = store_->reserve(got->key, {{1, dollars("0.3")}}, true);
  EXPECT_EQ(answer.lines, 0U);
  EXPECT_TRUE(answer.exhausted);
  commit("w", {{got->key, {}, {}, {}, true}});
  const auto none = claim("w");
  EXPECT_FALSE(none.got);
  EXPECT_FALSE(none.more_to_come);
  EXPECT_EQ(none.exhausted, (std::vector<std::string>{"a"}));
  EXPECT_TRUE(store_->set_budget(id, dollars("5")));
  EXPECT_TRUE(claim("w").got);
}

TEST_P(JobStore, ABudgetThatIsSetLaterCountsWhatTheJobHasCost) {
  const job_id id = add("a", 1, 4);
  const auto got = claim("w").got;
  commit("w", {{got->key,
                {{1, 1, {}}, {2, 1, {}}},
                {},
                {result_of(1, {}, dollars("0.5")), result_of(2, {}, dollars("0.2"))},
                true}});
  ASSERT_TRUE(store_->set_budget(id, dollars("1")));
  EXPECT_EQ(store_->find_job("a")->spent, dollars("0.7"));
  const auto rest = claim("w").got;
  ASSERT_TRUE(rest);
  EXPECT_EQ(store_->reserve(rest->key, {{3, dollars("0.3")}, {4, dollars("0.3")}}, true).lines, 1U);
  // Another budget changes neither what is spent nor what is reserved.
  ASSERT_TRUE(store_->set_budget(id, dollars("2")));
  EXPECT_EQ(store_->find_job("a")->spent, dollars("0.7"));
  EXPECT_EQ(store_->find_job("a")->reserved, dollars("0.3"));
  commit("w", {{rest->key, {{3, 1, dollars("0.3")}}, {}, {}, false}});
  pass(61s);
  ASSERT_TRUE(claim("v").got);
  ASSERT_TRUE(store_->set_budget(id, dollars("3")));
  EXPECT_EQ(store_->find_job("a")->spent, dollars("1"));  // the attempt may have been billed
}

// What they send is not reserved, so it could exceed the budget.
TEST_P(JobStore, NoBudgetIsSetWhileWorkersHoldChunksWithoutOne) {
  const job_id id = add("a", 2, 1);
  const auto got = claim("w").got;
  EXPECT_FALSE(store_->set_budget(id, dollars("1")));
  EXPECT_FALSE(store_->find_job("a")->budget);
  pass(61s);
  ASSERT_TRUE(store_->set_budget(id, dollars("1")));
  EXPECT_EQ(commit("w", {{got->key, {{1, 1, {}}}, {}, {}, false}}).size(), 1U);
  const auto taken = claim("v").got;
  ASSERT_TRUE(taken);
  EXPECT_TRUE(taken->job.budget);
}

TEST_P(JobStore, CheaperLinesGoAheadOfOneThatIsTooDear) {
  const job_id id = add("a", 1, 4, dollars("1"));
  const auto first = claim("w").got;
  const auto none = store_->reserve(
      first->key, {{1, dollars("3")}, {2, dollars("2")}, {3, dollars("0.4")}, {4, dollars("0.4")}},
      true);
  EXPECT_EQ(none.lines, 0U);
  EXPECT_FALSE(none.exhausted);
  commit("w", {{first->key, {}, {}, {}, true}});
  // The two lines that are too expensive stay in the queue.
  const auto rest = claim("w").got;
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->first, 3U);
  EXPECT_EQ(rest->last, 4U);
  EXPECT_EQ(store_->reserve(rest->key, {{3, dollars("0.4")}, {4, dollars("0.4")}}, true).lines, 2U);
  const auto waits = claim("v");
  EXPECT_FALSE(waits.got);
  EXPECT_TRUE(waits.more_to_come);
  EXPECT_TRUE(waits.exhausted.empty());
  commit("w", {{rest->key,
                {{3, 1, dollars("0.4")}, {4, 1, dollars("0.4")}},
                {},
                {result_of(3, dollars("0.4"), dollars("0.1")),
                 result_of(4, dollars("0.4"), dollars("0.1"))},
                false}});
  // Nothing is reserved any more, so no worker waits for this money.
  const auto end = claim("v");
  EXPECT_FALSE(end.got);
  EXPECT_FALSE(end.more_to_come);
  EXPECT_EQ(end.exhausted, (std::vector<std::string>{"a"}));
  store_->set_budget(id, dollars("5"));
  const auto dear = claim("v").got;
  ASSERT_TRUE(dear);
  EXPECT_EQ(dear->first, 1U);
  EXPECT_EQ(dear->last, 2U);
  EXPECT_EQ(store_->reserve(dear->key, {{1, dollars("3")}, {2, dollars("2")}}, true).lines, 1U);
}

TEST_P(JobStore, AChunkThatIsSplitOffKnowsTheAttemptsOfItsLines) {
  add("a", 1, 3, dollars("1"));
  const auto first = claim("w").got;
  ASSERT_EQ(store_
                ->reserve(first->key,
                          {{1, dollars("0.3")}, {2, dollars("0.3")}, {3, dollars("0.3")}}, true)
                .lines,
            3U);
  commit("w", {{first->key, {{3, 1, dollars("0.3")}}, {}, {}, false}});
  commit("w", {{first->key, {}, {{3, 1, attempt_end::answered, dollars("0.3")}}, {}, true}});
  const auto second = claim("v").got;
  ASSERT_TRUE(second);
  EXPECT_EQ(second->attempts.at(3), 1U);
  ASSERT_EQ(store_
                ->reserve(second->key,
                          {{1, dollars("0.6")}, {2, dollars("0.6")}, {3, dollars("0.6")}}, true)
                .lines,
            1U);
  const auto rest = claim("v").got;
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->first, 2U);
  ASSERT_TRUE(rest->attempts.contains(3));
  EXPECT_EQ(rest->attempts.at(3), 1U);
}

TEST_P(JobStore, ALineThatIsTooDearGoesWhenMoneyIsFreed) {
  add("a", 1, 2, dollars("1"));
  const auto first = claim("w").got;
  EXPECT_EQ(store_->reserve(first->key, {{1, dollars("0.6")}, {2, dollars("0.6")}}, true).lines,
            1U);
  const auto second = claim("v").got;
  ASSERT_TRUE(second);
  EXPECT_EQ(store_->reserve(second->key, {{2, dollars("0.6")}}, true).lines, 0U);
  commit("v", {{second->key, {}, {}, {}, true}});
  EXPECT_FALSE(claim("v").got);
  commit("w", {{first->key,
                {{1, 1, dollars("0.6")}},
                {},
                {result_of(1, dollars("0.6"), dollars("0.1"))},
                false}});
  const auto again = claim("v").got;
  ASSERT_TRUE(again);
  EXPECT_EQ(store_->reserve(again->key, {{2, dollars("0.6")}}, true).lines, 1U);
}

TEST_P(JobStore, MoneyOfALostChunkIsNotReserved) {
  add("a", 1, 2, dollars("1"));
  const auto got = claim("w").got;
  pass(61s);
  claim("v");
  EXPECT_TRUE(store_->reserve(got->key, {{1, dollars("0.3")}}, true).lost);
  EXPECT_EQ(store_->find_job("a")->reserved, usd{});
}

// Otherwise the worker that waits for this money would claim the free chunk again and again.
TEST_P(JobStore, AChunkThatHoldsMoneyOfASilentWorkerIsTakenFirst) {
  add("a", 2, 1, dollars("1"));
  const auto free = claim("w").got;
  const auto silent = claim("w").got;
  EXPECT_EQ(store_->reserve(silent->key, {{2, dollars("0.9")}}, true).lines, 1U);
  commit("w", {{free->key, {}, {}, {}, true}});
  pass(61s);
  const auto taken = store_->claim({name_of("v"), 60s, false, 0, {}, true}).got;
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->key.chunk, silent->key.chunk);
  EXPECT_EQ(store_->find_job("a")->reserved, usd{});
  EXPECT_EQ(claim("v").got->key.chunk, free->key.chunk);
}

// The money that is reserved for it would never be freed.
TEST_P(JobStore, ASkippedChunkOfASilentWorkerIsTakenToo) {
  const job_id id = add("a", 1, 1, dollars("1"));
  const auto silent = claim("w").got;
  ASSERT_TRUE(silent);
  EXPECT_EQ(store_->reserve(silent->key, {{1, dollars("0.9")}}, true).lines, 1U);
  claim_request request;
  request.worker = name_of("v");
  request.lease = 60s;
  request.skipped_chunks = {{id, silent->key.chunk}};
  const auto none = store_->claim(request);
  EXPECT_FALSE(none.got);
  EXPECT_FALSE(none.more_to_come);
  pass(61s);
  const auto taken = store_->claim(request).got;
  ASSERT_TRUE(taken);
  EXPECT_EQ(store_->find_job("a")->reserved, usd{});
  commit("v", {{taken->key, {}, {}, {}, true}});
  EXPECT_FALSE(store_->claim(request).got);
}

TEST_P(JobStore, JobsTakeTurns) {
  const job_id first = add("a", 5, 1);
  const job_id second = add("b", 5, 1);
  EXPECT_EQ(store_->claim({"w", 60s, false, 0, {}}).got->key.job, first);
  EXPECT_EQ(store_->claim({"w", 60s, false, first, {}}).got->key.job, second);
  EXPECT_EQ(store_->claim({"w", 60s, false, second, {}}).got->key.job, first);
}

TEST_P(JobStore, ASimulatorDoesNotServeARealJobNorTheReverse) {
  add("a", 2, 1);
  EXPECT_TRUE(store_->claim({"w", 60s, true, 0, {}}).got);
  EXPECT_FALSE(store_->claim({"w", 60s, false, 0, {}}).got);
  EXPECT_TRUE(*store_->find_job("a")->simulated);
}

TEST_P(JobStore, JobsAreListedWithTheirProgress) {
  add("a", 2, 2);
  add("b", 1, 1);
  const auto got = claim("w").got;
  commit("w", {{got->key, {{1, 1, {}}}, {}, {result_of(1, {}, dollars("0.5"))}, false}});
  const auto all = store_->list_jobs();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].job.name, "a");
  EXPECT_EQ(all[0].sums.succeeded, 1U);
  EXPECT_EQ(all[0].sums.cost, dollars("0.5"));
  EXPECT_EQ(all[0].leased_chunks, 1U);
  EXPECT_EQ(all[0].open_chunks, 2U);
  EXPECT_EQ(all[0].workers, 1U);
  EXPECT_EQ(all[1].open_chunks, 1U);
}

TEST_P(JobStore, AJobWhoseWorkersAreDeadHasNoWorkers) {
  add("a", 2, 1);
  ASSERT_TRUE(claim("w").got);
  ASSERT_TRUE(claim("v", 300s).got);
  pass(61s);
  const auto listed = store_->list_jobs().front();
  EXPECT_EQ(listed.workers, 1U);
  EXPECT_EQ(listed.leased_chunks, 1U);
  EXPECT_EQ(listed.open_chunks, 2U);
  pass(300s);
  EXPECT_EQ(store_->list_jobs().front().workers, 0U);
}

TEST_P(JobStore, ARemovedJobIsGone) {
  const job_id id = add("a", 2, 2);
  const auto got = claim("w").got;
  store_->remove_job(id);
  EXPECT_FALSE(store_->find_job("a"));
  EXPECT_EQ(commit("w", {{got->key, {{1, 1, {}}}, {}, {}, false}}).size(), 1U);
  EXPECT_FALSE(claim("w").got);
  add("a", 1, 1);
  EXPECT_TRUE(claim("w").got);
}

TEST_P(JobStore, TheWindowIsShared) {
  static int number = 0;
  window_call call;
  call.window = "window " + std::to_string(++number) + GetParam();
  call.holder = "a";
  call.cap = 5;
  call.wanted = 4;
  call.valid = 3s;
  call.reach = 11s;
  EXPECT_EQ(store_->call_window(call).granted, 0U);  // the first call of this holder
  call.last_now = 1;
  call.clock_steps = 999;
  EXPECT_EQ(store_->call_window(call).granted, 4U);
  call.holder = "b";
  const auto answer = store_->call_window(call);
  EXPECT_EQ(answer.granted, 1U);
  EXPECT_EQ(answer.held_by_others, 4U);
  EXPECT_GT(answer.now, std::int64_t{1'600'000'000'000'000});
}

TEST(ChunkRules, AChunkIsSoSmallThatEveryWorkerGetsSome) {
  EXPECT_EQ(usual_chunk_lines(1), 1U);
  EXPECT_EQ(usual_chunk_lines(64), 1U);
  EXPECT_EQ(usual_chunk_lines(100), 2U);
  EXPECT_EQ(usual_chunk_lines(10'000), 157U);
  EXPECT_EQ(usual_chunk_lines(10'000'000), 1000U);
}

}  // namespace
}  // namespace sluice::cluster
