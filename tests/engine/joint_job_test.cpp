#include "engine/joint_job.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/manual_clock.hpp"
#include "support/memory_job.hpp"

namespace sluice {
namespace {

// Lets one attempt at a time have the money.
class one_at_a_time final : public result_sink {
 public:
  funds reserve(const request& /*next*/) override {
    return std::exchange(taken_, true) ? funds::wait : funds::reserved;
  }
  void unreserve(const request& /*next*/) override { taken_ = false; }
  void attempt_started(const attempt_record& /*attempt*/) override {}
  void attempt_ended(const attempt_record& /*attempt*/, attempt_end /*how*/) override {
    taken_ = false;
  }
  void put(result&& /*finished*/) override { taken_ = false; }
  void flush() override {}

 private:
  bool taken_ = false;
};

TEST(joint_job, gives_each_request_to_one_member_and_the_sink_one_call_at_a_time) {
  constexpr std::size_t count = 2000;
  test::manual_clock time;
  test::memory_source source;
  test::memory_sink sink(time);
  for (std::size_t i = 0; i < count; ++i) source.requests.push_back(test::make_request(0, i + 1));
  joint_job job(source, sink, 8);
  std::vector<std::unique_ptr<joint_job::member>> members;
  for (int i = 0; i < 4; ++i) members.push_back(job.add([] {}));
  {
    std::vector<std::jthread> threads;
    for (auto& one : members) {
      threads.emplace_back([&member = *one] {
        while (auto next = member.next()) {
          member.attempt_started({.job = 0, .custom_id = next->custom_id, .number = 1, .most = {}});
          result finished;
          finished.custom_id = next->custom_id;
          member.put(std::move(finished));
          member.flush();
        }
      });
    }
  }
  EXPECT_EQ(sink.attempts, count);
  EXPECT_EQ(sink.flushes, count);
  const auto times = sink.times_by_id();
  EXPECT_EQ(times.size(), count);
  for (const auto& [id, often] : times) EXPECT_EQ(often, 1) << id;
}

TEST(joint_job, a_member_does_not_take_the_requests_of_the_others) {
  test::manual_clock time;
  test::memory_source source;
  test::memory_sink sink(time);
  for (std::size_t i = 0; i < 100; ++i) source.requests.push_back(test::make_request(0, i + 1));
  joint_job job(source, sink, 4);
  const auto member = job.add([] {});
  std::atomic<std::size_t> taken{0};
  std::jthread reader([&] {
    while (member->next()) ++taken;
  });
  const auto wait_for = [&](std::size_t count) {
    while (taken.load() < count) std::this_thread::yield();
  };
  wait_for(8);
  // Two ended requests are not enough to wake the reader, the third one is.
  member->put(result{});
  member->left_pending(source.requests.front());
  EXPECT_EQ(taken.load(), 8U);
  member->put(result{});
  wait_for(11);
  job.set_in_flight(10);
  member->put(result{});
  wait_for(24);
  EXPECT_EQ(taken.load(), 24U);
  // Requests that wait before their next attempt leave room for others.
  for (int i = 0; i < 6; ++i) member->wait_began();
  wait_for(30);
  member->wait_ended();
  member->put(result{});
  member->cancel();
  reader.join();
  EXPECT_EQ(taken.load(), 30U);
  EXPECT_EQ(sink.results.size(), 4U);
}

TEST(joint_job, wakes_the_members_that_wait_for_money_of_another_one) {
  test::memory_source source;
  one_at_a_time sink;
  joint_job job(source, sink, 8);
  std::vector<int> calls(3);
  const auto first = job.add([&] { ++calls[0]; });
  const auto second = job.add([&] { ++calls[1]; });
  const auto third = job.add([&] { ++calls[2]; });
  const request next = test::make_request(0, 1);
  const auto settle = [&] {
    first->attempt_ended({.job = 0, .custom_id = "a", .number = 1, .most = {}}, attempt_end::lost);
  };

  EXPECT_EQ(first->reserve(next), funds::reserved);
  EXPECT_EQ(second->reserve(next), funds::wait);
  EXPECT_EQ(calls, (std::vector{0, 0, 0}));
  settle();
  EXPECT_EQ(calls, (std::vector{0, 1, 0})) << "the third did not ask";
  settle();
  EXPECT_EQ(calls, (std::vector{0, 1, 0})) << "the second has not asked again";

  EXPECT_EQ(second->reserve(next), funds::reserved);
  EXPECT_EQ(first->reserve(next), funds::wait);
  EXPECT_EQ(third->reserve(next), funds::wait);
  second->unreserve(next);
  EXPECT_EQ(calls, (std::vector{1, 1, 1}));

  EXPECT_EQ(third->reserve(next), funds::reserved);
  EXPECT_EQ(first->reserve(next), funds::wait);
  third->put(result{});
  EXPECT_EQ(calls, (std::vector{2, 1, 1}));
}

result result_of(std::size_t job, const std::string& model, bool well) {
  result finished;
  finished.job = job;
  finished.model = model;
  if (well) {
    finished.outcome = reply{};
  } else {
    finished.outcome = failure{};
  }
  return finished;
}

TEST(joint_job, a_success_of_one_member_is_a_success_of_the_job) {
  test::manual_clock time;
  test::memory_source source;
  test::memory_sink sink(time);
  joint_job job(source, sink, 8);
  const auto first = job.add([] {});
  const auto second = job.add([] {});
  first->put(result_of(1, "a", false));
  EXPECT_FALSE(second->had_success(1, {}));
  first->put(result_of(1, "a", true));
  for (const auto* member : {first.get(), second.get()}) {
    EXPECT_TRUE(member->had_success(1, {}));
    EXPECT_TRUE(member->had_success(1, "a"));
    EXPECT_FALSE(member->had_success(1, "b"));
    EXPECT_FALSE(member->had_success(0, {}));
  }
  source.earlier_successes = {{0, "b"}};
  EXPECT_TRUE(second->had_success(0, "b")) << "in an earlier run";
}

TEST(joint_job, a_reply_that_was_rejected_shows_that_the_model_answers) {
  test::manual_clock time;
  test::memory_source source;
  test::memory_sink sink(time);
  sink.examiner = [](request& /*asked*/, const result& /*finished*/) {
    return reply_verdict{.next = reply_verdict::step::again, .reason = "wrong shape"};
  };
  joint_job job(source, sink, 8);
  const auto first = job.add([] {});
  const auto second = job.add([] {});
  request asked = test::make_request(0, 1);
  first->examine(asked, result_of(0, "m", true));
  EXPECT_TRUE(second->had_success(0, "m")) << "as in a run with one engine";
}

}  // namespace
}  // namespace sluice
