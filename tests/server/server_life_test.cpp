// Simulates lives of a server in virtual time, each from one seed. Batches are created and
// cancelled, the relay fails, and the server is stopped, aborted and started again. The rules at
// the end must hold for every seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "server/server_rig.hpp"

namespace sluice::server {
namespace {

using store::batch_status;
using test::completion_plan;
using test::exchange_call;
using test::exchange_plan;
using test::refusal_plan;

struct server_life : server_rig, testing::WithParamInterface<unsigned> {
  // A random number from `least` to `most`.
  unsigned number(unsigned least, unsigned most) {
    return std::uniform_int_distribution<unsigned>(least, most)(dice);
  }
  bool chance(double share) { return std::uniform_real_distribution<>(0, 1)(dice) < share; }

  exchange_plan answer(const exchange_call& call) {
    const auto delay = std::chrono::milliseconds{number(50, 5000)};
    if (down) return test::unreachable_plan();
    if (chance(failures)) {
      switch (number(0, 3)) {
        case 0:
          return refusal_plan(500, "the server had an error");
        case 1:
          return refusal_plan(429, "slow down", "", {{"retry-after", "3"}});
        case 2: {
          exchange_plan cut = completion_plan("x", delay);
          cut.body[0].second.resize(40);
          cut.end = exchange_end::how::broken;
          return cut;
        }
        default:
          return refusal_plan(400, "no such parameter");
      }
    }
    ++served[call.body];
    return completion_plan("answer", delay);
  }

  // Adds a batch. Its lines are unique, so that the relay can distinguish them.
  void add_batch() {
    const unsigned count = number(1, 30);
    const std::string prefix = "b" + std::to_string(made.size()) + "-";
    std::string text;
    for (unsigned i = 0; i < count; ++i) text += line(prefix + std::to_string(i));
    const std::string id = create(text, [&](store::batch_record& one) {
      if (chance(0.2)) one.expires_at = one.created_at + number(1, 600);
      one.priority = static_cast<int>(number(0, 2));
    });
    made[id] = count;
  }

  void one_step() {
    switch (number(0, 7)) {
      case 0:
        if (made.size() < 5) add_batch();
        break;
      case 1:
        for (const auto& [id, count] : made) {
          if (!chance(0.2)) continue;
          const auto now = records.request_cancel("", id, unix_now());
          if (now && now->status == batch_status::cancelling) runner().cancelled(id);
        }
        break;
      case 2:
        stop();
        ++stops;
        break;
      case 3:
        runner().abort();
        stop();
        aborted_in_flight += options.pace.concurrency;
        break;
      case 4:
        down = !down && chance(0.5);
        break;
      default:
        break;
    }
  }

  // Runs the server for this time.
  void pass(std::chrono::seconds length) {
    runner();
    bool reached = false;
    const auto alarm = time.call_at(time.now() + length, [&] { reached = true; });
    run([&] { return reached; });
    time.cancel(alarm);
  }

  std::mt19937_64 dice{GetParam()};
  double failures = 0;
  bool down = false;
  std::map<std::string, unsigned> made;    // number of lines of each batch
  std::map<std::string, unsigned> served;  // number of billed replies, by request body
  unsigned stops = 0;
  std::size_t aborted_in_flight = 0;
};

TEST_P(server_life, LosesNoBatchAndPaysNoRequestTwice) {
  failures = chance(0.5) ? 0.3 : 0.0;
  options.pace.requests_per_minute = chance(0.5) ? number(20, 200) : 0;
  options.pace.concurrency = number(1, 8);
  options.pace.max_attempts = 3;
  options.pace.give_up_after = std::chrono::minutes{5};
  runner_settings.batches_at_once = number(1, 4);
  relay.plan = [this](const exchange_call& call) { return answer(call); };
  add_batch();
  for (int i = 0; i < 40; ++i) {
    one_step();
    pass(std::chrono::seconds{number(0, 30)});
  }
  down = false;
  std::vector<std::string> all;
  for (const auto& [id, count] : made) all.push_back(id);
  run_until_ended(all);

  for (const auto& [id, count] : made) {
    const auto done = batch(id);
    SCOPED_TRACE(id + " " + std::string(store::name_of(done.status)));
    EXPECT_NE(done.status, batch_status::failed);
    auto lines = result(done.output_file_id);
    const std::size_t succeeded = lines.size();
    const auto errors = result(done.error_file_id);
    std::size_t unsent = 0;
    for (const auto& [request, code] : errors) {
      EXPECT_TRUE(lines.emplace(request, code).second) << request << " has two lines";
      if (code == "batch_cancelled" || code == "batch_expired") ++unsent;
    }
    EXPECT_EQ(lines.size(), count) << "each request has one line";
    if (done.status == batch_status::completed) {
      EXPECT_EQ(unsent, 0U);
      EXPECT_EQ(done.progress.counts.total, count);
    }
    EXPECT_EQ(done.progress.counts.completed, succeeded);
    EXPECT_EQ(done.progress.counts.failed, errors.size() - unsent);
  }
  // If a reply was billed twice, it was in flight when the server was aborted, or the relay cut it
  // off.
  std::size_t twice = 0;
  for (const auto& [body, times] : served) twice += times - 1;
  EXPECT_LE(twice, aborted_in_flight);
  EXPECT_TRUE(std::filesystem::is_empty(place / "batches"));
  EXPECT_TRUE(std::filesystem::is_empty(place / "uploads"));
}

INSTANTIATE_TEST_SUITE_P(Seeds, server_life, testing::Range(0U, 24U));

}  // namespace
}  // namespace sluice::server
