#include "server/batch_runner.hpp"

#include <gmock/gmock.h>

#include <boost/asio/detached.hpp>
#include <map>
#include <random>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "server/server_rig.hpp"

namespace sluice::server {
namespace {

using namespace std::chrono_literals;
using store::batch_status;
using test::completion_plan;
using test::exchange_call;
using test::refusal_plan;
using testing::HasSubstr;
using results = std::map<std::string, std::string>;

using batch_runners = server_rig;

TEST_F(batch_runners, ABatchGoesThroughItsLife) {
  const std::string id = create(lines(3));
  EXPECT_EQ(batch(id).status, batch_status::validating);
  run_until_ended({id});
  const auto done = batch(id);
  EXPECT_EQ(done.status, batch_status::completed);
  EXPECT_EQ(done.progress.counts.total, 3U);
  EXPECT_EQ(done.progress.counts.completed, 3U);
  EXPECT_EQ(done.progress.usage.total_tokens, 45);
  EXPECT_GT(done.progress.cost, usd{});
  EXPECT_EQ(done.model, "gpt-4o-mini");
  ASSERT_TRUE(done.in_progress_at && done.finalizing_at && done.completed_at);
  EXPECT_EQ(result(done.output_file_id), (results{{"r1", ""}, {"r2", ""}, {"r3", ""}}));
  EXPECT_EQ(done.error_file_id, std::nullopt);
  EXPECT_TRUE(std::filesystem::is_empty(place / "batches")) << "its folder is gone";
}

TEST_F(batch_runners, LinesThatAreNotGoodFailTheBatchAndNothingIsSent) {
  const std::string id = create(lines(2) + "no json\n");
  run_until_ended({id});
  const auto failed = batch(id);
  EXPECT_EQ(failed.status, batch_status::failed);
  ASSERT_EQ(failed.errors.size(), 1U);
  EXPECT_EQ(failed.errors[0].code, "invalid_json_line");
  EXPECT_EQ(failed.errors[0].line, 3U);
  EXPECT_EQ(relay.calls.size(), 0U);
  EXPECT_TRUE(std::filesystem::is_empty(place / "batches"));
}

TEST_F(batch_runners, ABatchOfWhichEveryRequestFailsIsCompletedWithoutAnOutput) {
  relay.plan = [](const exchange_call&) { return refusal_plan(400, "no such thing"); };
  const std::string id = create(lines(30));
  run_until_ended({id});
  const auto done = batch(id);
  EXPECT_EQ(done.status, batch_status::completed);
  EXPECT_EQ(done.progress.counts.failed, 30U);
  EXPECT_EQ(done.output_file_id, std::nullopt);
  EXPECT_EQ(result(done.error_file_id).size(), 30U);
}

TEST_F(batch_runners, WhatIsNotDoneInTheCompletionWindowExpires) {
  options.pace.requests_per_minute = 10;
  const std::string id = create(lines(100), [](store::batch_record& one) {
    one.completion_window = "1h";
    one.expires_at = one.created_at + 130;
  });
  run_until_ended({id});
  const auto done = batch(id);
  EXPECT_EQ(done.status, batch_status::expired);
  ASSERT_TRUE(done.expired_at && done.finalizing_at);
  EXPECT_EQ(done.progress.counts.completed, 30U);
  EXPECT_EQ(done.progress.counts.failed, 0U);
  EXPECT_EQ(result(done.output_file_id).size(), 30U);
  const auto errors = result(done.error_file_id);
  EXPECT_EQ(errors.size(), 70U);
  for (const auto& [request, code] : errors) EXPECT_EQ(code, "batch_expired") << request;
}

TEST_F(batch_runners, ACancelledBatchKeepsWhatItHas) {
  options.pace.requests_per_minute = 10;
  const std::string id = create(lines(50));
  runner();
  run([&] { return relay.calls.size() >= 20; });
  const auto now = records.request_cancel("", id, unix_now());
  ASSERT_TRUE(now);
  EXPECT_EQ(now->status, batch_status::cancelling);
  runner().cancelled(id);
  run_until_ended({id});
  const auto done = batch(id);
  EXPECT_EQ(done.status, batch_status::cancelled);
  EXPECT_EQ(result(done.output_file_id).size(), 20U);
  EXPECT_EQ(result(done.error_file_id).size(), 30U);
  EXPECT_EQ(relay.calls.size(), 20U) << "nothing was sent after it";
}

TEST_F(batch_runners, ABatchThatIsCancelledBeforeItBeganSendsNothing) {
  const std::string id = create(lines(2));
  records.request_cancel("", id, unix_now());
  run_until_ended({id});
  EXPECT_EQ(batch(id).status, batch_status::cancelled);
  EXPECT_EQ(result(batch(id).error_file_id),
            (results{{"r1", "batch_cancelled"}, {"r2", "batch_cancelled"}}));
  EXPECT_EQ(relay.calls.size(), 0U);
}

TEST_F(batch_runners, AServerThatIsStoppedGoesOnLaterAndSendsNothingTwice) {
  options.pace.requests_per_minute = 20;
  const std::string id = create(lines(50));
  runner();
  run([&] { return relay.calls.size() >= 20; });
  stop();
  EXPECT_EQ(batch(id).status, batch_status::in_progress);
  run_until_ended({id});
  EXPECT_EQ(result(batch(id).output_file_id).size(), 50U);
  EXPECT_EQ(relay.calls.size(), 50U);
}

// A job that is opened again cannot know of the failed sync.
TEST_F(batch_runners, ResultsThatCouldNotBeSyncedAreInANewFileBeforeTheJobIsOpenedAgain) {
  constexpr int failing = 6;
  int copies = 0;
  files.fault = [&, failed = false](std::string_view what, const std::string& path) mutable {
    const std::string name = std::filesystem::path(path).filename().string();
    if (what == "sync" && name == "output.jsonl" && !std::exchange(failed, true))
      return test::faulty_files::broken();
    const bool copies_it = what == "append" && name.starts_with("output.jsonl.sluice-new");
    return copies_it && ++copies <= failing ? std::make_error_code(std::errc::no_space_on_device)
                                            : std::error_code();
  };
  const std::string id = create(lines(3));
  run_until_ended({id});
  EXPECT_GT(copies, failing);
  EXPECT_EQ(batch(id).status, batch_status::completed);
  EXPECT_EQ(result(batch(id).output_file_id).size(), 3U);
  EXPECT_EQ(relay.calls.size(), 3U);
}

TEST_F(batch_runners, WhileTheRelayRefusesTheKeyTheBatchWaitsAndSaysWhy) {
  bool spent = true;
  relay.plan = [&](const exchange_call&) {
    return spent ? refusal_plan(401, "the key has no money", "invalid_api_key") : completion_plan();
  };
  const std::string id = create(lines(5));
  runner();
  run([&] { return runner().live(id) && !runner().live(id)->waits.empty(); });
  EXPECT_THAT(runner().live(id)->waits, HasSubstr("the key has no money"));
  EXPECT_EQ(batch(id).status, batch_status::in_progress);
  EXPECT_EQ(batch(id).progress.counts.failed, 0U);
  spent = false;
  run_until_ended({id});
  EXPECT_EQ(batch(id).status, batch_status::completed);
  EXPECT_EQ(batch(id).progress.counts.completed, 5U);
}

TEST_F(batch_runners, TheWaitsBetweenTriesGrowToTheirLimit) {
  std::vector<double> tries;
  relay.plan = [&](const exchange_call&) {
    tries.push_back(time.since_start());
    return refusal_plan(401, "no", "invalid_api_key");
  };
  const std::string id = create(lines(1));
  runner();
  run([&] { return time.since_start() > 3 * 3600; });
  std::vector<double> gaps;
  for (std::size_t i = 1; i < tries.size(); ++i) {
    if (tries[i] - tries[i - 1] > 15) gaps.push_back(tries[i] - tries[i - 1]);
  }
  ASSERT_GE(gaps.size(), 8U);
  EXPECT_NEAR(gaps[0], 30, 5);
  EXPECT_NEAR(gaps[1], 60, 5);
  EXPECT_NEAR(gaps.back(), 600, 10);
}

TEST_F(batch_runners, BatchesThatRunTogetherShareTheLimit) {
  options.pace.requests_per_minute = 60;
  options.pace.concurrency = 4;
  const std::string one = create(lines(120));
  const std::string other = create(lines(120));
  run_until_ended({one, other});
  EXPECT_NEAR(static_cast<double>(*batch(one).completed_at - *batch(other).completed_at), 0, 61);
}

TEST_F(batch_runners, OlderBatchesStartFirstWithinAPriority) {
  runner_settings.batches_at_once = 1;
  const std::string old = create(lines(2));
  const std::string young = create(lines(2), [](auto& one) { ++one.created_at; });
  const std::string urgent = create(lines(2), [](auto& one) {
    one.created_at += 2;
    one.priority = 5;
  });
  run_until_ended({old, young, urgent});
  EXPECT_LE(*batch(urgent).in_progress_at, *batch(old).in_progress_at);
  EXPECT_LE(*batch(old).completed_at, *batch(young).in_progress_at);
}

// A batch that ends after its server was killed. Every reply takes 30 s, and progress is stored
// only once, when nothing has a result yet.
struct killed_runners : server_rig {
  killed_runners() {
    keys = access_keys("[[key]]\nname = \"bob\"\nkey = \"sk-bob-0123456789abc\"\nbudget = \"1\"\n",
                       "keys.toml");
    options.pace.concurrency = 4;
    runner_settings.save_interval = 1h;
    relay.plan = [](const exchange_call& call) {
      return completion_plan("x", 30s + std::chrono::seconds{call.number});
    };
  }
  // Runs a batch until four of its ten requests have their results and four are in flight.
  std::string begin_batch(const std::function<void(store::batch_record&)>& change = {}) {
    std::string id = create(lines(10), [&](store::batch_record& one) {
      one.owner = "bob";
      if (change) change(one);
    });
    runner();
    const auto done = [&] { return runner().live(id) ? runner().live(id)->progress : none; };
    run([&] { return done().counts.completed == 4 && relay.in_flight == 4; });
    pass(100ms);
    EXPECT_EQ(relay.calls.size(), 8U);
    EXPECT_EQ(batch(id).progress.counts.completed, 0U) << "the store is behind";
    return id;
  }
  static usd one_cost() { return *usd::parse("0.0000045"); }

  void expect_whole(const std::string& id, batch_status status, std::size_t succeeded) {
    const auto done = batch(id);
    EXPECT_EQ(done.status, status);
    EXPECT_EQ(result(done.output_file_id).size(), succeeded);
    EXPECT_EQ(result(done.error_file_id).size(), 10 - succeeded);
    EXPECT_EQ(done.progress.counts.total, 10U);
    EXPECT_EQ(done.progress.counts.completed, succeeded);
    EXPECT_EQ(done.progress.counts.failed, 0U);
    EXPECT_EQ(done.progress.usage.total_tokens, 15 * static_cast<std::int64_t>(succeeded));
    EXPECT_EQ(done.progress.cost, one_cost() * static_cast<std::int64_t>(succeeded));
    EXPECT_TRUE(std::filesystem::is_empty(place / "batches"));
  }

  const store::batch_progress none;
};

TEST_F(killed_runners, ACancelledBatchEndsWithTheCountsOfItsLines) {
  const std::string id = begin_batch();
  records.request_cancel("bob", id, unix_now());
  runner().cancelled(id);
  kill();
  keys = access_keys();  // the end of a batch needs no key
  run_until_ended({id});
  expect_whole(id, batch_status::cancelled, 4);
  EXPECT_EQ(relay.calls.size(), 8U) << "nothing was sent after it";
  EXPECT_GT(batch(id).progress.spent, one_cost() * 8)
      << "the attempts in flight may have been billed";
}

TEST_F(killed_runners, ABatchExpiresWithTheCountsOfItsLines) {
  const std::string id = begin_batch();
  kill();
  time.advance(25h);
  run_until_ended({id});
  expect_whole(id, batch_status::expired, 4);
  EXPECT_GT(batch(id).progress.spent, one_cost() * 8);
}

TEST_F(killed_runners, AnotherBatchOfTheKeyWaitsUntilTheKilledOneIsCounted) {
  keys =
      access_keys("[[key]]\nname = \"bob\"\nkey = \"sk-bob-0123456789abc\"\nbudget = \"0.00015\"\n",
                  "keys.toml");
  const std::string id = begin_batch();
  kill();
  const std::string urgent = create(lines(200), [](store::batch_record& one) {
    one.owner = "bob";
    one.priority = 9;
  });
  runner();
  const auto waits = [&](const std::string& one) {
    return runner().live(one) && !runner().live(one)->waits.empty();
  };
  run([&] { return waits(urgent) || (has_ended(id) && has_ended(urgent)); });
  const usd spent = batch(id).progress.spent + runner().live(urgent)->progress.spent;
  EXPECT_LE(spent, *usd::parse("0.00015"));
  EXPECT_EQ(batch(id).status, batch_status::completed);
}

TEST_F(killed_runners, ATornLineIsNotPublished) {
  const std::string id = begin_batch();
  records.request_cancel("bob", id, unix_now());
  kill();
  std::ofstream(folder.batch_output(id), std::ios::app | std::ios::binary)
      << R"({"id":"batch_req_1","custom_id":"r9","resp)" << std::string(100, '\0');
  run_until_ended({id});
  expect_whole(id, batch_status::cancelled, 4);
}

TEST_F(killed_runners, ARequestThatFailedAndThenSucceededHasOneLine) {
  options.pace.max_attempts = 1;
  relay.plan = [](const exchange_call& call) {
    if (call.number < 4) return refusal_plan(500, "busy");
    return completion_plan("x", 30s + std::chrono::seconds{call.number});
  };
  const std::string id = create(lines(10), [](auto& one) { one.owner = "bob"; });
  runner();
  run([&] {
    const auto live = runner().live(id);
    return live && live->progress.counts.failed == 4;
  });
  stop();
  EXPECT_EQ(batch(id).progress.counts.failed, 4U) << "and they will be sent again";
  const std::uint64_t before = batch(id).progress.counts.completed;
  runner();
  run([&] {
    const auto live = runner().live(id);
    return live && live->progress.counts.completed == before + 2;
  });
  pass(1s);
  records.request_cancel("bob", id, unix_now());
  runner().cancelled(id);
  kill();
  run_until_ended({id});
  const auto done = batch(id);
  auto all = result(done.output_file_id);
  for (const auto& [request, code] : result(done.error_file_id)) {
    EXPECT_TRUE(all.emplace(request, code).second) << request << " has two lines";
  }
  EXPECT_EQ(all.size(), 10U);
  EXPECT_EQ(done.progress.counts.completed, result(done.output_file_id).size());
}

TEST_F(killed_runners, AnEndThatWasDecidedBeforeIsCountedToo) {
  const std::string id = begin_batch();
  kill();
  // As a server of an earlier version has left it.
  const auto held = records.claim_batch("server", {}, unix_now(), 60);
  records.begin_finalizing(
      *held, {batch_status::expired, new_object_id("file-"), new_object_id("file-")}, unix_now());
  records.release(*held);
  run_until_ended({id});
  expect_whole(id, batch_status::expired, 4);
}

// A relay that refuses the key, so that every batch waits for a long time.
struct waiting_runners : server_rig {
  waiting_runners() {
    relay.plan = [](const exchange_call&) { return refusal_plan(401, "no", "invalid_api_key"); };
    runner_settings.first_wait = 1h;
    runner_settings.longest_wait = 1h;
  }
  bool waits(const std::string& id) {
    return runner().live(id) && !runner().live(id)->waits.empty();
  }
};

TEST_F(waiting_runners, ABatchWithoutAPlaceCanBeCancelled) {
  runner_settings.batches_at_once = 2;
  const std::string one = create(lines(1));
  const std::string other = create(lines(1));
  runner();
  run([&] { return waits(one) && waits(other); });
  const std::string third = create(lines(2));
  const double asked = time.since_start();
  records.request_cancel("", third, unix_now());
  runner().cancelled(third);
  run_until_ended({third});
  EXPECT_EQ(batch(third).status, batch_status::cancelled);
  EXPECT_EQ(result(batch(third).error_file_id).size(), 2U);
  EXPECT_LT(time.since_start() - asked, 1);
  EXPECT_TRUE(waits(one) && waits(other));
}

TEST_F(waiting_runners, BatchesWithoutAPlaceExpireInTime) {
  runner_settings.batches_at_once = 1;
  const std::string first = create(lines(1));
  runner();
  run([&] { return waits(first); });
  std::vector<std::string> others;
  for (int i = 0; i < 5; ++i) {
    others.push_back(create(lines(1), [](auto& one) { one.expires_at = one.created_at + 600; }));
  }
  const double made = time.since_start();
  run_until_ended(others);
  EXPECT_NEAR(time.since_start() - made, 600, 30);
  for (const auto& id : others) EXPECT_EQ(batch(id).status, batch_status::expired);
  EXPECT_TRUE(waits(first));
}

TEST_F(waiting_runners, ACancelAtAnotherServerEndsTheWait) {
  const std::string id = create(lines(1));
  runner();
  run([&] { return waits(id); });
  const double asked = time.since_start();
  records.request_cancel("", id, unix_now());  // this server is not told
  run_until_ended({id});
  EXPECT_EQ(batch(id).status, batch_status::cancelled);
  EXPECT_LE(time.since_start() - asked, 30);
}

TEST_F(waiting_runners, ABatchThatIsLostToAnotherServerIsLeft) {
  const std::string id = create(lines(1));
  runner();
  run([&] { return waits(id); });
  const double lost = time.since_start();
  records.release_claims(runner_settings.server_name);
  ASSERT_TRUE(records.claim_batch("another", {}, unix_now(), 86400));
  run([&] { return !runner().live(id); });
  EXPECT_LE(time.since_start() - lost, 30);
}

TEST_F(waiting_runners, LeasesAreRenewedWhileASlowStoreGivesManyOthers) {
  const std::string first = create(lines(1));
  runner();
  run([&] { return waits(first); });
  std::vector<std::string> others;
  for (int n = 0; n < 6; ++n) others.push_back(create(lines(1)));
  bool inside = false;
  bool lost = false;
  records.on_call = [&](std::string_view call) {
    if (call != "claim_batch" || inside) return;
    inside = true;
    time.advance(25s);
    lost = lost || records.claim_batch("another", {others, {}}, unix_now(), 60);
    inside = false;
  };
  run([&] {
    return std::all_of(others.begin(), others.end(), [&](auto& id) { return waits(id); });
  });
  EXPECT_FALSE(lost);
}

struct limited_runners : server_rig {
  limited_runners() {
    keys = access_keys(
        "[[key]]\nname = \"alice\"\nkey = \"sk-alice-0123456789\"\nrpm = 10\n"
        "[[key]]\nname = \"bob\"\nkey = \"sk-bob-0123456789abc\"\nbudget = \"0.0005\"\n",
        "keys.toml");
  }
  static void of_alice(store::batch_record& one) { one.owner = "alice"; }
  static void of_bob(store::batch_record& one) { one.owner = "bob"; }
};

TEST_F(limited_runners, TheLimitOfAKeyIsSharedByItsBatches) {
  const std::string one = create(lines(15), of_alice);
  const std::string other = create(lines(15), of_alice);
  run_until_ended({one, other});
  std::size_t most = 0;
  for (std::size_t first = 0, last = 0; last < relay.calls.size(); ++last) {
    while (relay.calls[last].at - relay.calls[first].at >= 60s) ++first;
    most = std::max(most, last - first + 1);
  }
  EXPECT_EQ(relay.calls.size(), 30U);
  EXPECT_EQ(most, 10U);
}

TEST_F(limited_runners, AQueuedBatchOfAKeyWithASpentBudgetEndsBesideTheOneThatWaits) {
  const std::string first = create(lines(200), of_bob);
  runner();
  run([&] { return runner().live(first) && !runner().live(first)->waits.empty(); });
  const std::string second = create(lines(2), of_bob);
  const std::string third = create(lines(3), [](auto& one) {
    of_bob(one);
    one.expires_at = one.created_at + 600;
  });
  records.request_cancel("bob", second, unix_now());
  runner().cancelled(second);
  run_until_ended({second, third});
  EXPECT_EQ(batch(second).status, batch_status::cancelled);
  EXPECT_EQ(batch(third).status, batch_status::expired);
  EXPECT_LE(*batch(third).expired_at, batch(third).expires_at + 30);
  EXPECT_EQ(batch(first).status, batch_status::in_progress);
  EXPECT_LE(batch(first).progress.spent, *usd::parse("0.0005"));
}

TEST_F(limited_runners, ABatchEndsWithoutItsKey) {
  keys = access_keys("[[key]]\nname = \"alice\"\nkey = \"sk-alice-0123456789\"\n", "keys.toml");
  const std::string id = create(lines(3), of_bob);
  const std::string late = create(lines(3), [](auto& one) {
    of_bob(one);
    one.expires_at = one.created_at + 100;
  });
  runner();
  run([&] { return !notices.warnings.empty(); });
  records.request_cancel("bob", id, unix_now());
  runner().cancelled(id);
  run_until_ended({id, late});
  EXPECT_EQ(batch(id).status, batch_status::cancelled);
  EXPECT_EQ(batch(late).status, batch_status::expired);
}

TEST_F(limited_runners, WithoutItsKeyABatchWaitsAndSpendsNothing) {
  const access_keys all = keys;
  keys = access_keys("[[key]]\nname = \"alice\"\nkey = \"sk-alice-0123456789\"\n", "keys.toml");
  const std::string id = create(lines(3), of_bob);
  const std::string other = create(lines(3), of_alice);
  run_until_ended({other});
  EXPECT_EQ(batch(id).status, batch_status::validating);
  EXPECT_EQ(relay.calls.size(), 3U) << "only those of alice";
  keys = all;
  runner().keys_changed();
  run_until_ended({id});
  EXPECT_EQ(batch(id).status, batch_status::completed);
}

TEST_F(limited_runners, AKeyThatIsRemovedMeanwhileStopsTheSpending) {
  const std::string id = create(lines(200), of_bob);
  runner();
  run([&] { return runner().live(id) && !runner().live(id)->waits.empty(); });
  const std::size_t before = relay.calls.size();
  keys = access_keys("[[key]]\nname = \"alice\"\nkey = \"sk-alice-0123456789\"\n", "keys.toml");
  runner().keys_changed();
  const auto later = time.now() + 1h;
  run([&] { return time.now() > later; });
  EXPECT_EQ(relay.calls.size(), before) << "its budget is gone with its key";
}

TEST_F(limited_runners, TheBudgetOfAKeyCoversAllItsBatches) {
  const std::string one = create(lines(20), of_bob);
  const std::string other = create(lines(200), of_bob);
  runner();
  run([&] { return runner().live(other) && !runner().live(other)->waits.empty(); });
  EXPECT_TRUE(has_ended(one));
  EXPECT_THAT(runner().live(other)->waits, HasSubstr("budget"));
  const usd spent = batch(one).progress.cost + runner().live(other)->progress.cost;
  EXPECT_LE(spent, *usd::parse("0.0005"));
  EXPECT_GT(spent, *usd::parse("0.0004")) << "most of it can be used";
}

// Counts the calls about claims.
struct counted_runners : limited_runners {
  counted_runners() { runner_settings.first_wait = 1h; }
  ~counted_runners() override { abort(); }
  void add_batches_of_bob(int count) {
    for (int n = 0; n < count; ++n) create(lines(1), of_bob);
    pass(1min);
  }
  std::size_t calls_in(duration length) {
    std::size_t count = 0;
    records.on_call = [&](std::string_view call) {
      if (call == "claim_batch" || call == "claim_owner" || call == "release") ++count;
    };
    pass(length);
    records.on_call = [](std::string_view) {};
    return count;
  }
};

TEST_F(counted_runners, BatchesThatWaitForTheirKeyCostNothingWhenAnotherBatchEnds) {
  const std::string first = create(lines(200), of_bob);
  runner();
  run([&] { return runner().live(first) && !runner().live(first)->waits.empty(); });
  std::vector<std::size_t> counts;
  for (const int more : {1, 49}) {
    add_batches_of_bob(more);
    const std::string other = create(lines(1), of_alice);
    counts.push_back(calls_in(1min));
    EXPECT_TRUE(has_ended(other));
  }
  EXPECT_LE(counts[1], counts[0] + 1);
}

TEST_F(counted_runners, BatchesThatWaitForAnInterruptedBatchCostNothingWhenAnotherBatchEnds) {
  create(lines(1), of_bob);
  // An error has left this claim.
  const auto left = records.claim_batch("server", {}, unix_now(), 86400);
  ASSERT_TRUE(left && records.accept_lines(*left, {1, "gpt-4o-mini"}, unix_now()));
  runner();
  std::vector<std::size_t> counts;
  for (const int more : {1, 49}) {
    add_batches_of_bob(more);
    const std::string other = create(lines(1), of_alice);
    counts.push_back(calls_in(1min));
    EXPECT_TRUE(has_ended(other));
  }
  EXPECT_LE(counts[1], counts[0] + 1);
  EXPECT_EQ(relay.calls.size(), 2U) << "only those of alice";
}

TEST_F(counted_runners, BatchesThatWaitForAnotherServerCostNothingAtEachPoll) {
  runner_settings.shares_store = true;
  create(lines(1), of_bob);
  const auto elsewhere = records.claim_batch("another", {}, unix_now(), 86400);
  ASSERT_TRUE(elsewhere && records.claim_owner(*elsewhere, unix_now()));
  runner();
  std::vector<std::size_t> counts;
  for (const int more : {1, 49}) {
    add_batches_of_bob(more);
    counts.push_back(calls_in(1min));
  }
  EXPECT_LE(counts[1], counts[0] + 4) << "one more poll at most";
  EXPECT_EQ(relay.calls.size(), 0U);
}

TEST_F(counted_runners, BatchesWithoutTheirKeyCostNothingWhenAnotherBatchEnds) {
  keys = access_keys("[[key]]\nname = \"alice\"\nkey = \"sk-alice-0123456789\"\n", "keys.toml");
  runner();
  std::vector<std::size_t> counts;
  for (const int more : {1, 49}) {
    add_batches_of_bob(more);
    const std::string other = create(lines(1), of_alice);
    counts.push_back(calls_in(1min));
    EXPECT_TRUE(has_ended(other));
  }
  EXPECT_LE(counts[1], counts[0] + 1);
}

// The n-th call of this name fails once, after the batch was claimed.
struct failing_runners : limited_runners {
  ~failing_runners() override { abort(); }
  template <typename Fault>
  void fail_once(std::string_view call, int n, Fault fault) {
    records.on_call = [=, this](std::string_view made) mutable {
      if (made != call || --n != 0) return;
      failed = true;
      throw fault;
    };
  }
  void expect_done_after_two_leases(const std::string& id) {
    pass(2 * runner_settings.lease);
    EXPECT_TRUE(failed);
    EXPECT_EQ(batch(id).status, batch_status::completed);
  }
  bool failed = false;
};

TEST_F(failing_runners, ABatchThatCannotBeReadAfterItsClaimIsClaimedAgain) {
  fail_once("claimed", 1, store::store_error("away"));
  const std::string id = create(lines(2), of_alice);
  runner();
  expect_done_after_two_leases(id);
}

TEST_F(failing_runners, ABatchWhoseKeyCannotBeClaimedIsClaimedAgain) {
  fail_once("claim_owner", 1, store::store_error("away"));
  const std::string id = create(lines(2), of_bob);
  runner();
  expect_done_after_two_leases(id);
}

TEST_F(failing_runners, ABatchThatCannotBeReleasedIsFreeAfterItsLease) {
  const access_keys all = keys;
  keys = access_keys("[[key]]\nname = \"alice\"\nkey = \"sk-alice-0123456789\"\n", "keys.toml");
  fail_once("release", 1, store::store_error("full", true));
  const std::string id = create(lines(2), of_bob);
  runner();
  run([&] { return failed; });
  keys = all;
  runner().keys_changed();
  expect_done_after_two_leases(id);
}

TEST_F(failing_runners, ABatchThatEndsWithAnUnexpectedErrorGoesOnAfterItsLease) {
  fail_once("claimed", 2, std::system_error(std::make_error_code(std::errc::io_error)));
  const std::string id = create(lines(2), of_alice);
  runner();
  expect_done_after_two_leases(id);
  EXPECT_EQ(relay.calls.size(), 2U);
}

// A batch has ended, but its folder cannot be reached.
TEST_F(failing_runners, AnEndIsAnnouncedEvenIfTheFilesOfTheBatchStay) {
  const std::string batches = place / "batches";
  const std::string away = place / "away";
  records.on_call = [&](std::string_view call) {
    if (call != "finish stored" && call != "refuse_lines stored") return;
    std::filesystem::rename(batches, away);
    std::filesystem::create_symlink(batches, batches);
  };
  int announced = 0;
  runner().on_announcement = [&] { ++announced; };
  for (const std::string& input : {lines(2), std::string("no json\n")}) {
    const std::string id = create(input, of_alice);
    run_until_ended({id});
    run([&] { return runner().active() == 0; });
    std::filesystem::remove(batches);
    std::filesystem::rename(away, batches);
    EXPECT_TRUE(std::filesystem::exists(folder.batch(id))) << "the test needs this";
  }
  EXPECT_EQ(announced, 2);
  EXPECT_EQ(notices.warnings, std::vector<std::string>());
}

// Another server uses the same store: here its calls, whose amounts are stored as that server would
// store them.
struct shared_runners : limited_runners {
  shared_runners() {
    runner_settings.shares_store = true;
    runner_settings.save_interval = 1s;
    relay.plan = [](const exchange_call&) { return completion_plan("x", 500ms); };
    options.pace.concurrency = 2;
  }
  static usd budget() { return *usd::parse("0.0005"); }
  bool reserve(key_funds& at, usd of_key, usd most) {
    std::optional<funds> answer;
    boost::asio::co_spawn(
        loop,
        [&]() -> boost::asio::awaitable<void> {
          answer = co_await at.reserve(bob, of_key, most, time.now());
        },
        boost::asio::detached);
    run([&] { return answer.has_value(); });
    return *answer == funds::reserved;
  }
  void settle(key_funds& at, usd most, usd cost) {
    bool settled = false;
    boost::asio::co_spawn(
        loop,
        [&]() -> boost::asio::awaitable<void> {
          co_await at.settle(bob, most, cost);
          settled = true;
        },
        boost::asio::detached);
    run([&] { return settled; });
  }
  // What was spent and reserved since then: by calls as stored, and by batches as measured.
  usd spent_since(const std::string& id, usd before) {
    usd all = records.spent_by_others("bob", id) + spent(id);
    return all -= before;
  }
  const std::string bob = "bob";
  // What the batch has really spent, and what the store has for the calls.
  usd spent(const std::string& id) {
    const auto live = runner().live(id);
    const usd by_batch = live && live->counted ? live->progress.spent : batch(id).progress.cost;
    return by_batch + records.add_call_spend("bob", {});
  }
};

TEST_F(shared_runners, ABatchStopsBeforeTheMoneyThatCallsAtAnotherServerSpend) {
  const std::string id = create(lines(200), of_bob);
  runner();
  run([&] { return relay.calls.size() >= 20; });
  // A call is reserved at the other server, as far as that server can see money left.
  const usd free = budget() + usd::from_units(-batch(id).progress.spent.count());
  ASSERT_GT(free, *usd::parse("0.0002")) << "most of the rest is left to others";
  records.add_call_spend("bob", free);
  run([&] { return runner().live(id) && !runner().live(id)->waits.empty(); });
  EXPECT_THAT(runner().live(id)->waits, HasSubstr("budget"));
  EXPECT_LE(spent(id), budget());
  EXPECT_LT(relay.calls.size(), 100U);
}

TEST_F(shared_runners, TheStoreAlwaysHasWhatABatchMaySpend) {
  const std::string id = create(lines(60), of_bob);
  relay.plan = [&](const exchange_call& call) {
    // Each attempt costs 0.0000045 at most when it ends, and is reserved at more before.
    const usd begun = *usd::parse("0.0000045") * static_cast<std::int64_t>(call.number + 1);
    EXPECT_GE(batch(id).progress.spent, begun) << call.number;
    return completion_plan("x", 500ms);
  };
  run_until_ended({id});
  EXPECT_EQ(batch(id).progress.counts.completed, 60U);
  EXPECT_EQ(batch(id).progress.spent, batch(id).progress.cost) << "the rest is given back";
}

TEST_F(shared_runners, NearlyTheWholeBudgetCanBeUsed) {
  const std::string id = create(lines(200), of_bob);
  runner();
  run([&] { return runner().live(id) && !runner().live(id)->waits.empty(); });
  EXPECT_LE(spent(id), budget());
  EXPECT_GT(spent(id), *usd::parse("0.00048"));
  EXPECT_EQ(batch(id).progress.spent, batch(id).progress.cost) << "nothing is held while it waits";
}

TEST_F(shared_runners, WhatAKilledServerMayHaveSpentStaysReserved) {
  relay.plan = [](const exchange_call& call) {
    return completion_plan("x", call.number < 10 ? duration(100ms) : duration(1h));
  };
  const std::string id = create(lines(20), of_bob);
  runner();
  run([&] { return relay.calls.size() == 12; });
  kill();
  EXPECT_GE(batch(id).progress.spent, *usd::parse("0.0000045") * 12);
}

TEST_F(shared_runners, ABatchAndCallsAtTwoServersKeepTheBudget) {
  for (const unsigned seed : {1U, 2U, 3U, 4U, 5U}) {
    SCOPED_TRACE(seed);
    std::mt19937_64 dice(seed);
    const usd before = records.spent_by_others("bob", {}) + records.add_call_spend("bob", {});
    keys = access_keys("[[key]]\nname = \"bob\"\nkey = \"sk-bob-0123456789abc\"\nbudget = \"" +
                           (before + budget()).to_string() + "\"\n",
                       "keys.toml");
    const std::string id = create(lines(200), of_bob);
    runner().keys_changed();
    key_funds other(disk, records, true);
    std::vector<std::pair<key_funds*, usd>> open;
    std::size_t served = 0;
    for (int step = 0; step < 60; ++step) {
      pass(std::chrono::milliseconds{dice() % 700});
      key_funds& at = dice() % 2 == 0 ? other : runner().money();
      const usd most = *usd::parse("0.000001") * static_cast<std::int64_t>(1 + dice() % 20);
      if (dice() % 3 != 0) {
        if (reserve(at, before + budget(), most)) open.emplace_back(&at, most);
      } else if (!open.empty()) {
        settle(*open.back().first, open.back().second, *usd::parse("0.0000005"));
        open.pop_back();
        ++served;
      }
      ASSERT_LE(spent_since(id, before), budget());
    }
    for (const auto& [at, most] : open) settle(*at, most, most);
    records.request_cancel("bob", id, unix_now());
    runner().cancelled(id);
    run_until_ended({id});
    EXPECT_GT(served, 0U);
    EXPECT_GT(batch(id).progress.counts.completed, 0U);
    EXPECT_LE(spent_since(id, before), budget());
  }
}

}  // namespace
}  // namespace sluice::server
