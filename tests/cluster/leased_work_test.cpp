#include "cluster/leased_work.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "async/background.hpp"
#include "cluster/enqueue.hpp"
#include "memory_job_store.hpp"
#include "support/manual_clock.hpp"
#include "support/temp_dir.hpp"

namespace sluice::cluster {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

// One worker without an engine, in virtual time: the test is the engine.
class LeasedWork : public ::testing::Test {
 protected:
  static constexpr std::size_t too_many_claims = 1000;

  LeasedWork() {
    store_.now = [this] {
      return std::int64_t{1'700'000'000'000'000} +
             static_cast<std::int64_t>(time_.since_start() * 1e6) + clock_set_;
    };
    store_.before = [this](const std::string& call) {
      if (call == "claim" && ++claims_ > too_many_claims) work_.stop(1min);
      if (fails_(call)) throw store::store_error("the connection is lost");
    };
  }

  void add(std::uint64_t lines, std::optional<usd> budget, std::uint64_t chunk_lines) {
    add_models(std::vector<std::string>(lines, "gpt-4-1106-preview"), budget, chunk_lines);
  }
  // A job with one line for each of the models.
  void add_models(const std::vector<std::string>& models, std::optional<usd> budget,
                  std::uint64_t chunk_lines) {
    std::string text;
    for (const std::string& model : models) {
      text += R"({"model":")" + model;
      text += R"(","messages":[{"role":"user","content":"a"}],"max_tokens":5})";
      text += '\n';
    }
    enqueue_options options;
    options.lines.stream = false;
    options.budget = budget;
    options.chunk_lines = chunk_lines;
    enqueue(store_, folder_.write("job.jsonl", text), "job", options);
  }
  void begin() {
    asio::co_spawn(loop_, work_.work(), [this](const std::exception_ptr&) { ended_ = true; });
  }
  void run_for(duration length) {
    const time_point until = time_.now() + length;
    bool over = false;
    time_.call_at(until, [&over] { over = true; });
    test::run_virtual(loop_, time_, [&] { return over || ended_; });
  }
  leased_work::setup parts() {
    return {.loop = loop_,
            .time = time_,
            .store = store_,
            .threads = threads_,
            .prices = prices_,
            .say = [this](severity, const std::string& sentence) { said_.push_back(sentence); },
            .stop_run = [] {},
            .funds_changed = [] {}};
  }
  // How often the work has said something that contains these words.
  std::ptrdiff_t told(const std::string& words) const {
    return std::ranges::count_if(said_, [&](const std::string& sentence) {
      return sentence.find(words) != std::string::npos;
    });
  }
  request next() {
    auto got = work_.next();
    if (!got) throw std::logic_error("there is no request");
    return *std::move(got);
  }
  static attempt_record first_attempt(const request& of) {
    return {of.job, of.custom_id, 1, of.most};
  }
  static result failed(const request& of) {
    return {.job = of.job,
            .line = of.line,
            .custom_id = of.custom_id,
            .relay = {},
            .target = of.target,
            .model = {},
            .digest = {},
            .ttft_ms = {},
            .outcome = failure{}};
  }

  // The maximum cost of a request: 17 tokens at $10 and 5 at $30 per million.
  static constexpr usd a_request = usd::from_units(usd::units{320'000'000'000'000});
  static constexpr usd half = usd::from_units(a_request.count() / 2);
  test::temp_dir folder_;
  asio::io_context loop_{1};
  test::manual_clock time_;
  test::memory_job_store store_;
  background threads_{loop_, 0};
  relay_prices prices_{price_table::built_in()};
  std::int64_t clock_set_ = 0;  // microseconds by which the clock of the store was set
  std::size_t claims_ = 0;
  std::function<bool(const std::string& call)> fails_ = [](const std::string&) { return false; };
  std::vector<std::string> said_;
  bool ended_ = false;
  leased_work work_{parts(), {.worker = "w", .lease = 60s}};
};

// A reservation of another worker may be released at any time, so this worker asks again once a
// second.
TEST_F(LeasedWork, AClaimThatGotNoMoneyWaitsBeforeTheNext) {
  add(2, a_request + a_request, 1);
  const auto other = store_.claim({"other", 1h, false, 0, {}}).got;
  ASSERT_EQ(store_.reserve(other->key, {{1, a_request + half}}, true).lines, 1U);
  claims_ = 0;
  begin();
  run_for(30s);
  EXPECT_GE(claims_, 20U);
  EXPECT_LE(claims_, 40U);
  work_.close(1s);
  run_for(30s);
  EXPECT_TRUE(ended_);
}

// If the request waited in its chunk, the money that is reserved for this chunk would never be
// released.
TEST_F(LeasedWork, ARequestThatGetsNoMoneyGoesBackToTheQueue) {
  add(2, a_request + a_request + half, 2);
  begin();
  run_for(1s);
  const request one = next();
  const request two = next();
  ASSERT_EQ(one.most, a_request);
  for (const request* each : {&one, &two}) {
    EXPECT_EQ(work_.reserve(*each), funds::reserved);
    work_.attempt_started(first_attempt(*each));
  }
  work_.attempt_ended(first_attempt(one), attempt_end::lost);
  EXPECT_EQ(work_.reserve(one), funds::wait);
  run_for(5s);
  EXPECT_EQ(work_.reserve(one), funds::never);
  work_.left_pending(one);
  work_.attempt_ended(first_attempt(two), attempt_end::lost);
  EXPECT_EQ(work_.reserve(two), funds::wait);
  run_for(5s);
  EXPECT_EQ(work_.reserve(two), funds::never);
  work_.left_pending(two);
  run_for(5s);
  // Now there is no other reservation that could release money.
  EXPECT_EQ(work_.ended_by(), leased_work::end_reason::budget);
  const auto listed = store_.list_jobs().front();
  EXPECT_TRUE(listed.job.exhausted);
  EXPECT_EQ(listed.job.spent, a_request + a_request);
  EXPECT_EQ(listed.job.reserved, usd{});
  EXPECT_EQ(listed.leased_chunks, 0U);
  EXPECT_EQ(listed.sums.maybe_billed, 2U);
  work_.close(1s);
  run_for(5s);
  EXPECT_TRUE(ended_);
}

// The other worker can send the cheap line.
TEST_F(LeasedWork, AChunkWithALineThatIsSkippedDoesNotWaitForMoney) {
  work_.gave_up_model("gpt-4o-mini");
  add_models({"gpt-4-1106-preview", "gpt-4o-mini"}, half, 2);
  begin();
  run_for(10s);
  EXPECT_LE(claims_, 4U);
  EXPECT_EQ(work_.ended_by(), leased_work::end_reason::none);
  const auto listed = store_.list_jobs().front();
  EXPECT_FALSE(listed.job.exhausted);
  EXPECT_EQ(listed.leased_chunks, 0U);
  EXPECT_TRUE(store_.claim({"other", 60s, false, 0, {}}).got);
  work_.close(1s);
  run_for(5s);
  EXPECT_TRUE(ended_);
}

// So equal refusals of its first requests do not end a worker that joins a job late.
TEST_F(LeasedWork, ASuccessOfAnotherWorkerIsASuccessOfTheJob) {
  add(3, std::nullopt, 1);
  begin();
  run_for(1s);
  const request one = next();
  EXPECT_FALSE(work_.had_success(one.job, {}));
  EXPECT_EQ(store_.list_jobs().front().leased_chunks, 3U);
  work_.close(1s);
  run_for(5s);
  ASSERT_TRUE(ended_);

  const auto other = store_.claim({"other", 60s, false, 0, {}}).got;
  ASSERT_TRUE(other);
  new_result success;
  success.line = {other->first, true, "{}"};
  store_.commit({"other", 1, 60s, {{other->key, {{other->first, 1, {}}}, {}, {success}, false}}});
  leased_work late(parts(), {.worker = "late", .lease = 60s});
  bool over = false;
  asio::co_spawn(loop_, late.work(), [&](const std::exception_ptr&) { over = true; });
  ended_ = false;
  run_for(1s);
  const auto two = late.next();
  ASSERT_TRUE(two);
  EXPECT_TRUE(late.had_success(two->job, {}));
  late.close(1s);
  ended_ = false;
  run_for(5s);
  EXPECT_TRUE(over);
}

// A worker with enough requests does not claim. It learns from its other calls that the clock of
// the database was set back and forward again. By this clock, the lease that was renewed in between
// has ended.
TEST_F(LeasedWork, AWorkerThatDoesNotClaimSeesTheClockOfTheDatabaseChange) {
  constexpr std::int64_t hour = 3'600'000'000;
  const auto in_hand = static_cast<std::uint64_t>(leased_work::options{}.in_hand);
  add(2 * in_hand, std::nullopt, in_hand);
  const auto other = store_.claim({"other", 60s, false, 0, {}}).got;
  store_.commit({"other", 1, 60s, {{other->key, {{other->first, 1, {}}}, {}, {}, false}}});
  begin();
  run_for(1s);
  const request one = next();
  clock_set_ = -hour;
  store_.commit({"other", 2, 60s, {{other->key, {}, {}, {}, false}}});
  work_.attempt_started(first_attempt(one));
  claims_ = 0;
  run_for(1s);
  clock_set_ = 0;
  run_for(1s);
  EXPECT_EQ(claims_, 0U);
  work_.put(failed(one));
  run_for(1s);
  EXPECT_GT(claims_, 0U);
  EXPECT_EQ(store_.list_jobs().front().sums.maybe_billed, 0U);
  EXPECT_TRUE(store_.commit({"other", 3, 60s, {{other->key, {}, {}, {}, false}}}).lost.empty());
  work_.close(1s);
  run_for(5s);
  EXPECT_TRUE(ended_);
}

// No lease could be renewed meanwhile. If the first call after the outage is a claim, the worker
// must not take over its own chunk: the results in its memory would be refused.
TEST_F(LeasedWork, AnOutageThatIsLongerThanTheLeaseCostsNoChunk) {
  add(2, std::nullopt, 1);
  const auto other = store_.claim({"other", 10h, false, 0, {}}).got;
  ASSERT_TRUE(other);
  begin();
  run_for(1s);
  const request one = next();
  work_.attempt_started(first_attempt(one));
  run_for(1s);
  fails_ = [](const std::string&) { return true; };
  work_.put(failed(one));
  run_for(70s);
  const std::size_t before = claims_;
  fails_ = [](const std::string& call) { return call == "commit"; };
  run_for(3s);
  EXPECT_GT(claims_, before);
  fails_ = [](const std::string&) { return false; };
  run_for(3s);
  EXPECT_EQ(work_.sums().lost_chunks, 0U);
  EXPECT_EQ(work_.sums().chunks, 1U);
  const auto sums = store_.list_jobs().front().sums;
  EXPECT_EQ(sums.failed, 1U);
  EXPECT_EQ(sums.attempts, 1U);
  EXPECT_EQ(sums.maybe_billed, 0U);
  work_.close(1s);
  run_for(5s);
  EXPECT_TRUE(ended_);
}

TEST_F(LeasedWork, ResultsThatCannotBeStoredAreTheReasonOfTheEnd) {
  add(1, std::nullopt, 1);
  begin();
  run_for(1s);
  const request one = next();
  work_.attempt_started(first_attempt(one));
  run_for(1s);
  fails_ = [](const std::string&) { return true; };
  work_.put(failed(one));
  run_for(1s);
  work_.close(10min);
  run_for(1s);
  work_.close(5s);
  work_.close(10min);
  run_for(20s);
  EXPECT_TRUE(ended_);
  EXPECT_EQ(work_.ended_by(), leased_work::end_reason::database);
  EXPECT_NE(work_.why().find("the database has been away for"), std::string::npos);
  EXPECT_EQ(work_.sums().unstored, 1U);
}

// An attempt waits for its record, and the run for the attempt.
TEST_F(LeasedWork, AfterASignalAnOutageIsWaitedForOnlyForTheGrace) {
  add(1, std::nullopt, 1);
  begin();
  run_for(1s);
  const request one = next();
  fails_ = [](const std::string&) { return true; };
  bool answered = false;
  work_.attempt_started(first_attempt(one));
  work_.record([&answered](const std::exception_ptr&) { answered = true; });
  run_for(5s);
  work_.stop(10s);
  work_.stop(1min);
  run_for(9s);
  EXPECT_FALSE(answered);
  run_for(2s);
  EXPECT_TRUE(answered);
  EXPECT_FALSE(work_.may_send(first_attempt(one)));
  EXPECT_EQ(work_.ended_by(), leased_work::end_reason::stopped);
  work_.close(1min);
  run_for(5s);
  EXPECT_TRUE(ended_);
}

TEST_F(LeasedWork, AfterASecondSignalAnOutageIsNotWaitedFor) {
  add(1, std::nullopt, 1);
  begin();
  run_for(1s);
  const request one = next();
  fails_ = [](const std::string&) { return true; };
  bool answered = false;
  work_.attempt_started(first_attempt(one));
  work_.record([&answered](const std::exception_ptr&) { answered = true; });
  run_for(5s);
  work_.stop(10s);
  run_for(1s);
  work_.stop(0s);
  run_for(1s);
  EXPECT_TRUE(answered);
  work_.close(1min);
  run_for(5s);
  EXPECT_TRUE(ended_);
}

// It was given up when all that was left was in hand, so no claim followed.
TEST_F(LeasedWork, AJobThatIsGivenUpIsNamedAtTheEnd) {
  add(1, std::nullopt, 1);
  begin();
  run_for(5s);
  const request one = next();
  work_.attempt_started(first_attempt(one));
  run_for(1s);
  work_.attempt_ended(first_attempt(one), attempt_end::answered);
  EXPECT_TRUE(work_.gave_up_job(one.job, "all were refused"));
  EXPECT_EQ(told("job: all were refused"), 1);
  work_.left_pending(one);
  run_for(5s);
  work_.close(1min);
  run_for(5s);
  EXPECT_TRUE(ended_);
  EXPECT_EQ(work_.ended_by(), leased_work::end_reason::left_pending);
  EXPECT_EQ(work_.why(), "job: all were refused");
}

TEST_F(LeasedWork, AWorkerThatOnlyCannotWriteGivesUpToo) {
  add(2, std::nullopt, 1);
  const auto other = store_.claim({"other", 10h, false, 0, {}}).got;
  ASSERT_TRUE(other);
  begin();
  run_for(1s);
  const request one = next();
  work_.attempt_started(first_attempt(one));
  run_for(1s);
  fails_ = [](const std::string& call) { return call == "commit"; };
  work_.put(failed(one));
  run_for(5min);
  EXPECT_EQ(work_.ended_by(), leased_work::end_reason::none);
  run_for(6min);
  EXPECT_EQ(work_.ended_by(), leased_work::end_reason::database);
  EXPECT_EQ(told("nothing new is sent"), 1);
  EXPECT_EQ(told("the database answers again"), 0);
  work_.close(1s);
  run_for(5s);
  EXPECT_TRUE(ended_);
}

TEST_F(LeasedWork, TheDatabaseAnswersAgainWhenEveryKindOfCallDoes) {
  add(2, std::nullopt, 1);
  const auto other = store_.claim({"other", 10h, false, 0, {}}).got;
  ASSERT_TRUE(other);
  begin();
  run_for(1s);
  const request one = next();
  work_.attempt_started(first_attempt(one));
  run_for(1s);
  fails_ = [](const std::string&) { return true; };
  work_.put(failed(one));
  run_for(5s);
  fails_ = [](const std::string& call) { return call == "commit"; };
  run_for(5s);
  EXPECT_EQ(told("the database answers again"), 0);
  fails_ = [](const std::string&) { return false; };
  run_for(5s);
  EXPECT_EQ(told("nothing new is sent"), 1);
  EXPECT_EQ(told("the database answers again"), 1);
  work_.close(1s);
  run_for(5s);
  EXPECT_TRUE(ended_);
}

// The reservation takes so long that the lease is renewed before the requests are unpacked.
TEST_F(LeasedWork, AChunkIsKeptWhileItIsStillBeingTaken) {
  leased_work one_by_one(parts(), {.worker = "one by one", .lease = 3s, .in_hand = 1});
  add(2, a_request + a_request, 1);
  int reserves = 0;
  fails_ = [&](const std::string& call) {
    if (call != "reserve" || ++reserves != 2) return false;
    // Another thread waits for the database, so the event loop goes on.
    bool over = false;
    time_.call_at(time_.now() + 2s, [&over] { over = true; });
    test::run_virtual(loop_, time_, [&] { return over; });
    return false;
  };
  asio::co_spawn(loop_, one_by_one.work(), [this](const std::exception_ptr&) { ended_ = true; });
  for (int line = 0; line < 2; ++line) {
    run_for(4s);
    const auto one = one_by_one.next();
    ASSERT_TRUE(one);
    one_by_one.attempt_started(first_attempt(*one));
    EXPECT_TRUE(one_by_one.may_send(first_attempt(*one)));
    one_by_one.put(failed(*one));
  }
  run_for(1s);
  EXPECT_EQ(reserves, 2);
  EXPECT_TRUE(store_.find_job("job")->finished);
  one_by_one.close(1s);
  run_for(5s);
  EXPECT_TRUE(ended_);
}

TEST_F(LeasedWork, ARequestThatIsLeftDuringACommitFreesItsChunk) {
  add(1, a_request, 1);
  begin();
  run_for(1s);
  const request one = next();
  EXPECT_EQ(work_.reserve(one), funds::reserved);
  work_.attempt_started(first_attempt(one));
  bool left = false;
  store_.after = [&](const std::string& call) {
    if (call != "commit" || std::exchange(left, true)) return;
    work_.attempt_ended(first_attempt(one), attempt_end::unsent);
    work_.left_pending(one);
  };
  run_for(5s);
  ASSERT_TRUE(left);
  const auto listed = store_.list_jobs().front();
  EXPECT_EQ(listed.leased_chunks, 0U);
  EXPECT_EQ(listed.sums.attempts, 0U);
  EXPECT_EQ(listed.job.reserved, usd{});
  EXPECT_EQ(listed.job.spent, usd{});
  const auto again = store_.claim({"other", 60s, false, 0, {}});
  EXPECT_TRUE(again.got);
  EXPECT_EQ(again.relieved_attempts, 0U);
  work_.close(1s);
  run_for(5s);
  EXPECT_TRUE(ended_);
}

}  // namespace
}  // namespace sluice::cluster
