#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "async/background.hpp"
#include "cluster/enqueue.hpp"
#include "cluster/leased_work.hpp"
#include "memory_job_store.hpp"
#include "sluice/engine.hpp"
#include "support/fake_client.hpp"
#include "support/manual_clock.hpp"
#include "support/temp_dir.hpp"

namespace sluice::cluster {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

// One worker with its engine, in virtual time, with a store in memory and a relay that a test
// scripts.
class WorkerRun : public ::testing::Test {
 protected:
  WorkerRun() {
    store_.now = [this] {
      return std::int64_t{1'700'000'000'000'000} +
             static_cast<std::int64_t>(time_.since_start() * 1e6);
    };
    options_.pace.requests_per_minute = 0;
    options_.pace.concurrency = 4;
    options_.pace.seed = 1;
    options_.relay.api_key = "k";
    relay_.plan = [this](const test::exchange_call& call) { return plan_(call); };
  }

  static std::vector<std::string> prompts(const std::string& model, const std::string& text,
                                          std::size_t count) {
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < count; ++i) {
      lines.push_back(fmt::format(
          R"({{"model":"{}","messages":[{{"role":"user","content":"{} {}"}}],"max_tokens":5}})",
          model, text, i));
    }
    return lines;
  }
  void add(const std::string& name, const std::vector<std::string>& lines,
           std::uint64_t chunk_lines, std::optional<usd> budget = {}) {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    enqueue_options options;
    options.lines.stream = false;
    options.chunk_lines = chunk_lines;
    options.budget = budget;
    enqueue(store_, folder_.write(name + ".jsonl", text), name, options);
  }
  // Runs the worker to its end, but at most for `most` of virtual time.
  void run(duration most = 10h) {
    engine runner(loop_, options_, time_, std::vector<http_client*>{&relay_});
    wanted_.worker = "w";
    wanted_.in_hand = 4 * options_.pace.concurrency;
    wanted_.give_up_after = options_.pace.give_up_after;
    engine_run* run = nullptr;
    work_ = std::make_unique<leased_work>(
        leased_work::setup{
            .loop = loop_,
            .time = time_,
            .store = store_,
            .threads = threads_,
            .prices = prices_,
            .say = [this](severity, const std::string& sentence) { said_ += sentence + "\n"; },
            .stop_run = [&run] { run->stop(); },
            .funds_changed = [&run] { run->funds_changed(); }},
        wanted_);
    engine_run one(runner, *work_, *work_);
    run = &one;
    std::size_t ended = 0;
    bool late = false;
    const auto alarm = time_.call_at(time_.now() + most, [&] {
      late = true;
      work_->stop(1min);
      one.stop();
      one.abort();
    });
    const auto interrupt = time_.call_at(time_.now() + signal_after_, [&] {
      work_->stop(grace);
      one.stop();
    });
    asio::co_spawn(loop_, work_->work(), [&](const std::exception_ptr&) { ++ended; });
    asio::co_spawn(loop_, one.work(), [&](const std::exception_ptr&, run_outcome outcome) {
      outcome_ = std::move(outcome);
      ++ended;
      work_->close(options_.pace.give_up_after);
    });
    test::run_virtual(
        loop_, time_, [&] { return ended == 2; },
        [&] { return ended == 2 || work_->quiet() || !runner.now().reading; });
    time_.cancel(alarm);
    time_.cancel(interrupt);
    EXPECT_FALSE(late);
  }
  work_counters sums(const std::string& job) { return store_.counters(store_.find_job(job)->id); }

  static constexpr duration grace = 10s;
  duration signal_after_ = 20h;  // when the worker is interrupted
  test::temp_dir folder_;
  asio::io_context loop_{1};
  test::manual_clock time_;
  test::memory_job_store store_;
  background threads_{loop_, 0};
  relay_prices prices_{price_table::built_in()};
  test::fake_client relay_{time_};
  test::fake_client::script plan_ = [](const test::exchange_call&) {
    return test::completion_plan();
  };
  config options_;
  leased_work::options wanted_;
  std::unique_ptr<leased_work> work_;
  run_outcome outcome_;
  std::string said_;
};

bool asks(const test::exchange_call& call, std::string_view words) {
  return call.body.find(words) != std::string::npos;
}

TEST_F(WorkerRun, AJobThatIsAlwaysRefusedDoesNotEndTheOthers) {
  add("bad", prompts("gpt-4", "refused", 60), 5);
  add("good", prompts("gpt-4", "served", 60), 5);
  plan_ = [](const test::exchange_call& call) {
    return asks(call, "refused") ? test::refusal_plan(400, "no such thing")
                                 : test::completion_plan();
  };
  run();
  EXPECT_EQ(sums("good").succeeded, 60U);
  EXPECT_TRUE(store_.find_job("good")->finished);
  EXPECT_EQ(sums("bad").failed, 0U);
  EXPECT_LT(sums("bad").attempts, 30U);
  EXPECT_EQ(store_.list_jobs().front().leased_chunks, 0U);
  EXPECT_EQ(outcome_.reason, stop_reason::refused_alike);
  EXPECT_EQ(work_->ended_by(), leased_work::end_reason::left_pending);
  EXPECT_NE(work_->why().find("bad: the first 20 requests"), std::string::npos) << work_->why();
  EXPECT_NE(said_.find("bad: the first 20 requests"), std::string::npos) << said_;
}

TEST_F(WorkerRun, NotEvenForeverDoesAWorkerWaitWithAJobItHasGivenUp) {
  wanted_.forever = true;
  add("bad", prompts("gpt-4", "refused", 60), 5);
  add("good", prompts("gpt-4", "served", 60), 5);
  plan_ = [](const test::exchange_call& call) {
    return asks(call, "refused") ? test::refusal_plan(400, "no such thing")
                                 : test::completion_plan();
  };
  run();
  EXPECT_EQ(sums("good").succeeded, 60U);
  EXPECT_EQ(outcome_.reason, stop_reason::refused_alike);
  EXPECT_EQ(work_->ended_by(), leased_work::end_reason::left_pending);
}

// Attempts wait for their records.
TEST_F(WorkerRun, ASignalDuringAnOutageEndsTheWorkerWithinTheGrace) {
  add("job", prompts("gpt-4", "served", 60), 5);
  const time_point begun = time_.now();
  store_.before = [&](const char*) {
    if (time_.now() - begun > 1s) throw store::store_error("the connection is lost");
  };
  signal_after_ = 30s;
  run();
  EXPECT_LE(time_.now() - begun, signal_after_ + grace + 1s);
  EXPECT_EQ(outcome_.reason, stop_reason::interrupted);
  EXPECT_GT(work_->sums().succeeded, 0U);
}

// Its requests wait, and the model may come back. Those of other models need their places.
TEST_F(WorkerRun, AModelThatIsOutDoesNotStarveOthers) {
  auto lines = prompts("gpt-4", "out", 300);
  const auto others = prompts("gpt-4o", "served", 100);
  lines.insert(lines.end(), others.begin(), others.end());
  add("mixed", lines, 7);
  bool served = false;
  std::size_t in_the_first_minute = 0;
  const time_point begun = time_.now();
  plan_ = [&](const test::exchange_call& call) {
    if (!asks(call, "out")) {
      in_the_first_minute += call.at - begun < 1min ? 1 : 0;
      return test::completion_plan();
    }
    if (!std::exchange(served, true)) return test::completion_plan();
    return test::refusal_plan(503, "no available channel for model gpt-4", "model_not_found");
  };
  run();
  EXPECT_EQ(in_the_first_minute, 100U);
  EXPECT_EQ(sums("mixed").succeeded, 101U);
  EXPECT_EQ(sums("mixed").failed, 0U);
  EXPECT_EQ(outcome_.reason, stop_reason::model_out);
  EXPECT_EQ(store_.list_jobs().front().leased_chunks, 0U);
}

// More requests wait than may wait without a place. When the model is given up, they make room.
TEST_F(WorkerRun, TheLinesOfAModelThatIsGivenUpAreSkipped) {
  auto lines = prompts("gpt-4", "out", 6000);
  const auto others = prompts("gpt-4o", "served", 100);
  lines.insert(lines.end(), others.begin(), others.end());
  add("mixed", lines, 150);
  bool served = false;
  plan_ = [&](const test::exchange_call& call) {
    if (!asks(call, "out") || !std::exchange(served, true)) return test::completion_plan();
    return test::refusal_plan(503, "no available channel for model gpt-4", "model_not_found");
  };
  run();
  EXPECT_EQ(sums("mixed").succeeded, 101U);
  EXPECT_EQ(outcome_.reason, stop_reason::model_out);
  EXPECT_EQ(store_.list_jobs().front().leased_chunks, 0U);
}

// The database stores one batch in two seconds, and the relay is faster.
TEST_F(WorkerRun, ResultsDoNotPileUpInMemory) {
  constexpr std::size_t reply = std::size_t{64} << 10;
  wanted_.most_unstored = 16 * reply;
  options_.pace.concurrency = 8;
  add("job", prompts("gpt-4", "long", 200), 10);
  std::size_t replies = 0;
  std::size_t most = 0;
  time_point next_commit = time_.now();
  store_.before = [&](const std::string& call) {
    if (call != "commit") return;
    if (time_.now() < next_commit) throw store::store_error("the database is slow");
    next_commit = time_.now() + 2s;
  };
  const std::string text(reply, 'a');
  plan_ = [&](const test::exchange_call&) {
    ++replies;
    const auto listed = store_.list_jobs().front();
    most = std::max<std::size_t>(most, replies - listed.sums.succeeded);
    return test::completion_plan(text, 100ms);
  };
  run();
  const auto all = sums("job");
  EXPECT_EQ(all.succeeded, 200U);
  EXPECT_EQ(all.attempts, 200U);
  EXPECT_EQ(all.maybe_billed, 0U);
  EXPECT_TRUE(store_.find_job("job")->finished);
  EXPECT_LE(most, 16U + 8U + 1U);
}

}  // namespace
}  // namespace sluice::cluster
