#include "server/batch_announcer.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "notify/signature.hpp"
#include "server/server_rig.hpp"

namespace sluice::server {
namespace {

using namespace std::chrono_literals;
using store::batch_status;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr const char* secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

// A client that passes each exchange on to another client. The announcer owns its client, so it
// gets this one.
class borrowed_client final : public http_client {
 public:
  explicit borrowed_client(http_client& lender) : lender_(lender) {}
  boost::asio::awaitable<exchange_end> exchange(outgoing request,
                                                response_handler& handler) override {
    return lender_.exchange(request, handler);
  }
  void stop_sending() override {}
  void allow_sending() override {}
  void abort() override { lender_.abort(); }

 private:
  http_client& lender_;
};

test::exchange_plan answer_of(int status) {
  test::exchange_plan planned;
  planned.head.status = status;
  return planned;
}

struct batch_announcers : server_rig {
  batch_announcers() {
    runner_settings.announce_ends = true;
    receiver.plan = [](const test::exchange_call&) { return answer_of(200); };
  }
  ~batch_announcers() override {
    abort();  // before the announcer ends: the runner wakes it
    stop_announcer();
  }

  batch_announcer& announcer() {
    if (!announcer_) {
      announcer_ = std::make_unique<batch_announcer>(
          disk, time, records, webhook_options{"https://hooks.example/x?key=hidden", secret, 15s},
          [this](const notify::message& sent) {
            messages.push_back(sent);
            return std::make_unique<borrowed_client>(receiver);
          },
          &notices);
      over = false;
      boost::asio::co_spawn(loop, announcer_->work(), [this](const std::exception_ptr& thrown) {
        EXPECT_EQ(thrown, nullptr);
        over = true;
      });
      runner().on_announcement = [this] {
        if (announcer_) announcer_->wake();
      };
    }
    return *announcer_;
  }
  void stop_announcer() {
    if (!announcer_) return;
    announcer_->abort();
    run([this] { return over; });
    announcer_.reset();
  }
  std::string header(std::size_t message, const std::string& name) const {
    for (const auto& [one, value] : messages.at(message).headers) {
      if (one == name) return value;
    }
    return {};
  }
  /// The times of all tries in whole seconds, relative to the first.
  std::vector<std::int64_t> tries() const {
    std::vector<std::int64_t> all;
    for (const auto& call : receiver.calls) {
      all.push_back(
          std::chrono::duration_cast<std::chrono::seconds>(call.at - receiver.calls.front().at)
              .count());
    }
    return all;
  }

  test::fake_client receiver{time};
  std::vector<notify::message> messages;
  std::unique_ptr<batch_announcer> announcer_;
  bool over = true;
};

TEST_F(batch_announcers, post_each_end_once_and_signed) {
  announcer();
  const std::string good = create(lines(1));
  const std::string bad = create("not json\n");
  run_until_ended({good, bad});
  run([this] { return receiver.calls.size() >= 2; });
  run([this, until = time.now() + 5min] { return time.now() >= until; });
  ASSERT_EQ(receiver.calls.size(), 2U) << "a delivered one is not sent again";
  std::map<std::string, std::string> types;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const auto body = nlohmann::json::parse(messages[i].body);
    EXPECT_EQ(body["object"], "event");
    EXPECT_EQ(body["id"], header(i, "webhook-id"));
    EXPECT_GT(body["created_at"].get<std::int64_t>(), 0);
    types[body["data"]["id"].get<std::string>()] = body["type"].get<std::string>();
    EXPECT_EQ(
        header(i, "webhook-signature"),
        notify::standard_signature(*notify::standard_key(secret), header(i, "webhook-id"),
                                   std::stoll(header(i, "webhook-timestamp")), messages[i].body));
  }
  EXPECT_EQ(types,
            (std::map<std::string, std::string>{{good, "batch.completed"}, {bad, "batch.failed"}}));
  EXPECT_NE(header(0, "webhook-id"), header(1, "webhook-id"));
}

TEST_F(batch_announcers, announce_a_cancelled_and_an_expired_batch) {
  options.pace.concurrency = 1;  // so each batch has a request that is not sent
  relay.plan = [](const test::exchange_call&) { return test::completion_plan("late", 2min); };
  announcer();
  const std::string cancelled = create(lines(2));
  const std::string expired = create(lines(2), [](auto& batch) { batch.expires_at += 60 - 86400; });
  runner();
  run([&] { return batch(cancelled).status == batch_status::in_progress; });
  records.request_cancel("", cancelled, unix_now());
  runner().cancelled(cancelled);
  run_until_ended({cancelled, expired});
  run([this] { return messages.size() >= 2; });
  std::vector<std::string> types;
  for (const auto& sent : messages) {
    types.push_back(nlohmann::json::parse(sent.body)["type"].get<std::string>());
  }
  EXPECT_THAT(types, UnorderedElementsAre("batch.cancelled", "batch.expired"));
}

TEST_F(batch_announcers, a_receiver_that_fails_gets_ten_tries_with_growing_pauses) {
  announcer();
  receiver.plan = [](const test::exchange_call& call) {
    return call.number % 2 == 0 ? answer_of(500) : test::unreachable_plan();
  };
  const std::string id = create(lines(1));
  run_until_ended({id});
  run([this] { return receiver.calls.size() == 10; });
  run([this, until = time.now() + 48h] { return time.now() >= until; });
  const auto times = tries();
  ASSERT_EQ(times.size(), 10U) << "it is given up";
  const std::vector<std::int64_t> pauses{5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400};
  for (std::size_t i = 0; i + 1 < times.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(times[i + 1] - times[i]), static_cast<double>(pauses[i]), 3)
        << i;
  }
  for (std::size_t i = 1; i < 10; ++i) {
    EXPECT_EQ(header(i, "webhook-id"), header(0, "webhook-id"));
    EXPECT_GT(std::stoll(header(i, "webhook-timestamp")),
              std::stoll(header(i - 1, "webhook-timestamp")));
  }
  ASSERT_FALSE(notices.warnings.empty());
  EXPECT_THAT(notices.warnings.back(), HasSubstr("given up"));
  for (const auto& text : notices.warnings) {
    EXPECT_THAT(text, testing::Not(HasSubstr("hidden"))) << "addresses hold secrets";
  }
}

TEST_F(batch_announcers, a_receiver_that_is_gone_gets_no_second_try) {
  announcer();
  receiver.plan = [](const test::exchange_call&) { return answer_of(410); };
  run_until_ended({create(lines(1))});
  run([this] { return !receiver.calls.empty(); });
  run([this, until = time.now() + 48h] { return time.now() >= until; });
  EXPECT_EQ(receiver.calls.size(), 1U);
}

TEST_F(batch_announcers, no_batch_waits_for_a_slow_receiver) {
  announcer();
  receiver.plan = [](const test::exchange_call&) {
    auto planned = answer_of(200);
    planned.before_head = 14s;
    return planned;
  };
  const std::string first = create(lines(1));
  run_until_ended({first});
  const time_point began = time.now();
  const std::string second = create(lines(1));
  run_until_ended({second});
  EXPECT_LT(time.now() - began, 5s);
  run([this] { return receiver.calls.size() == 2; });
}

TEST_F(batch_announcers, what_is_not_delivered_goes_on_after_a_restart) {
  announcer();
  receiver.plan = [](const test::exchange_call&) {
    auto planned = answer_of(200);
    planned.before_head = 1h;  // the end of the process cuts it off
    return planned;
  };
  const std::string id = create(lines(1));
  run_until_ended({id});
  run([this] { return receiver.in_flight == 1; });
  stop_announcer();
  receiver.plan = [](const test::exchange_call&) { return answer_of(204); };
  announcer();
  run([this] { return receiver.calls.size() == 2; });
  run([this, until = time.now() + 48h] { return time.now() >= until; });
  ASSERT_EQ(receiver.calls.size(), 2U);
  EXPECT_EQ(header(0, "webhook-id"), header(1, "webhook-id"));
}

TEST_F(batch_announcers, nothing_is_kept_for_a_server_without_a_webhook) {
  runner_settings.announce_ends = false;
  run_until_ended({create(lines(1)), create("bad\n")});
  EXPECT_EQ(records.next_announcement(unix_now() + 1'000'000, 0), std::nullopt);
}

}  // namespace
}  // namespace sluice::server
