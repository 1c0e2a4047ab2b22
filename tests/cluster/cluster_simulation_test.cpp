#include <fmt/format.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "async/background.hpp"
#include "cluster/enqueue.hpp"
#include "cluster/leased_work.hpp"
#include "cluster/window_grants.hpp"
#include "jobs/stored_line.hpp"
#include "memory_job_store.hpp"
#include "sluice/engine.hpp"
#include "support/fake_client.hpp"
#include "support/manual_clock.hpp"
#include "support/temp_dir.hpp"

namespace sluice::cluster {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

class dice {
 public:
  explicit dice(unsigned seed) : random_(seed) {}
  std::int64_t upto(std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(0, most)(random_);
  }
  bool one_in(std::int64_t number) { return upto(number - 1) == 0; }

 private:
  std::mt19937 random_;
};

// The clock of one process. While the process is frozen, the clock makes no calls.
class process_clock final : public clock {
 public:
  explicit process_clock(test::manual_clock& base) : base_(base) {}
  time_point now() const noexcept override { return base_.now(); }
  double unix_now() const noexcept override { return base_.unix_now(); }
  timer call_at(time_point when, std::function<void()> callback) override {
    const timer id = ++last_;
    arm(id, when, std::move(callback));
    return id;
  }
  void cancel(timer id) noexcept override {
    const auto found = calls_.find(id);
    if (found == calls_.end()) return;
    base_.cancel(found->second);
    calls_.erase(found);
  }
  bool frozen() const { return base_.now() < frozen_until_; }
  void freeze(duration how_long) { frozen_until_ = base_.now() + how_long; }

 private:
  void arm(timer id, time_point when, std::function<void()> callback) {
    calls_[id] = base_.call_at(when, [this, id, callback = std::move(callback)]() mutable {
      calls_.erase(id);
      if (base_.now() < frozen_until_) return arm(id, frozen_until_, std::move(callback));
      callback();
    });
  }
  test::manual_clock& base_;
  time_point frozen_until_{};
  timer last_ = 0;
  std::map<timer, timer> calls_;
};

// The store as one process sees it: its connection may break.
class process_store final : public job_store {
 public:
  process_store(job_store& base, dice& random, const bool& database_down)
      : base_(base), random_(random), down_(database_down) {}
  bool dead = false;     // the process was killed, or is cut off
  bool healthy = false;  // no more faults

  job_record add_job(const new_job& job) override { return base_.add_job(job); }
  void add_block(job_id job, const line_block& block) override { base_.add_block(job, block); }
  void make_ready(job_id job) override { base_.make_ready(job); }
  bool set_budget(job_id job, std::optional<usd> budget) override {
    return base_.set_budget(job, budget);
  }
  std::optional<job_record> find_job(std::string_view name) override {
    return base_.find_job(name);
  }
  std::vector<listed_job> list_jobs() override { return base_.list_jobs(); }
  work_counters counters(job_id job) override { return base_.counters(job); }
  std::vector<finished_line> read_results(job_id job, std::uint64_t from,
                                          std::size_t most) override {
    return base_.read_results(job, from, most);
  }
  std::uint64_t most_in_a_minute(job_id) override { return 0; }
  void remove_job(job_id job) override { base_.remove_job(job); }

  claim_answer claim(const claim_request& request) override {
    return call([&] { return base_.claim(request); });
  }
  reserve_answer reserve(const lease_key& key, const std::vector<line_reserve>& lines,
                         bool split) override {
    return call([&] { return base_.reserve(key, lines, split); });
  }
  commit_answer commit(const change_batch& batch) override {
    return call([&] { return base_.commit(batch); });
  }
  window_answer call_window(const window_call& asked) override {
    return call([&] { return base_.call_window(asked); });
  }

 private:
  template <typename Work>
  std::invoke_result_t<Work&> call(Work work) {
    if (dead || down_ || (!healthy && random_.one_in(40))) {
      throw store::store_error("the connection is lost");
    }
    auto answer = work();
    if (!healthy && random_.one_in(40)) throw store::store_error("the answer is lost");
    return answer;
  }
  job_store& base_;
  dice& random_;
  const bool& down_;
};

struct relay_facts {
  std::vector<time_point> arrivals;
  usd billed;
  std::uint64_t replies = 0;  // number of billed replies
};

constexpr usd a_reply() {
  // The price of 10 prompt tokens and 5 reply tokens.
  return usd::from_units(usd::units{250'000'000'000'000});
}

// One process: an engine with its own clock, connections and share of the work.
struct process {
  process(asio::io_context& context, test::manual_clock& base, job_store& common, dice& luck,
          const bool& database_down, const relay_prices& prices, unsigned cap,
          std::string worker_name)
      : loop(context),
        random(luck),
        name(std::move(worker_name)),
        time(base),
        store(common, luck, database_down),
        threads(context, 0),
        relay(time),
        grants({.loop = context,
                .time = time,
                .store = store,
                .threads = threads,
                .worker = name,
                .say = [](const std::string&) {},
                .awake_or_asleep = [this] { return time.now().time_since_epoch(); }}) {
    options.pace.requests_per_minute = cap;
    options.pace.concurrency = 8;
    options.pace.seed = 1 + static_cast<std::uint64_t>(luck.upto(1000));
    options.pace.machines = &grants;
    options.pace.keep_going = true;
    options.pace.give_up_after = 1h;
    options.relay.api_key = "k";
    relay.plan = [this](const test::exchange_call& call) { return plan(call); };
    runner = std::make_unique<engine>(loop, options, time, std::vector<http_client*>{&relay});
    work = std::make_unique<leased_work>(
        leased_work::setup{.loop = loop,
                           .time = time,
                           .store = store,
                           .threads = threads,
                           .prices = prices,
                           .say = [](severity, const std::string&) {},
                           .stop_run =
                               [this] {
                                 stopping = true;
                                 run->stop();
                               },
                           .funds_changed = [this] { run->funds_changed(); }},
        leased_work::options{.worker = name, .lease = 20s, .in_hand = 16});
    run = std::make_unique<engine_run>(*runner, *work, *work);
    asio::co_spawn(loop, grants.work(), [this](const std::exception_ptr&) { ++parts_ended; });
    asio::co_spawn(loop, work->work(), [this](const std::exception_ptr& thrown) {
      if (thrown) fault = thrown;
      ++parts_ended;
      grants.stop();
    });
    asio::co_spawn(loop, run->work(), [this](const std::exception_ptr& thrown, run_outcome) {
      if (thrown) fault = thrown;
      ++parts_ended;
      work->close(10s);
    });
  }
  bool ended() const { return parts_ended == 3; }

  // Kills the process: from now on it reaches neither the store nor the relay. The remaining
  // coroutines only unwind.
  void kill() {
    store.dead = true;
    relay_dead = stopping = true;
    run->abort();
    work->stop(10s);
  }

  test::exchange_plan plan(const test::exchange_call& call) {
    if (relay_dead) return test::unreachable_plan();
    const auto served = [&](test::exchange_plan planned) {
      planned.on_the_way = std::chrono::milliseconds(random.upto(900));
      serves.insert(call.number);
      return planned;
    };
    const auto lucky = healthy ? 99 : random.upto(99);
    if (lucky < 4) return test::refusal_plan(500, "try again");
    if (lucky < 6) return test::unreachable_plan();
    if (lucky < 10) {  // served and billed, but the reply is lost
      auto cut = served(test::completion_plan("hello", 2s));
      cut.body.clear();
      cut.end = exchange_end::how::broken;
      cut.message = "cut";
      return cut;
    }
    return served(test::completion_plan(
        "hello", std::chrono::milliseconds(1000 + random.upto(healthy ? 300 : 6000))));
  }

  asio::io_context& loop;
  dice& random;
  std::string name;
  process_clock time;
  process_store store;
  background threads;
  test::fake_client relay;
  window_grants grants;
  config options;
  std::unique_ptr<engine> runner;
  std::unique_ptr<leased_work> work;
  std::unique_ptr<engine_run> run;
  std::exception_ptr fault;
  unsigned parts_ended = 0;
  bool relay_dead = false;
  bool stopping = false;         // the reader may make no more calls
  std::set<std::size_t> serves;  // calls that are billed if they are sent
  bool healthy = false;
};

class world {
 public:
  explicit world(unsigned seed) : random_(seed) {
    spdlog::set_level(spdlog::level::off);
    lines_ = 20 + static_cast<std::uint64_t>(random_.upto(40));
    cap_ = 10 + static_cast<unsigned>(random_.upto(30));
    if (random_.one_in(2)) {
      budget_ = usd::from_units(a_reply().count() *
                                static_cast<usd::units>(lines_ * 3 / (1 + random_.upto(3))));
    }
    store_.now = [this] {
      return std::int64_t{1'700'000'000'000'000} + step_ +
             static_cast<std::int64_t>(time_.since_start() * 1e6);
    };
    std::string text;
    for (std::uint64_t i = 1; i <= lines_; ++i) {
      text += fmt::format(
          R"({{"model":"gpt-4-1106-preview","messages":[{{"role":"user","content":"{}"}}],"max_tokens":5}})"
          "\n",
          i);
    }
    if (random_.one_in(3)) text += "not a line\n", ++lines_, ++bad_lines_;
    enqueue_options options;
    options.lines.stream = false;
    options.budget = budget_;
    options.chunk_lines = 1 + static_cast<std::uint64_t>(random_.upto(9));
    enqueue(store_, folder_.write("job.jsonl", text), "job", options);
  }

  void live() {
    for (int i = 0; i < 3; ++i) add();
    plan_trouble();
    const auto until = time_.now() + 1h;
    // First with trouble, then without, until the job has ended or its budget is used up.
    advance_until([&] { return time_.now() >= trouble_ends_ || all_ended(); });
    calm_ = true;
    down_ = false;
    for (process& one : processes_) one.healthy = one.store.healthy = true;
    for (int round = 0; round < 20 && !store_.find_job("job")->finished; ++round) {
      if (all_ended()) add();
      advance_until([&] { return time_.now() >= until || all_ended(); });
      if (store_.find_job("job")->exhausted) break;
    }
    for (process& one : processes_) one.kill();
    advance_until([&] { return all_ended(); });
  }

  // What happened: when each process sent a request, and the lines of the results.
  std::string story() {
    std::string told;
    for (const process& one : processes_) {
      told += one.name;
      for (const time_point when : one.relay.counted) {
        told += fmt::format(" {}", (when - time_point{}).count());
      }
      told += '\n';
    }
    for (const finished_line& one : store_.read_results(store_.find_job("job")->id, 0, 1'000'000)) {
      told += one.text;
    }
    return told;
  }

  void check(unsigned seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    for (process& one : processes_) {
      EXPECT_TRUE(one.ended());
      EXPECT_EQ(one.fault, nullptr);
      for (const time_point when : one.relay.counted) seen_.arrivals.push_back(when);
      for (const std::size_t number : one.relay.sent) {
        if (!one.serves.contains(number)) continue;
        seen_.billed += a_reply();
        ++seen_.replies;
      }
    }
    const auto job = store_.find_job("job");
    const auto sums = store_.counters(job->id);
    EXPECT_TRUE(job->finished || job->exhausted);
    // Every request must have exactly one line.
    const auto results = store_.read_results(job->id, 0, 1'000'000);
    std::set<std::string> ids;
    usd cost;
    std::uint64_t succeeded = 0;
    for (const finished_line& one : results) {
      const auto stored = parse_stored_line(one.text);
      ASSERT_TRUE(stored);
      EXPECT_TRUE(ids.insert(stored->custom_id).second);
      succeeded += one.succeeded ? 1 : 0;
      cost += stored->facts.cost.value_or(usd{});
    }
    if (job->finished) {
      EXPECT_EQ(results.size(), lines_);
      EXPECT_EQ(sums.succeeded + sums.failed, lines_);
    }
    EXPECT_EQ(sums.succeeded, succeeded);
    EXPECT_EQ(sums.cost, cost);
    // By the relay's count, the cap must never be exceeded.
    std::ranges::sort(seen_.arrivals);
    std::size_t most = 0;
    std::size_t first = 0;
    for (std::size_t last = 0; last < seen_.arrivals.size(); ++last) {
      while (seen_.arrivals[last] - seen_.arrivals[first] >= 60s) ++first;
      most = std::max(most, last - first + 1);
    }
    EXPECT_LE(most, cap_);
    // Each billed reply without a result must be counted as maybe billed.
    EXPECT_LE(seen_.replies - std::min(seen_.replies, succeeded), sums.maybe_billed);
    if (budget_) {
      EXPECT_LE(seen_.billed, job->spent + job->reserved);
      EXPECT_LE(job->spent + job->reserved, *budget_);
      EXPECT_EQ(job->spent, sums.cost + sums.kept);
    }
    if (job->finished) {
      EXPECT_EQ(job->reserved, usd{});
    }
  }

 private:
  void add() {
    processes_.emplace_back(loop_, time_, store_, random_, down_, prices_, cap_,
                            fmt::format("worker {}", processes_.size()));
    processes_.back().healthy = processes_.back().store.healthy = calm_;
  }
  bool all_ended() const {
    return std::ranges::all_of(processes_, [](const process& one) { return one.ended(); });
  }

  void plan_trouble() {
    trouble_ends_ = time_.now() + std::chrono::seconds(120 + random_.upto(300));
    for (int i = 0; i < 6; ++i) {
      const time_point when = time_.now() + std::chrono::milliseconds(random_.upto(200'000));
      const auto kind = random_.upto(4);
      time_.call_at(when, [this, kind] {
        if (calm_ || time_.now() < quiet_until_) return;
        process& one = processes_[static_cast<std::size_t>(
            random_.upto(static_cast<std::int64_t>(processes_.size()) - 1))];
        switch (kind) {
          case 0:
            one.kill();
            add();
            break;
          case 1:
            one.time.freeze(std::chrono::seconds(random_.upto(60)));
            break;
          case 2:  // cut off from the database alone
            one.store.dead = true;
            time_.call_at(time_.now() + std::chrono::seconds(random_.upto(60)),
                          [this, &one] { one.store.dead = one.relay_dead; });
            break;
          case 3:
            down_ = true;
            time_.call_at(time_.now() + std::chrono::seconds(random_.upto(30)),
                          [this] { down_ = false; });
            break;
          default:
            // The clock of the database is set. The store detects this only if a worker calls the
            // window before and after the step.
            if (down_ || std::ranges::none_of(processes_, [](const process& each) {
                  return !each.ended() && !each.stopping && !each.store.dead && !each.time.frozen();
                })) {
              return;
            }
            quiet_until_ = time_.now() + 3s;
            step_ += random_.one_in(2) ? 3'600'000'000 : -3'600'000'000;
        }
      });
    }
  }

  // Whether no thread of a reader is at work.
  bool settled() const {
    return std::ranges::all_of(processes_, [](const process& one) {
      return one.ended() || one.work->quiet() || !one.runner->now().reading;
    });
  }

  // Only one thread works at a time: the readers have read before the next handler runs. So a seed
  // repeats exactly.
  void advance_until(const std::function<bool()>& done) {
    while (!done()) {
      loop_.restart();
      do {
        while (!settled()) std::this_thread::yield();
      } while (loop_.poll_one() > 0 && !done());
      if (done() || (!time_.run_next() && loop_.stopped())) return;
    }
  }

  dice random_;
  test::temp_dir folder_;
  asio::io_context loop_{1};
  test::manual_clock time_;
  test::memory_job_store store_;
  relay_prices prices_{price_table::built_in()};
  relay_facts seen_;
  std::uint64_t lines_ = 0;
  std::uint64_t bad_lines_ = 0;
  unsigned cap_ = 0;
  std::optional<usd> budget_;
  std::int64_t step_ = 0;
  bool down_ = false;
  bool calm_ = false;
  time_point trouble_ends_{};
  time_point quiet_until_{};
  std::deque<process> processes_;
};

std::vector<unsigned> seeds() {
  // For example "200": seeds 1 to 200.
  const char* const chosen = std::getenv("SLUICE_CLUSTER_SEEDS");
  // With most of these seeds, some requests wait for money that other workers have reserved.
  if (chosen == nullptr) return {1, 2, 11, 12, 15, 21, 51, 181};
  std::vector<unsigned> all(static_cast<std::size_t>(std::strtoul(chosen, nullptr, 10)));
  std::iota(all.begin(), all.end(), 1U);
  return all;
}

// Workers are killed, frozen and disconnected. Commits get lost. The database becomes unavailable,
// and its clock is set. The relay has its own count of the requests and sometimes fails.
class ClusterSimulation : public ::testing::TestWithParam<unsigned> {};

INSTANTIATE_TEST_SUITE_P(Seeds, ClusterSimulation, ::testing::ValuesIn(seeds()),
                         [](const auto& one) { return std::to_string(one.param); });

TEST_P(ClusterSimulation, EveryRequestHasOneLineWhateverHappens) {
  world one(GetParam());
  one.live();
  one.check(GetParam());
}

TEST_P(ClusterSimulation, RepeatsExactly) {
  const auto story = [](unsigned seed) {
    world one(seed);
    one.live();
    return one.story();
  };
  EXPECT_EQ(story(GetParam()), story(GetParam()));
}

}  // namespace
}  // namespace sluice::cluster
